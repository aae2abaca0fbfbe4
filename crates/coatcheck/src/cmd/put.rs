//! `coatcheck put`: hands files in and prints what `md5sum` would.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use futures::{StreamExt, stream};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use program::{acts_on_terminal, complain, counted, refuse, unwritten};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::client::{Client, ClientError, STDIN, ServerArgs};
use crate::{md5sum, terminal};

/// The most files on their way to the server at once.
const UPLOADS: usize = 8;
/// The most digests waited for at once: each wait holds a connection.
const WAITS: usize = 64;
/// The most files begun before the first of them is printed. More than [`WAITS`], so that a long file doesn't stop short ones.
const WINDOW: usize = 1024;
/// The most files without a ticket that an interrupted command names.
const NAMED: usize = 10;

/// Hash files on the server and print what md5sum would
///
/// Each file is handed in, several at once, and its digest is printed as soon as it and those before it are known.
/// Standard output holds only lines that `md5sum -c` reads, in the order of the arguments; all else goes to standard
/// error, with a progress bar on a terminal. What the server took it keeps: when the wait for a digest breaks off,
/// the message has the id that `coatcheck get` redeems. Ctrl-C prints the ids of files without a digest yet, and how much was not sent; a second one
/// ends at once. Where the reader of standard output goes away (`| head -1`), it ends without a message, but files that are sent go on.
///
/// A server that is busy, starting or out of reach is tried again for a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all files are done; 1 some could not be done, each has a line on standard error, or a signal (Ctrl-C) or the reader of \
standard output ended it; 2 wrong usage or settings; 3 the server can't be reached; 4 it refused the API key, or its owner lacks a right.

Examples:
  coatcheck put disk.img
  coatcheck put *.iso > MD5SUMS && md5sum -c MD5SUMS
  find photos -type f -print0 | xargs -0 coatcheck put
  tar c photos | coatcheck put - --name photos.tar
  coatcheck put --url https://hasher.example -- -odd-name
  SSL_CERT_FILE=our-ca.pem coatcheck put --url https://hasher.intern disk.img")]
pub struct PutArgs {
    /// Files to hand in; - is standard input
    #[arg(value_name = "FILE", required = true)]
    // Not `PathBuf`: clap refuses an empty one as bad usage, and the other files would not be done.
    files: Vec<OsString>,
    /// Name of standard input, on the server and in the line that is printed [default: -]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,

    #[command(flatten)]
    server: ServerArgs,
}

/// A reason for a missing digest.
#[derive(Debug, thiserror::Error)]
enum PutError {
    #[error("{0}")]
    NotAccepted(#[source] ClientError),
    /// The server has the file; only the wait broke off.
    #[error("handed in as {id}, but {source}")]
    NotRedeemed { id: Uuid, source: ClientError },
}

impl PutError {
    fn status(&self) -> u8 {
        match self {
            Self::NotAccepted(error) | Self::NotRedeemed { source: error, .. } => error.status(),
        }
    }
}

/// A file on its way.
struct Handed<'a> {
    file: &'a OsStr,
    /// Its name in lines and messages, and on the server if that is not its own name.
    name: Option<&'a str>,
    stage: Cell<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotSent,
    /// Its task may exist or not.
    Sending,
    Ticket(Uuid),
    /// Its line or its error was printed.
    Done,
}

/// Runs the command; returns its exit status.
pub async fn run(args: PutArgs) -> ExitCode {
    if args.name.is_some() && !args.files.iter().any(|file| file == STDIN) {
        return refuse(
            "--name: expected - among the files, for it names standard input; see coatcheck put --help",
        );
    }
    if args.files.iter().any(|file| file == STDIN) && program::standard_input().is_err() {
        return refuse("-: standard input is closed; give it a file or a pipe to read");
    }
    let (client, stop) = match (args.server.client(), program::stop_token()) {
        (Ok(client), Ok(stop)) => (client, stop),
        (Err(error), _) => return refuse(&error.to_string()),
        (_, Err(error)) => return refuse(&format!("signals can't be handled: {error}")),
    };
    let bar = progress_bar(&args.files);
    let handed: Vec<Handed<'_>> =
        args.files.iter().map(|file| Handed::new(file, args.name.as_deref())).collect();
    let (uploads, waits) = (Semaphore::new(UPLOADS), Semaphore::new(WAITS));
    let files = handed.iter().map(async |file| (file, file.digest(&client, &uploads, &waits).await));
    let mut digests = stream::iter(files).buffered(WINDOW);
    let mut outages = client.outages();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let (mut done, mut status) = (0, 0);

    loop {
        tokio::select! {
            next = digests.next() => {
                let Some((file, digest)) = next else { break };
                done += 1;
                match digest {
                    Ok(digest) => {
                        let line = md5sum::line(&digest, file.shown());
                        if let Err(error) = bar.suspend(|| terminal::print(&line)) {
                            bar.finish_and_clear();
                            let status = unwritten(&error);
                            // A reader that has gone away (`| head -1`) wants no more lines, and gets no message.
                            if error.kind() != ErrorKind::BrokenPipe {
                                tell_what_is_left(&handed, &args.server);
                            }
                            return status;
                        }
                    }
                    Err(error) => {
                        status = status.max(error.status());
                        bar.suspend(|| complain(&format!("{}: {error}", shown(file.shown()))));
                    }
                }
                file.stage.set(Stage::Done);
            }
            told = outages.next() => bar.suspend(|| complain(&told)),
            () = stop.cancelled() => {
                bar.finish_and_clear();
                tell_what_is_left(&handed, &args.server);
                return ExitCode::FAILURE;
            }
            _ = tick.tick(), if !bar.is_hidden() => {
                bar.set_position(client.meter().sent());
                bar.set_message(progress(&bar, done, &handed, client.meter().trouble()));
            }
        }
    }
    // Its final state: it was last drawn some time ago.
    bar.set_position(client.meter().sent());
    bar.abandon_with_message(progress(&bar, done, &handed, None));
    bar.finish_and_clear();
    if let Some(told) = outages.rest() {
        complain(&told);
    }
    ExitCode::from(status)
}

impl<'a> Handed<'a> {
    fn new(file: &'a OsStr, name: Option<&'a str>) -> Self {
        Self { file, name: name.filter(|_| file == STDIN), stage: Cell::new(Stage::NotSent) }
    }

    fn shown(&self) -> &'a OsStr {
        self.name.map_or(self.file, OsStr::new)
    }

    async fn digest(
        &self,
        client: &Client,
        uploads: &Semaphore,
        waits: &Semaphore,
    ) -> Result<String, PutError> {
        // The semaphores are never closed, so a permit always comes; it is held until the end of the block.
        let id = {
            let _slot = uploads.acquire().await;
            self.stage.set(Stage::Sending);
            let sent = client.put(Path::new(self.file), self.name).await;
            self.stage.set(sent.as_ref().map_or(Stage::Done, |id| Stage::Ticket(*id)));
            sent.map_err(PutError::NotAccepted)?
        };
        let _slot = waits.acquire().await;
        client.wait(id).await.map_err(|source| PutError::NotRedeemed { id, source })
    }
}

/// Reports each ticket that was not redeemed, the first few of the files without one, and the number of each.
fn tell_what_is_left(handed: &[Handed<'_>], server: &ServerArgs) {
    let (mut tickets, mut sending, mut not_sent) = (0, 0, 0);
    for file in handed {
        let (count, what) = match file.stage.get() {
            Stage::Done => continue,
            Stage::Ticket(id) => {
                (&mut tickets, format!("handed in as {id}; to redeem it: {} {id}", server.get()))
            }
            Stage::Sending => {
                (&mut sending, "interrupted before the server answered: no ticket; send it again".to_owned())
            }
            Stage::NotSent => (&mut not_sent, "not sent".to_owned()),
        };
        *count += 1;
        if matches!(file.stage.get(), Stage::Ticket(_)) || sending + not_sent <= NAMED {
            complain(&format!("{}: {what}", shown(file.shown())));
        }
    }
    let unnamed = (sending + not_sent).saturating_sub(NAMED);
    if unnamed > 0 {
        complain(&format!("and {unnamed} more without a ticket"));
    }
    let (files, done) = (handed.len(), handed.len() - tickets - sending - not_sent);
    complain(&format!(
        "of {}: done {done}, with a ticket {tickets}, interrupted {sending}, not sent {not_sent}",
        counted(files as u64, "file")
    ));
}

/// Sets the text beside the bar. It is cut at the terminal's width, so that it stays one line after a resize.
fn progress(bar: &ProgressBar, done: usize, handed: &[Handed<'_>], trouble: Option<String>) -> String {
    let bytes = format!("{}/{}", HumanBytes(bar.position()), HumanBytes(bar.length().unwrap_or_default()));
    let files = format!("{done} of {}", counted(handed.len() as u64, "file"));
    let is_sent = |file: &Handed<'_>| matches!(file.stage.get(), Stage::Ticket(_) | Stage::Done);
    match trouble {
        Some(trouble) => format!("{bytes} · {files} · {trouble}"),
        None if handed.iter().all(is_sent) => format!("{bytes} · {files} · waiting for digests"),
        None => {
            format!("{bytes} {}/s {:#} · {files}", HumanBytes(bar.per_sec() as u64), HumanDuration(bar.eta()))
        }
    }
}

fn progress_bar(files: &[OsString]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let sizes = files.iter().filter_map(|file| Path::new(file).metadata().ok());
    let total = sizes.filter(std::fs::Metadata::is_file).map(|file| file.len()).sum();
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:20.cyan/dim} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// Returns a file name for a message: on one line, whatever it contains.
fn shown(file: &OsStr) -> String {
    let name = file.to_string_lossy();
    if name.is_empty() || name.contains(acts_on_terminal) { format!("{name:?}") } else { name.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_stays_on_its_line() {
        assert_eq!(shown(OsStr::new("plain é")), "plain é");
        assert_eq!(shown(OsStr::new("a\nb")), r#""a\nb""#);
        assert_eq!(shown(OsStr::new("a\u{202e}b\u{9b}")), r#""a\u{202e}b\u{9b}""#);
        assert_eq!(shown(OsStr::new("")), r#""""#);
    }
}
