//! `coatcheck watch`: a line for each change of tasks, until all have ended.

use std::cell::RefCell;
use std::io;
use std::process::ExitCode;

use client::{Client, ClientError, ServerArgs, Status, Task, WAITS};
use futures::{StreamExt, stream};
use program::{complain, refuse, unwritten};
use task_data::kinds::Kind;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::cmd::ls::{Pages, Selection, name};
use crate::table::{Column, Field, Table};

const COLUMNS: &[Column] = &[
    Column::of("ID", 36),
    Column::of("STATUS", 9),
    Column::of("AT", 8).spare(),
    Column::of("NAME", 16),
    // An MD5.
    Column::of("DETAIL", 32),
];

/// Follow tasks: print a line for each change, until all have ended
///
/// Without IDs it follows the newest tasks that have not ended, up to 64, as `coatcheck ls --status pending,running` lists them. With IDs it
/// follows up to 64 at once; the next one begins when one has ended.
///
/// On a terminal it prints a table. In a pipe each line has the fields id, status, time of the change (RFC 3339), name and detail, separated by one
/// tab. The detail is what the outcome log has for a task that succeeded (for a file its MD5); of another one its error, or - for none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all have ended, however; 1 some do not exist, or could not be printed; 2 wrong usage or settings, as an ID that is not one; \
3 the server can't be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck watch
  coatcheck watch 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d
  coatcheck watch | grep --line-buffered failed")]
pub struct WatchArgs {
    /// The ids of the tasks; without one, the newest that have not ended
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: WatchArgs) -> ExitCode {
    let (client, ids) = match args.server.client_and_ids(&args.ids) {
        Ok(both) => both,
        Err(error) => return refuse(&error),
    };
    let watch = async {
        if !ids.is_empty() {
            return follow(&client, ids).await;
        }
        match newest(&client).await {
            Ok(ids) if ids.is_empty() => {
                complain("all tasks have ended");
                ExitCode::SUCCESS
            }
            Ok(ids) => follow(&client, ids).await,
            Err(error) => {
                complain(&error.to_string());
                ExitCode::from(error.status())
            }
        }
    };
    client.telling(watch).await
}

/// Returns the ids of the newest tasks that have not ended, newest first.
async fn newest(client: &Client) -> Result<Vec<Uuid>, ClientError> {
    let mut ids = Vec::new();
    // Two lists: of all tasks, those that have not ended may be far back.
    for status in [Status::Running, Status::Pending] {
        let selection = Selection { status: vec![status], limit: WAITS, ..Selection::default() };
        let mut pages = Pages::new(client, &selection);
        while let Some(tasks) = pages.next().await? {
            ids.extend(tasks.iter().map(|task| task.id));
        }
    }
    // A UUIDv7 begins with its time.
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    ids.truncate(WAITS);
    Ok(ids)
}

async fn follow(client: &Client, ids: Vec<Uuid>) -> ExitCode {
    let table = Table::new(COLUMNS);
    let (unwritable, is_unwritable) = (RefCell::new(None::<io::Error>), Notify::new());
    let tell = |task: &Task| {
        if let Err(error) = table.print([row(task)]) {
            unwritable.replace(Some(error));
            is_unwritable.notify_one();
        }
    };
    let ends = ids.into_iter().map(async |id| (id, client.follow(id, tell).await));
    let mut ends = stream::iter(ends).buffer_unordered(WAITS);
    let mut exit = 0;
    loop {
        let end = tokio::select! {
            biased;
            () = is_unwritable.notified() => None,
            end = ends.next() => end,
        };
        if let Some(error) = unwritable.take() {
            return unwritten(&error);
        }
        match end {
            None => return ExitCode::from(exit),
            Some((_, Ok(()))) => {}
            Some((id, Err(error))) => {
                complain(&format!("{id}: {error}"));
                exit = exit.max(error.status());
            }
        }
    }
}

fn row(task: &Task) -> Vec<Field> {
    // The time of the state: of the last step that was taken.
    let at = match task.status() {
        Some(Status::Pending) => &task.created,
        Some(Status::Running) => &task.started,
        Some(_) | None => &task.finished,
    };
    vec![
        Field::Text(task.id.to_string()),
        Field::status(task.status_name.as_deref()),
        Field::clock(at.as_ref()),
        Field::of(name(task)),
        Field::of(detail(task).as_deref()),
    ]
}

/// Returns the outcome of a task that succeeded, in the outcome log's words; of another task, its error.
pub fn detail(task: &Task) -> Option<String> {
    if let Some(result) = &task.result {
        let kind = Kind::ALL.into_iter().find(|kind| task.kind.as_deref() == Some(kind.name()))?;
        return Some(kind.outcome_detail(result.json()));
    }
    let error = task.error.as_ref()?;
    Some(format!("{}: {}", error.code.as_deref()?, error.detail.as_deref()?))
}
