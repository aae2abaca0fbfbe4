//! `coatcheck export`: appends the access log's new records, again and again, to a file that others write as well.
//!
//! The file is its own cursor (see [`shared_log::Resumed`]). No state is kept from one run to the next, so it is safe to kill an exporter
//! at any point, to run several at once, and to start one anew elsewhere.

mod format;
mod memory;
mod outage;
mod source;
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use client::{Client, ClientError, ServerArgs};
use program::{Backoff, LogArgs, in_one_line, refuse};
use shared_log::LogError;
use task_data::settings::positive_duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::format::Format;
use self::memory::Memory;
use self::outage::Outage;
use self::target::{Target, Written};

/// The pause before a file that can't be read or written is tried again.
const FILE_PAUSE: Duration = Duration::from_secs(1);

/// Append the access log's new records to a file, again and again
///
/// The first poll brings all that the server has, later ones what is new. Any number of exporters, with intervals of their
/// own, may write one file: each record is in it once, in the server's order, also after a crash. They keep nothing but the
/// file: its last record tells what comes next. What others write in it stays.
///
/// While another program has the file locked (fcntl, lockf), records are kept in memory, up to 100,000 lines or 64 MiB;
/// beyond that none are fetched until the file is free. A server that is away is waited for.
///
/// The file may be rotated with mv within its folder: a new or empty one asks its newest sibling, TARGET_FILE.* or
/// TARGET_FILE-*, which must not be compressed. Beside it lives TARGET_FILE.lock, which must stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 it was told to end; 1 the file could not be flushed to its device, or the server has deleted records that it lacks; 2 a wrong setting; 3 the server can't be trusted \
over TLS; 4 it refused the API key, or its owner lacks a right. Once the server has answered, it waits instead of ending with 3 or 4.

Examples:
  coatcheck export --target-file access.log
  coatcheck export --target-file access.log --poll-interval 200ms --format clf
  coatcheck export --url http://hasher:9000 --format json \\
    --target-file /var/log/coat/access.json")]
pub struct ExportArgs {
    /// How often the server is asked
    #[arg(long, env, value_name = "POLL_INTERVAL", default_value = "1", value_parser = positive_duration)]
    poll_interval: Duration,
    /// The file to append to; made where it is missing, with its folder
    #[arg(long, env, value_name = "TARGET_FILE", value_parser = NonEmptyStringValueParser::new())]
    target_file: String,
    /// How a record is written
    #[arg(long, env, value_name = "FORMAT", value_enum, default_value = "line")]
    format: Format,
    /// Where the server has deleted what follows the file's last record: go on with the oldest that it has
    #[arg(long)]
    from_oldest: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal; returns the command's exit status.
pub async fn run(args: ExportArgs) -> ExitCode {
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    if args.target_file == "-" {
        return refuse(
            "TARGET_FILE: expected a file, whose last record tells where to go on, got \"-\"; a file of that name is ./-",
        );
    }
    let path = PathBuf::from(&args.target_file);
    let folder = std::path::absolute(&path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let new_folder = folder.filter(|folder| !folder.exists());
    let target = match Target::open(&path, args.format) {
        Ok(target) => target,
        Err(error) => return refuse(&format!("TARGET_FILE: {}", in_one_line(&error))),
    };
    info!("new records go to {}", path.display());
    // The first poll reports a file that can't be read.
    if let Ok(Some((format, file))) = target.last_format() {
        let file = file.display();
        match format == args.format {
            true => info!("goes on after the last record in {file}"),
            false => warn!(
                "goes on after the last record in {file}, which is in the format {format}; new ones are written as {}",
                args.format
            ),
        }
    }
    // A typing error in the path would otherwise make a folder that goes unnoticed.
    if let Some(folder) = new_folder {
        warn!("the folder {} was missing, and is made", folder.display());
    }
    let mut exporter = Exporter {
        client,
        target,
        interval: args.poll_interval,
        memory: Memory::default(),
        has_answered: false,
        server_outage: Outage::default(),
        file_outage: Outage::default(),
        times_busy: 0,
        next_poll: Instant::now(),
        next_write: Instant::now(),
        from_oldest: args.from_oldest,
    };
    match exporter.export(&stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(ExportError::Log(error)) => {
            error!("{}: {}", path.display(), in_one_line(&error));
            ExitCode::FAILURE
        }
        Err(error @ ExportError::Expired) => {
            error!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
        Err(ExportError::Server(error)) => {
            error!("{error}");
            ExitCode::from(error.status())
        }
    }
}

/// A reason why an export ends before it is told to.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    /// [`LogError::SyncFailed`]: the process can no longer trust its view of the file.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The server has rejected the first request already, for a reason that only a setting can mend.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// Records are missing between the file and the server, and only a person may decide to do without them.
    #[error(
        "the server has deleted records that follow the file's last one (KEEP_RECORDS); to go on with the oldest that it has, add --from-oldest"
    )]
    Expired,
}

/// An exporter of two independent parts: one fetches, one writes what was fetched.
struct Exporter {
    client: Client,
    target: Target,
    interval: Duration,
    memory: Memory,
    /// Whether the server has returned a page since the start.
    has_answered: bool,
    server_outage: Outage,
    file_outage: Outage,
    /// How often in a row another process had the file locked.
    times_busy: u32,
    next_poll: Instant,
    next_write: Instant,
    /// Whether to pass over records that the server has deleted.
    from_oldest: bool,
}

impl Exporter {
    /// Exports until it is told to stop.
    ///
    /// # Errors
    /// Those of [`ExportError`].
    async fn export(&mut self, stop: &CancellationToken) -> Result<(), ExportError> {
        loop {
            if self.memory.room() > 0 && Instant::now() >= self.next_poll {
                // Records received by then are kept.
                stop.run_until_cancelled(self.poll()).await.transpose()?;
            }
            let is_last = stop.is_cancelled();
            if !self.memory.is_empty() && (is_last || Instant::now() >= self.next_write) {
                self.write()?;
            }
            if is_last {
                return Ok(());
            }
            let next = match (self.memory.room(), self.memory.is_empty()) {
                (0, _) => self.next_write,
                (_, true) => self.next_poll,
                (_, false) => self.next_poll.min(self.next_write),
            };
            // Once told to stop, it fetches nothing more, and writes the records in memory if the file is free.
            let _ = stop.run_until_cancelled(sleep_until(next)).await;
        }
    }

    /// Fetches a page. Reports a failure, which may pass.
    ///
    /// # Errors
    /// [`ExportError::Server`].
    async fn poll(&mut self) -> Result<(), ExportError> {
        let begun = Instant::now();
        // Set before the outcome is known, because the poll may be dropped here.
        self.next_poll = begun + self.interval;
        if self.memory.is_empty() {
            match self.target.cursor() {
                Ok(cursor) => self.memory = Memory::empty_after(cursor),
                Err(error) => {
                    self.file_outage.begin(&in_one_line(&error));
                    self.next_poll = begun + self.interval.max(FILE_PAUSE);
                    return Ok(());
                }
            }
        }
        let mut page = source::fetch(&self.client, &mut self.memory).await;
        if self.from_oldest && matches!(page.outcome, Err(ClientError::ExpiredRecord)) {
            warn!(
                "the server has deleted records that follow the file's last one; goes on with the oldest that it has"
            );
            self.memory.pass_over_deleted();
            page = source::fetch(&self.client, &mut self.memory).await;
        }
        match page.outcome {
            Ok(()) => {
                self.has_answered = true;
                self.server_outage.end("the server answers again");
                if page.is_full {
                    self.next_poll = begun;
                }
            }
            Err(ClientError::ExpiredRecord) => return Err(ExportError::Expired),
            Err(error) if error.needs_a_setting() && !self.has_answered => {
                return Err(error.into());
            }
            Err(error) => {
                let pause = error.pause(self.server_outage.failures());
                self.server_outage.begin_with(&error);
                self.next_poll = Instant::now() + pause;
            }
        }
        Ok(())
    }

    /// Writes the fetched records, unless another process has the file locked. The thread has no other work, so it may wait for the disk.
    fn write(&mut self) -> Result<(), LogError> {
        let written = match self.target.write(&mut self.memory) {
            Err(error @ LogError::SyncFailed(_)) => return Err(error),
            Err(error) => {
                self.file_outage.begin(&in_one_line(&error));
                self.next_write = Instant::now() + FILE_PAUSE;
                return Ok(());
            }
            Ok(written) => written,
        };
        match written {
            Written::Busy => {
                self.next_write = Instant::now() + Backoff::LOG.delay(self.times_busy);
                self.times_busy = self.times_busy.saturating_add(1);
                debug!("another has the file; {} records wait", self.memory.len());
                if self.memory.room() == 0 {
                    self.file_outage
                        .begin("another program has the file, and memory is full: nothing is fetched");
                }
                return Ok(());
            }
            Written::All(lines) => debug!("{lines} lines written"),
            // Other exporters are ahead, or the file is another one: fetch at once what follows its last record.
            Written::Elsewhere => self.next_poll = Instant::now(),
        }
        self.times_busy = 0;
        self.file_outage.end("the file can be written again");
        Ok(())
    }
}
