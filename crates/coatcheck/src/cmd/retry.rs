//! `coatcheck retry`: does ended tasks again.

use std::process::ExitCode;

use crate::each::EachArgs;
use crate::table::{Column, Field};

const COLUMNS: &[Column] = &[Column::of("ID", 36), Column::of("RETRIED FROM", 36)];

/// Do tasks again that have ended
///
/// Each becomes a new task with the same upload or text; of a table the rows that failed are sent again. Prints a line for each, in the order of
/// the IDs: the new task's id and the old one's, in a pipe with one tab between. The upload of a failed task is kept for the server's
/// KEEP_FAILED_UPLOADS.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all are done again; 1 some are not, because they have not ended, do not exist or have lost their upload: each has a line on \
standard error; 2 wrong usage or settings, as an ID that is not one; 3 the server can't be reached; 4 it refused the API key, or its owner \
lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck retry 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d
  coatcheck ls --status failed | cut -f 1 | xargs -r coatcheck retry")]
pub struct RetryArgs {
    #[command(flatten)]
    tasks: EachArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: RetryArgs) -> ExitCode {
    let retry = async |client: &client::Client, id| {
        let task = client.retry(id).await?;
        Ok(vec![Field::Text(task.id.to_string()), Field::Text(id.to_string())])
    };
    args.tasks.run("retry", COLUMNS, retry).await
}
