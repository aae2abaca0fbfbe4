//! `coatcheck-api`: what `coatcheck api` is, in a program of its own.

use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "coatcheck-api", version)]
struct Cli {
    #[command(flatten)]
    api: api::ApiArgs,
}

fn main() -> ExitCode {
    match program::parse::<Cli>() {
        Ok(cli) => program::run(api::run(cli.api)),
        Err(status) => status,
    }
}
