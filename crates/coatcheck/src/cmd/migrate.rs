//! `coatcheck migrate`: brings the database's schema up to date.

use std::process::ExitCode;

use program::{LogArgs, complain, in_one_line, refuse, without_passwords};
use task_data::settings::Settings;
use task_data::stack::Migrated;

/// Make the database where it is missing, and bring its schema up to date
///
/// Waits for a PostgreSQL that is not there yet. The programs that use a database do this themselves when they start.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 the schema is up to date; 2 wrong usage or settings, or the database refuses.

Examples:
  coatcheck migrate
  DATABASE_URL=postgres://coat:secret@db/coat coatcheck migrate
  DATABASE_URL_FILE=/run/secrets/database-url coatcheck migrate")]
pub struct MigrateArgs {
    #[command(flatten)]
    promises: Settings,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: MigrateArgs) -> ExitCode {
    if let Err(line) = args.log.start() {
        return refuse(&line);
    }
    match task_data::stack::migrate(&args.promises).await {
        Ok(Migrated { database, is_new }) => {
            let database = without_passwords(&database);
            complain(&match is_new {
                true => format!("made the database {database}"),
                false => format!("the schema of {database} is up to date"),
            });
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&in_one_line(&error)),
    }
}
