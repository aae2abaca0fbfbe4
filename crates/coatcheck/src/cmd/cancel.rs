//! `coatcheck cancel`: cancels tasks.

use std::process::ExitCode;

use crate::each::EachArgs;
use crate::table::{Column, Field};

const COLUMNS: &[Column] = &[Column::of("ID", 36), Column::of("STATUS", 9)];

/// Cancel tasks that have not ended
///
/// Prints a line for each task that is cancelled, in the order of the IDs: its id and its status, in a pipe with one tab between. A task that is being
/// worked on may still be running then; it ends soon after. A task that is cancelled already counts as done.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all are cancelled; 1 some are not, because they have ended or do not exist: each has a line on standard error; 2 wrong usage \
or settings, as an ID that is not one; 3 the server can't be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a \
signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck cancel 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d
  coatcheck ls --status pending | cut -f 1 | xargs -r coatcheck cancel")]
pub struct CancelArgs {
    #[command(flatten)]
    tasks: EachArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: CancelArgs) -> ExitCode {
    let cancel = async |client: &client::Client, id| {
        let task = client.cancel(id).await?;
        Ok(vec![Field::Text(id.to_string()), Field::status(task.status_name.as_deref())])
    };
    args.tasks.run("cancel", COLUMNS, cancel).await
}
