//! A worker as a process of its own, over servers that processes share.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use program::{LogArgs, in_one_line, refuse};
use task_data::life::Life;
use task_data::settings::Settings;
use task_data::stack::Stack;
use tracing::{error, info};

use crate::{Draining, WorkerSettings, work};

/// Run a worker, which claims tasks and does them
///
/// Any number of workers may run, all with access to the uploads. Needs DATABASE_URL, AMQP_URL and
/// REDIS_URL; waits for a database that is not available yet, and works without the queue while that is away. SIGUSR1 drains it, as
/// SIGTERM does: it claims nothing more, finishes what it has or hands it back, and exits with 0.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export DATABASE_URL=postgres://coat:secret@db/coat
  export AMQP_URL=amqp://coat:secret@mq/%2f REDIS_URL=redis://cache
  coatcheck worker --metrics-listen 127.0.0.1:9001
  FREE_URL=https://free.example PAID_URL=https://paid.example coatcheck worker")]
pub struct WorkerArgs {
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    worker: WorkerSettings,
    /// The address of this worker's metrics for Prometheus, such as 127.0.0.1:9001; unset: metrics are not served
    #[arg(long, env, value_name = "METRICS_LISTEN", help_heading = "Worker")]
    metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal, then drains; returns the exit status.
pub async fn run(args: WorkerArgs) -> ExitCode {
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };
    let signal = match program::drain_signal() {
        Ok(signal) => signal,
        Err(error) => return refuse(&format!("the handlers of signals could not be installed: {error}")),
    };
    let beginning = args.promises.beginning();
    let stack = match stop.run_until_cancelled(Stack::open_shared(&args.promises)).await {
        Some(Ok((stack, _))) => stack,
        Some(Err(error)) => return refuse(&in_one_line(&error)),
        None => return ExitCode::SUCCESS,
    };
    if let Some(address) = args.metrics_listen
        && let Err(error) = program::metrics::serve(address).await
    {
        return refuse(&format!("METRICS_LISTEN: {address}: {}", in_one_line(&error)));
    }
    let life = match Life::start(stack.clone(), args.promises) {
        Ok(life) => life,
        Err(error) => return refuse(&format!("OUTCOME_LOG: {}", in_one_line(&error))),
    };
    info!("{beginning}");
    program::ready();
    info!("the worker is ready and claims tasks");
    let draining = Draining { signal, ends_process: true };
    match work(life, stack, args.worker, draining, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the worker ends: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}
