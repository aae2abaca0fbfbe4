//! `coatcheck-providers`: the command `coatcheck providers` as a program of its own.

use std::process::ExitCode;

#[derive(Debug, clap::Parser)]
#[command(name = "coatcheck-providers", version)]
struct Cli {
    #[command(flatten)]
    providers: providers::ProvidersArgs,
}

fn main() -> ExitCode {
    match program::parse::<Cli>() {
        Ok(cli) => program::run(providers::run(cli.providers)),
        Err(status) => status,
    }
}
