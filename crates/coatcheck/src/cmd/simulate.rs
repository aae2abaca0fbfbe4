//! `coatcheck simulate`: reports made-up requests of a site's visitors, one by one.

mod sender;
mod traffic;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use client::{Client, ServerArgs};
use indicatif::{ProgressBar, ProgressStyle};
use program::{LogArgs, complain, counted, refuse};
use task_data::settings::{duration, positive_duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::sender::{SendError, Sender};
use crate::confirm::ConfirmArgs;

/// Report made-up requests to the access log, from several threads at once
///
/// Addresses, methods, URIs and status codes come about as often as on a real site: a few visitors make most requests.
///
/// Each thread writes what it sent, and the server has answered with 201, to a file of its own, {8 hex digits}.log: the
/// record's id, when it was created, and the text as it was sent. Nothing else is in there; but a reply that is lost in a
/// crash, the server's or this program's, may leave a record more on the server than was logged.
///
/// A server that is away or full is waited for. A signal ends it after the requests that are under way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all was sent, or a signal ended it; 1 the server refused a record, or a log could not be written; 2 wrong usage or \
settings; 3 the server can't be trusted over TLS; 4 it refused the API key, or its owner lacks a right.

Examples:
  coatcheck simulate                             four threads, until Ctrl-C
  coatcheck simulate --threads 8 --requests-delay 0 --count 20000 --log-dir l
  coatcheck simulate --url http://hasher:9000 --duration 5m")]
pub struct SimulateArgs {
    /// Threads that send
    #[arg(long, env, value_name = "THREADS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    threads: u16,
    /// A thread's longest pause before a request, in milliseconds; each pause is random
    #[arg(long, env, value_name = "REQUESTS_DELAY", default_value = "1000", value_parser = milliseconds)]
    requests_delay: Duration,
    /// Records in all; unset: until DURATION is over, or a signal
    #[arg(long, env, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How long to go on; unset: until COUNT is reached, or a signal
    #[arg(long, env, value_name = "DURATION", value_parser = positive_duration)]
    duration: Option<Duration>,
    /// The folder for the logs; made where it is missing
    #[arg(long, env, value_name = "LOG_DIR", default_value = ".", value_parser = NonEmptyStringValueParser::new())]
    log_dir: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// State that the threads share.
struct Shared {
    client: Client,
    max_delay: Duration,
    /// Records that no thread has taken on yet; `None`: any number.
    left: Option<AtomicU64>,
    sent: AtomicU64,
    stop: CancellationToken,
}

/// Runs until all is sent, or a signal; returns the command's exit status.
pub async fn run(args: SimulateArgs) -> ExitCode {
    if let Err(status) = args.confirm.ask("add made-up records") {
        return status;
    }
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    let folder = PathBuf::from(&args.log_dir);
    let senders = match senders(&folder, args.threads) {
        Ok(senders) => senders,
        Err(error) => return refuse(&format!("LOG_DIR: {}: {error}", folder.display())),
    };
    let names: Vec<String> = senders.iter().map(|sender| sender.path().display().to_string()).collect();
    let shared = Arc::new(Shared {
        client,
        max_delay: args.requests_delay,
        left: args.count.map(AtomicU64::new),
        sent: AtomicU64::new(0),
        // A token of its own, so that the end of DURATION isn't taken for a signal.
        stop: stop.child_token(),
    });

    let begun = Instant::now();
    let outcome = send(&shared, senders, args.duration, args.count).await;
    let (sent, took) = (shared.sent.load(Relaxed), begun.elapsed().as_secs_f64());
    let summary = format!(
        "{} sent by {} in {took:.1} s, {:.0} a second; {} repeated; logs: {}",
        counted(sent, "record"),
        counted(names.len() as u64, "thread"),
        sent as f64 / took.max(0.001),
        counted(shared.client.tries_repeated(), "request"),
        names.join(" "),
    );
    complain(&summary);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

fn senders(folder: &Path, threads: u16) -> io::Result<Vec<Sender>> {
    std::fs::create_dir_all(folder)?;
    (0..threads).map(|_| Sender::new(folder)).collect()
}

/// Waits until all threads have ended. The first that fails ends the others.
async fn send(
    shared: &Arc<Shared>,
    senders: Vec<Sender>,
    duration: Option<Duration>,
    count: Option<u64>,
) -> Result<(), SendError> {
    let bar = progress_bar(count);
    let mut threads = JoinSet::new();
    for sender in senders {
        threads.spawn(sender.run(shared.clone()));
    }
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut outcome = Ok(());
    let is_over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let mut is_over = std::pin::pin!(is_over);
    loop {
        tokio::select! {
            ended = threads.join_next() => match ended {
                Some(Ok(Err(error))) => {
                    shared.stop.cancel();
                    outcome = outcome.and(Err(error));
                }
                Some(_) => {}
                None => break,
            },
            () = &mut is_over, if !shared.stop.is_cancelled() => shared.stop.cancel(),
            _ = tick.tick(), if !bar.is_hidden() => {
                bar.set_position(shared.sent.load(Relaxed));
                bar.set_message(shared.client.meter().trouble().unwrap_or_default());
            }
        }
    }
    bar.finish_and_clear();
    outcome
}

fn progress_bar(count: Option<u64>) -> ProgressBar {
    let Some(count) = count.filter(|_| io::stderr().is_terminal()) else { return ProgressBar::hidden() };
    let bar = ProgressBar::new(count);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:20.cyan/dim} {pos}/{len} {per_sec} {eta} {wide_msg}")
    {
        bar.set_style(style);
    }
    bar
}

/// Reads a duration; a number without a unit means milliseconds here.
fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number) => Ok(Duration::from_millis(number)),
        Err(_) if text.ends_with(|c: char| c.is_ascii_alphabetic()) => duration(text),
        Err(_) => Err("a delay is a number of milliseconds such as 1000, or 200ms, 2s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_in_milliseconds_unless_it_has_a_unit() {
        for (text, expected) in [("0", 0), ("1000", 1000), ("200ms", 200), ("2s", 2000)] {
            assert_eq!(milliseconds(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in ["", "-1", "0.5", "abc"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
