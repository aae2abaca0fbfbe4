//! `bench`: how fast the released program is, and how much memory it needs. It knows the service over HTTP and argv only.

mod connection;
mod digests;
mod error;
mod figures;
mod fleet;
mod hostile;
mod lines;
mod messages;
mod process;
mod records;
mod report;
mod servers;
mod service;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use digests::DigestsArgs;
use error::{BenchError, io};
use hostile::HostileArgs;
use messages::MessagesArgs;
use records::RecordsArgs;
use report::Report;
use servers::Servers;
use tables::TablesArgs;

/// Measure the program that stands beside this one
///
/// Each part starts services on data of their own, and writes its section of the page of results.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// The page of results
    #[arg(long, global = true, default_value = "benches/RESULTS.md")]
    results: PathBuf,
    #[command(flatten)]
    servers: Servers,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure everything
    All,
    Records(RecordsArgs),
    Messages(MessagesArgs),
    Tables(TablesArgs),
    Digests(DigestsArgs),
    Hostile(HostileArgs),
}

/// What every part needs.
#[derive(Debug)]
struct Bench {
    /// `coatcheck`.
    program: PathBuf,
    /// Where peers' libraries may be installed.
    installed: PathBuf,
    servers: Servers,
    report: Report,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cli = Cli::parse();
    let outcome = tokio::select! {
        outcome = run(cli, &arguments) => outcome,
        // What was started ends when it is dropped, which a signal alone would not do.
        stopped = stopped() => stopped.and(Err(BenchError::Unexpected("it was stopped".to_owned()))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, arguments: &[String]) -> Result<(), BenchError> {
    let Cli { what, results, servers } = cli;
    let beside = std::env::current_exe().map_err(io("the folder of this program"))?;
    let program = beside.with_file_name("coatcheck");
    if !program.exists() {
        return Err(BenchError::Unexpected(format!("{} is not built", program.display())));
    }
    let report = Report::new(results, arguments);
    let bench = Bench { program, installed: beside.with_file_name("peers"), servers, report };
    match what {
        What::All => {
            records::run(&bench, RecordsArgs::default()).await?;
            messages::run(&bench, MessagesArgs::default()).await?;
            tables::run(&bench, TablesArgs::default()).await?;
            digests::run(&bench, &DigestsArgs::default()).await?;
            hostile::run(&bench, &HostileArgs::default()).await
        }
        What::Records(args) => records::run(&bench, args).await,
        What::Messages(args) => messages::run(&bench, args).await,
        What::Tables(args) => tables::run(&bench, args).await,
        What::Digests(args) => digests::run(&bench, &args).await,
        What::Hostile(args) => hostile::run(&bench, &args).await,
    }
}

async fn stopped() -> Result<(), BenchError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).map_err(io("signals"))?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(io("signals")),
    }
}
