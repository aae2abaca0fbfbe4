//! Measures the latency of a small file that is sent alone, compared with the disk's own flushes; and the same beside other clients.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use clap::value_parser;
use tokio::task::JoinSet;

use crate::Bench;
use crate::connection::{Connection, request};
use crate::drive::{Files, Upload};
use crate::error::{BenchError, io};
use crate::figures::{Figures, grouped};
use crate::plots::Lines;
use crate::service::{Stack, temporary_folder};
use crate::target::{Choice, Target};

const LENGTH: usize = 1 << 10;
const REPEAT: u64 = 3;
const REQUESTS: usize = 1000;
/// The number of clients that load the server.
const CLIENTS: usize = 16;
/// The number of requests before measuring starts.
const WARM_UP: usize = 50;
const SYNCS: usize = 5;
const APPENDED: [u8; 512] = [7; 512];

/// Measure how long a small file takes
#[derive(Debug, clap::Args)]
pub struct LatencyArgs {
    /// Only on that stack
    #[arg(long, value_enum)]
    stack: Option<Stack>,
    /// How often each figure is taken
    #[arg(long, default_value_t = REPEAT, value_parser = value_parser!(u64).range(1..))]
    repeat: u64,
    /// How many files are handed in each time
    #[arg(long, default_value_t = REQUESTS)]
    requests: usize,
}

impl Default for LatencyArgs {
    fn default() -> Self {
        Self { stack: None, repeat: REPEAT, requests: REQUESTS }
    }
}

/// Milliseconds of one repetition.
#[derive(Default)]
struct Times {
    ticket: Figures,
    result: Figures,
    syncs: Figures,
}

/// Quantiles of all repetitions.
#[derive(Default)]
struct Quantiles {
    p50: Figures,
    p99: Figures,
}

impl Quantiles {
    fn push(&mut self, times: &Figures) {
        self.p50.push(times.quantile(0.5));
        self.p99.push(times.quantile(0.99));
    }

    fn told(&self) -> String {
        format!("{} | {}", self.p50.told(2), self.p99.told(2))
    }
}

/// Measures the latency on each stack, and writes the section.
///
/// # Errors
/// If a file is rejected, or its task fails.
pub async fn run(bench: &Bench, args: &LatencyArgs) -> Result<(), BenchError> {
    let mut table = format!(
        "| stack | beside it | ticket: p50 ms | p99 ms | result: p50 ms | p99 ms | {SYNCS} fdatasyncs: p50 ms | p99 ms | ticket by fdatasyncs, p99 \
         | result by fdatasyncs, p99 |\n|---|---|---|---|---|---|---|---|---|---|\n"
    );
    let mut series = Vec::new();
    for stack in Stack::chosen(args.stack) {
        for (clients, beside) in [(0, "no other client"), (CLIENTS, "16 clients")] {
            let [mut ticket, mut result, mut syncs] = [(); 3].map(|()| Quantiles::default());
            let mut last = Times::default();
            for _ in 0..args.repeat {
                let times = measure(bench, stack, clients, args.requests).await?;
                ticket.push(&times.ticket);
                result.push(&times.result);
                syncs.push(&times.syncs);
                last = times;
            }
            let by_syncs = |of: &Quantiles| of.p99.by(&syncs.p99).told(2).to_string();
            table += &format!(
                "| {stack} | {beside} | {} | {} | {} | {} | {} |\n",
                ticket.told(),
                result.told(),
                syncs.told(),
                by_syncs(&ticket),
                by_syncs(&result)
            );
            eprintln!("latency, {stack}, beside {beside}: {} ms, {} ms", ticket.told(), result.told());
            if clients == 0 {
                let name = Choice::Ours(stack).name();
                series.push((format!("{name}: ticket"), distribution(&last.ticket)));
                series.push((format!("{name}: result"), distribution(&last.result)));
                if stack == Stack::Embedded {
                    series.push((format!("{SYNCS} fdatasyncs"), distribution(&last.syncs)));
                }
            }
        }
    }
    let text = format!(
        "A file of 1 KiB, {} times one after the other on a kept connection: from the first byte of `POST /api/v1/md5` to the ticket (202), and \
         to the result (`GET …?wait=10` as soon as there is the ticket). After each, {SYNCS} times 512 bytes appended to a file on the same \
         disk and fdatasync, without anything else in between. Then all of it again beside {CLIENTS} clients that do the same with files of \
         theirs.\n\n{table}",
        grouped(args.requests as f64, 0)
    );
    let title = "A file of 1 KiB that comes alone";
    let lines = Lines { title, x: "ms", y: "% of files that take no longer", series };
    bench.plots.lines("latency", &lines)?;
    bench.report.write("latency: a small file, beside fdatasync", &text)
}

async fn measure(bench: &Bench, stack: Stack, clients: usize, requests: usize) -> Result<Times, BenchError> {
    let target = Target::start(bench, stack).await?;
    let files = Arc::new(Files::new(LENGTH));
    // Dropping the set ends them.
    let mut loading = JoinSet::new();
    for _ in 0..clients {
        let (files, address, path) =
            (Arc::clone(&files), target.address().to_owned(), target.path().to_owned());
        loading.spawn(async move { load(&files, &address, &path).await });
    }
    let mut client = Client::open(&files, target.address(), target.path()).await?;
    let folder = temporary_folder()?;
    let mut file = File::create(folder.path().join("appended")).map_err(io("a file"))?;
    let mut times = Times::default();
    for number in 0..WARM_UP + requests {
        let (ticket, result) = client.once().await?;
        let syncs = sync(&mut file)?;
        if number >= WARM_UP {
            times.ticket.push(ticket);
            times.result.push(result);
            times.syncs.push(syncs);
        }
    }
    match loading.try_join_next() {
        Some(Ok(error)) => Err(error),
        _ => Ok(times),
    }
}

/// Submits files again and again, until an error occurs.
async fn load(files: &Files, address: &str, path: &str) -> BenchError {
    let mut client = match Client::open(files, address, path).await {
        Ok(client) => client,
        Err(error) => return error,
    };
    loop {
        if let Err(error) = client.once().await {
            return error;
        }
    }
}

/// A client that submits a file and waits for its result.
struct Client<'a> {
    connection: Connection,
    upload: Upload<'a>,
    path: &'a str,
}

impl<'a> Client<'a> {
    async fn open(files: &'a Files, address: &str, path: &'a str) -> Result<Self, BenchError> {
        Ok(Self { connection: Connection::open(address).await?, upload: files.upload(path), path })
    }

    /// Returns the milliseconds to the ticket, and to the result.
    async fn once(&mut self) -> Result<(f64, f64), BenchError> {
        let begun = Instant::now();
        let promise = self.upload.send(&mut self.connection).await?;
        let ticket = begun.elapsed();
        let wait = request("GET", &format!("{}/{}?wait=10", self.path, promise.id), "");
        self.connection.ask(&wait, 200).await?;
        let result = begun.elapsed();
        let status = self.connection.told("status")?;
        if status != "succeeded" {
            return Err(BenchError::Unexpected(format!("a file was {status} after 10 s")));
        }
        Ok((ticket.as_secs_f64() * 1e3, result.as_secs_f64() * 1e3))
    }
}

/// Returns the milliseconds of flushes.
fn sync(file: &mut File) -> Result<f64, BenchError> {
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&APPENDED).and_then(|()| file.sync_data()).map_err(io("a file"))?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Returns, for each time, the percentage of times that are not longer.
fn distribution(times: &Figures) -> Vec<(f64, f64)> {
    (0..=200)
        .map(|step| f64::from(step) / 200.0)
        .map(|share| (times.quantile(share), share * 100.0))
        .collect()
}
