//! `coatcheck cancel`: cancels tasks.

use std::process::ExitCode;

use client::ServerArgs;
use futures::{StreamExt, stream};
use program::{complain, counted, refuse, unwritten};

use crate::confirm::ConfirmArgs;
use crate::table::{Column, Field, Table};

/// The most requests at once.
const AT_ONCE: usize = 8;

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
    /// The ids of the tasks
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: CancelArgs) -> ExitCode {
    let (client, ids) = match args.server.client_and_ids(&args.ids) {
        Ok(both) => both,
        Err(error) => return refuse(&error),
    };
    if let Err(status) = args.confirm.ask(&format!("cancel {}", counted(ids.len() as u64, "task"))) {
        return status;
    }
    let cancel = async {
        let answers = ids.iter().map(async |id| (id, client.cancel(*id).await));
        let mut answers = stream::iter(answers).buffered(AT_ONCE);
        let (table, mut exit) = (Table::new(COLUMNS), 0);
        while let Some((id, answer)) = answers.next().await {
            match answer {
                Ok(task) => {
                    let row = vec![Field::Text(id.to_string()), Field::status(task.status_name.as_deref())];
                    if let Err(error) = table.print([row]) {
                        return unwritten(&error);
                    }
                }
                Err(error) => {
                    complain(&format!("{id}: {error}"));
                    exit = exit.max(error.status());
                }
            }
        }
        ExitCode::from(exit)
    };
    client.telling(cancel).await
}
