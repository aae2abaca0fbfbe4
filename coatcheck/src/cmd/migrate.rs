//! `coatcheck migrate`: bring the database's schema up to date.

use std::process::ExitCode;

use task_data::settings::Settings;

use crate::settings::refuse;
use crate::{LogArgs, in_one_line};

/// Make the database where it is missing, and bring its schema up to date
///
/// A program that has a database of its own does so by itself when it starts.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the command; its exit status.
pub fn run(args: &MigrateArgs) -> ExitCode {
    args.log.start();
    match task_data::stack::migrate(&args.promises) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&in_one_line(&error)),
    }
}
