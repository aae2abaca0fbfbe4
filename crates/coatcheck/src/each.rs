//! Commands that change tasks one by one: asks first where that is wanted, makes a request for each, and prints a line for each answer.

use std::process::ExitCode;

use client::{Client, ClientError, ServerArgs};
use futures::{StreamExt, stream};
use program::{complain, counted, refuse, unwritten};
use uuid::Uuid;

use crate::confirm::ConfirmArgs;
use crate::table::{Column, Field, Table};

/// The most requests at once.
const AT_ONCE: usize = 8;

/// Which tasks to change, and where.
#[derive(Debug, clap::Args)]
pub struct EachArgs {
    /// The ids of the tasks
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    server: ServerArgs,
}

impl EachArgs {
    /// Changes the tasks, in their order; returns the exit status. `verb` says what is done, for the question.
    pub async fn run(
        self,
        verb: &str,
        columns: &'static [Column],
        change: impl AsyncFn(&Client, Uuid) -> Result<Vec<Field>, ClientError>,
    ) -> ExitCode {
        let (client, ids) = match self.server.client_and_ids(&self.ids) {
            Ok(both) => both,
            Err(error) => return refuse(&error),
        };
        if let Err(status) = self.confirm.ask(&format!("{verb} {}", counted(ids.len() as u64, "task"))) {
            return status;
        }
        let all = async {
            let answers = ids.iter().map(async |id| (id, change(&client, *id).await));
            let mut answers = stream::iter(answers).buffered(AT_ONCE);
            let (table, mut exit) = (Table::new(columns), 0);
            while let Some((id, answer)) = answers.next().await {
                match answer {
                    Ok(row) => {
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
        client.telling(all).await
    }
}
