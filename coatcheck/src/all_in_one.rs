//! The whole service in one process: the embedded stack, the API and a worker.

use std::process::ExitCode;

use api::{ApiSettings, Server};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use task_data::life::Life;
use task_data::settings::Settings;
use task_data::stack::Stack;
use tracing::error;
use worker::WorkerSettings;

use crate::settings::refuse;
use crate::{LogArgs, in_one_line, signals};

/// What the whole service is told.
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
    args.log.start();
    raise_file_limit();
    let stop = match signals::stop_token() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("signals can't be handled: {error}")),
    };

    // Held to the end: a second program on the same data would take this one's tasks for lost.
    let (stack, _hold) = match Stack::open_alone(&args.promises) {
        Ok(opened) => opened,
        Err(error) => return refuse(&in_one_line(&error)),
    };
    let life = match Life::start(stack, args.promises) {
        Ok(life) => life,
        Err(error) => return refuse(&format!("OUTCOME_LOG: {}", in_one_line(&error))),
    };
    if let Err(error) = life.begin_alone().await {
        return refuse(&format!("DATABASE_URL: {}", in_one_line(&error)));
    }
    let server = match Server::bind(life.clone(), args.api) {
        Ok(server) => server,
        Err(error) => return refuse(&format!("LISTEN: {error}")),
    };
    for address in server.addresses() {
        println!("coatcheck: page http://{address}/ · API http://{address}/docs");
    }

    let work = async {
        let outcome = worker::run(life, args.worker, stop.clone()).await;
        // Whatever ended it: without its worker the program is of no use.
        stop.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(work, server.run(stop.cancelled()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("the program ends: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Many clients may wait at once, a descriptor each; the soft limit is often far below what is allowed.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it can't be raised the program runs with what it has.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
