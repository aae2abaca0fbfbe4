//! `coatcheck-worker`: the command `coatcheck worker` as a program of its own.

use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "coatcheck-worker", version)]
struct Cli {
    #[command(flatten)]
    worker: worker::WorkerArgs,
}

fn main() -> ExitCode {
    match program::parse::<Cli>() {
        Ok(cli) => program::run(worker::run(cli.worker)),
        Err(status) => status,
    }
}
