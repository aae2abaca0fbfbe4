//! Measures uploads, compared with bare handlers of the same web framework: one large, and many of 1 MiB.

pub mod bare;
mod many;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::value_parser;
use serde_json::Value;
use tempfile::TempDir;

use crate::Bench;
use crate::connection::Connection;
use crate::error::BenchError;
use crate::figures::{Figures, timed};
use crate::process::Process;
use crate::service::{Service, Stack, temporary_folder};
use bare::Kind;

const REPEAT: u64 = 5;
const MIB: usize = 1024;
const SECONDS: u64 = 10;
/// The time after which a task is assumed never to end.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Measure uploads, beside bare handlers
#[derive(Debug, clap::Args)]
pub struct UploadsArgs {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// MiB of the large upload
    #[arg(long, default_value_t = MIB)]
    mib: usize,
    /// How long files of 1 MiB are handed in each time
    #[arg(long, default_value_t = SECONDS, value_parser = value_parser!(u64).range(1..))]
    seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One large upload
    Large,
    /// Files of 1 MiB by many clients
    Many,
}

impl Default for UploadsArgs {
    fn default() -> Self {
        Self { parts: Vec::new(), repeat: REPEAT, mib: MIB, seconds: SECONDS }
    }
}

/// Measures all parts that were chosen.
///
/// # Errors
/// If an upload is rejected; earlier figures are written.
pub async fn run(bench: &Bench, args: &UploadsArgs) -> Result<(), BenchError> {
    let wants = |part: Part| args.parts.is_empty() || args.parts.contains(&part);
    if wants(Part::Large) {
        large(bench, args).await?;
    }
    if wants(Part::Many) {
        many::run(bench, args).await?;
    }
    Ok(())
}

async fn large(bench: &Bench, args: &UploadsArgs) -> Result<(), BenchError> {
    let mut block = vec![0; 1 << 20];
    fastrand::Rng::with_seed(1).fill(&mut block);
    let (mut ours, mut store, mut discard) = (Figures::default(), Figures::default(), Figures::default());
    let mut memory = Figures::default();
    for _ in 0..args.repeat {
        let service = Service::start(&bench.program, Stack::Embedded, &bench.servers).await?;
        let watch = service.process.watch_memory();
        let (time, connection) = upload(&service.address, &block, args.mib).await?;
        ours.push(time);
        let id = connection.told("id")?;
        until_done(&service, id.as_str().unwrap_or_default()).await?;
        memory.push(watch.most_above_idle_mib().await);
        drop(service);
        for (kind, figures) in [(Kind::Store, &mut store), (Kind::Discard, &mut discard)] {
            let bare = Bare::start(bench, kind).await?;
            figures.push(upload(&bare.address, &block, args.mib).await?.0);
        }
        eprintln!(
            "{} MiB: {:.2} s; {:.2} s, {:.2} s",
            args.mib,
            ours.median(),
            store.median(),
            discard.median()
        );
    }
    let row = |what: &str, figures: &Figures| {
        let a_second: Figures = figures.iter().map(|seconds| args.mib as f64 / seconds).collect();
        let times = ours.by(figures);
        format!("| {what} | {} | {} | {} |\n", figures.told(3), a_second.told(0), times.told(2))
    };
    let text = format!(
        "A raw `PUT` of {} MiB by a client on the same machine, to the 202: to Coatcheck (embedded), and to bare handlers of actix-web, the \
         framework that it stands on, in turn. Coatcheck had at most {} MiB more memory than idle, up to the task's end.\n\n\
         | who | seconds | MiB/s | Coatcheck's time by theirs |\n|---|---|---|---|\n{}{}{}",
        args.mib,
        memory.told(1),
        row("Coatcheck", &ours),
        row("a handler that writes the body to a file and fsyncs it", &store),
        row("a handler that discards the body", &discard),
    );
    bench.report.write("uploads: a large one, beside bare handlers", &text)
}

/// Sends an upload. Returns the seconds to the answer, and the connection.
async fn upload(address: &str, block: &[u8], mib: usize) -> Result<(f64, Connection), BenchError> {
    let mut connection = Connection::open(address).await?;
    let length = block.len() * mib;
    let head =
        format!("PUT /api/v1/md5/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    let (answered, time) = timed(async {
        connection.send(head.as_bytes()).await?;
        for _ in 0..mib {
            connection.send(block).await?;
        }
        connection.answered(202).await
    })
    .await;
    answered?;
    Ok((time.as_secs_f64(), connection))
}

async fn until_done(service: &Service, id: &str) -> Result<(), BenchError> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let url = service.url(&format!("/api/v1/md5/{id}?wait=30"));
        let task: Value = service.http.get(url).send().await?.error_for_status()?.json().await?;
        if task["status"] == "succeeded" {
            return Ok(());
        }
        if Instant::now() > deadline || !task["finished"].is_null() {
            return Err(BenchError::Unexpected(format!("an upload is not done: {task}")));
        }
    }
}

/// This program again, as a server.
struct Bare {
    // First: the process ends before its folder is deleted.
    _process: Process,
    address: String,
    _folder: TempDir,
}

impl Bare {
    async fn start(bench: &Bench, kind: Kind) -> Result<Self, BenchError> {
        let folder = temporary_folder()?;
        let mut command = Command::new(&bench.itself);
        command.arg("bare").arg(kind.to_string()).current_dir(folder.path()).env_clear();
        let mut process = Process::start(command, folder.path())?;
        let stdout = process.stdout().to_owned();
        let address = process
            .until_it_serves(async || fs::read_to_string(&stdout).ok()?.strip_suffix('\n').map(str::to_owned))
            .await?;
        Ok(Self { _process: process, address, _folder: folder })
    }
}
