//! `bench`: measures the speed and the memory of the released program. It uses the service over HTTP and argv only.

mod connection;
mod database;
mod digests;
mod drive;
mod error;
mod figures;
mod fleet;
mod hostile;
mod latency;
mod lines;
mod lookups;
mod messages;
mod outcomes;
mod peer;
mod plots;
mod process;
mod promises;
mod records;
mod report;
mod retention;
mod scaling;
mod servers;
mod service;
mod tables;
mod target;
mod uploads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use digests::DigestsArgs;
use error::{BenchError, io};
use hostile::HostileArgs;
use latency::LatencyArgs;
use lookups::LookupsArgs;
use messages::MessagesArgs;
use peer::{Peer, PeerArgs};
use plots::Plots;
use promises::PromisesArgs;
use records::RecordsArgs;
use report::Report;
use retention::RetentionArgs;
use scaling::ScalingArgs;
use servers::Servers;
use tables::TablesArgs;
use uploads::UploadsArgs;
use uploads::bare::{self, BareArgs};

/// Measure the program in the same folder as this one
///
/// Each part starts services with data of their own, and writes its section of the page of results.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// The page of results
    #[arg(long, global = true, default_value = "benches/RESULTS.md")]
    results: PathBuf,
    /// The folder for the plots
    #[arg(long, global = true, default_value = "docs/plots")]
    plots: PathBuf,
    #[command(flatten)]
    servers: Servers,
    #[command(flatten)]
    peer: PeerArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure everything
    All,
    Promises(PromisesArgs),
    Uploads(UploadsArgs),
    Latency(LatencyArgs),
    Lookups(LookupsArgs),
    Scaling(ScalingArgs),
    Records(RecordsArgs),
    Messages(MessagesArgs),
    Tables(TablesArgs),
    Digests(DigestsArgs),
    Hostile(HostileArgs),
    Retention(RetentionArgs),
    #[command(hide = true)]
    Bare(BareArgs),
}

/// The program and the paths that every part needs.
#[derive(Debug)]
struct Bench {
    /// The path of `coatcheck`.
    program: PathBuf,
    /// The path of this program.
    itself: PathBuf,
    /// The folder in which the peers' libraries may be installed.
    installed: PathBuf,
    servers: Servers,
    /// The peer to measure promises beside.
    peer: Option<Peer>,
    report: Report,
    plots: Plots,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cli = Cli::parse();
    let outcome = tokio::select! {
        outcome = run(cli, &arguments) => outcome,
        // Dropping the parts ends the processes that they have started, which a signal alone would not do.
        stopped = stopped() => stopped.and(Err(BenchError::Unexpected("stopped by a signal".to_owned()))),
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
    let Cli { what, results, plots, servers, peer } = cli;
    let itself = std::env::current_exe().map_err(io("the folder of this program"))?;
    let program = itself.with_file_name("coatcheck");
    if !program.exists() {
        return Err(BenchError::Unexpected(format!(
            "expected a program at {}; build it: cargo build --profile dist --package coatcheck",
            program.display()
        )));
    }
    let installed = itself.with_file_name("peers");
    let (report, plots) = (Report::new(results, arguments), Plots::new(plots));
    let bench = Bench { program, itself, installed, servers, peer: peer.peer()?, report, plots };
    match what {
        What::All => {
            promises::run(&bench, &PromisesArgs::default()).await?;
            uploads::run(&bench, &UploadsArgs::default()).await?;
            latency::run(&bench, &LatencyArgs::default()).await?;
            lookups::run(&bench, &LookupsArgs::default()).await?;
            scaling::run(&bench, &ScalingArgs::default()).await?;
            records::run(&bench, RecordsArgs::default()).await?;
            messages::run(&bench, MessagesArgs::default()).await?;
            tables::run(&bench, TablesArgs::default()).await?;
            digests::run(&bench, &DigestsArgs::default()).await?;
            hostile::run(&bench, &HostileArgs::default()).await?;
            retention::run(&bench, &RetentionArgs::default()).await
        }
        What::Promises(args) => promises::run(&bench, &args).await,
        What::Uploads(args) => uploads::run(&bench, &args).await,
        What::Latency(args) => latency::run(&bench, &args).await,
        What::Lookups(args) => lookups::run(&bench, &args).await,
        What::Scaling(args) => scaling::run(&bench, &args).await,
        What::Records(args) => records::run(&bench, args).await,
        What::Messages(args) => messages::run(&bench, args).await,
        What::Tables(args) => tables::run(&bench, args).await,
        What::Digests(args) => digests::run(&bench, &args).await,
        What::Hostile(args) => hostile::run(&bench, &args).await,
        What::Retention(args) => retention::run(&bench, &args).await,
        What::Bare(args) => bare::run(&args).await,
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
