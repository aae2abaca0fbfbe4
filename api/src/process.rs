//! The HTTP side as a process of its own, over servers that processes share.

use std::process::ExitCode;

use clap::Args;
use program::{LogArgs, in_one_line, refuse};
use task_data::life::Life;
use task_data::settings::Settings;
use task_data::stack::Stack;
use tracing::info;

use crate::{Address, ApiSettings, Server};

/// Run the API: it takes uploads in, hands tickets out and redeems them
///
/// Any number may run, on any machine that has the blobs' folder; workers do the tasks. Needs DATABASE_URL, AMQP_URL and
/// REDIS_URL; waits for a database that is not there yet.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export DATABASE_URL=postgres://coat:secret@db/coat
  export AMQP_URL=amqp://coat:secret@mq/%2f REDIS_URL=redis://cache
  coatcheck api --listen 0.0.0.0:9000 --auth required \\
    --jwt-secret-file /etc/coatcheck/jwt-secret
  DATABASE_URL_FILE=/run/secrets/database-url coatcheck api")]
pub struct ApiArgs {
    #[command(flatten)]
    api: ApiSettings,
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal, then drains; the exit status.
pub async fn run(args: ApiArgs) -> ExitCode {
    let stop = match program::begin(args.log) {
        Ok(stop) => stop,
        Err(status) => return status,
    };
    let beginning = args.promises.beginning();
    let address = match Address::take(args.api.listen) {
        Ok(address) => address,
        Err(error) => return refuse(&in_one_line(&error)),
    };
    let (stack, database) = match stop.run_until_cancelled(Stack::open_shared(&args.promises)).await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => return refuse(&in_one_line(&error)),
        None => return ExitCode::SUCCESS,
    };
    let life = match Life::start(stack.clone(), args.promises) {
        Ok(life) => life,
        Err(error) => return refuse(&format!("OUTCOME_LOG: {}", in_one_line(&error))),
    };
    let server = match Server::bind(address, life, stack, &database, args.api) {
        Ok(server) => server,
        Err(error) => return refuse(&in_one_line(&error)),
    };
    if let Err(status) = server.announce() {
        return status;
    }
    info!("{beginning}");
    program::ready();
    server.run(stop.cancelled()).await;
    ExitCode::SUCCESS
}
