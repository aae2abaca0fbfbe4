//! The whole service in one process: the embedded stack, the API and a worker.

use std::process::ExitCode;

use api::{Address, ApiSettings, Server};
use program::{LogArgs, in_one_line, refuse};
use task_data::life::Life;
use task_data::settings::Settings;
use task_data::stack::Stack;
use tracing::{error, info};
use worker::{Draining, WorkerSettings};

/// The settings of the whole service.
#[derive(Debug, clap::Args)]
pub struct AllInOneArgs {
    #[command(flatten)]
    api: ApiSettings,
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal, then drains.
pub async fn run(args: AllInOneArgs) -> ExitCode {
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };

    let draining = match program::drain_signal() {
        // The API goes on.
        Ok(signal) => Draining { signal, ends_process: false },
        Err(error) => return refuse(&format!("the handlers of signals could not be installed: {error}")),
    };
    let beginning = args.promises.beginning();
    let address = match Address::take(args.api.listen) {
        Ok(address) => address,
        // The program that has the data open says more than the failed address does.
        Err(error) => {
            let holder = Stack::holder(&args.promises);
            return refuse(&holder.map_or_else(|| in_one_line(&error), |holder| in_one_line(&holder)));
        }
    };
    // Held to the end: a second program on the same data would treat this one's tasks as lost.
    let (stack, database, hold) = match Stack::open_alone(&args.promises) {
        Ok(opened) => opened,
        Err(error) => return refuse(&in_one_line(&error)),
    };
    let life = match Life::start(stack.clone(), args.promises) {
        Ok(life) => life,
        Err(error) => return refuse(&format!("OUTCOME_LOG: {}", in_one_line(&error))),
    };
    if let Err(error) = life.begin_alone().await {
        return refuse(&format!("DATABASE_URL: {}", in_one_line(&error)));
    }
    let server = match Server::bind(address, life.clone(), stack.clone(), &database, args.api) {
        Ok(server) => server,
        Err(error) => return refuse(&in_one_line(&error)),
    };
    if let Err(status) = server.announce() {
        return status;
    }
    info!("{beginning}");
    program::ready();

    let store = stack.store.clone();
    let work = async {
        let outcome = tokio::select! {
            outcome = worker::work(life, stack, args.worker, draining, stop.clone()) => outcome.map_err(|error| in_one_line(&error)),
            error = hold.failed() => Err(format!("DATABASE_URL: {}", in_one_line(&error))),
        };
        // Whatever ended it: without its worker the program is useless.
        stop.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(work, server.run(stop.cancelled()));
    // Nothing is under way any more. Data that can't be closed properly is as safe as after `kill -9`.
    let _ = store.close().await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the program ends: {error}");
            ExitCode::FAILURE
        }
    }
}
