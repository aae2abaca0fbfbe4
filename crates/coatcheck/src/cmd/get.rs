//! `coatcheck get`: shows the tasks of tickets, now or once they have ended.

use std::process::ExitCode;
use std::time::Duration;

use client::{Client, ServerArgs, Status, WAITS};
use futures::{StreamExt, stream};
use program::{complain, duration, refuse, unwritten};
use tokio::time::Instant;
use uuid::Uuid;

use crate::terminal::{self, escaped_json, json_line};

/// Show the tasks behind tickets, as JSON
///
/// Prints each task as the server gives it: its status (pending, running, succeeded, failed or cancelled), what was
/// handed in, and the result once there is one. One task is printed over several lines, several a line each, in the order of the IDs.
///
/// Without --wait it doesn't wait for a task to end. A server that is busy, starting or out of reach is tried again for a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 the tasks were printed, however they ended; 1 the task does not exist, or it could not be printed, or it has not ended when \
the time of --wait is over; 2 wrong usage or settings, as an ID that is not one; \
3 the server can't be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck get 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d
  coatcheck get --wait 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d | jq -r .status
  xargs coatcheck get --wait=10m < ids | jq -r .status
  coatcheck get --url http://hasher 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d")]
pub struct GetArgs {
    /// The ids that were given when the work was handed in
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Wait until the tasks have ended, for up to that long in all, such as 10s or 5m; without a time, however long it takes
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration)]
    wait: Option<Option<Duration>>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: GetArgs) -> ExitCode {
    match args.server.client_and_ids(&args.ids) {
        Ok((client, ids)) => client.telling(show(&client, &ids, args.wait)).await,
        Err(error) => refuse(&error),
    }
}

async fn show(client: &Client, ids: &[Uuid], wait: Option<Option<Duration>>) -> ExitCode {
    // A time beyond the clock's is without an end.
    let deadline = wait.flatten().and_then(|wait| Instant::now().checked_add(wait));
    let tasks = ids.iter().map(async |id| {
        let task = match wait {
            None => client.task(*id).await,
            Some(_) => client.ended(*id, deadline).await,
        };
        (*id, task)
    });
    let mut tasks = stream::iter(tasks).buffered(WAITS);
    let mut exit = 0;
    while let Some((id, task)) = tasks.next().await {
        let task = match task {
            Ok(task) => task,
            Err(error) => {
                complain(&format!("{id}: {error}"));
                exit = exit.max(error.status());
                continue;
            }
        };
        let json = if ids.len() == 1 {
            escaped_json(&format!("{:#}\n", task.json()))
        } else {
            json_line(task.json())
        };
        if let Err(error) = terminal::print(json.as_bytes()) {
            return unwritten(&error);
        }
        if wait.is_some() && !task.status().is_some_and(Status::is_ended) {
            complain(&format!("{id}: the time of --wait is over, and the task has not ended"));
            exit = exit.max(1);
        }
    }
    ExitCode::from(exit)
}
