//! `coatcheck ls`: lists tasks, newest first.

use std::io;
use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use client::{AsSent, Client, ClientError, ServerArgs, Status, Task, TaskQuery};
use indicatif::{HumanBytes, HumanDuration};
use program::{complain, duration, refuse, unwritten};
use task_data::kinds::Kind;

use crate::table::{Column, Field, Table};
use crate::terminal::{self, json_line};

/// The most tasks that the server puts on a page.
const PAGE: usize = 1000;
/// The most characters of a message's text: as many as a file's name may have.
const LONGEST: usize = 255;

const COLUMNS: &[Column] = &[
    Column::of("ID", 36),
    Column::of("KIND", 7).spare(),
    Column::of("STATUS", 9),
    Column::number("CREATED", 8),
    Column::number("SIZE", 10).spare(),
    Column::of("NAME", 20),
];

/// List tasks, newest first
///
/// On a terminal it prints a table. In a pipe each task is a line without a heading, its fields separated by one tab: id, kind, status,
/// time of creation (RFC 3339), size in bytes, name; - stands for a missing one. A message has the beginning of its text as its name.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 the list is whole, or as long as --limit; 1 it could not be read or printed; 2 wrong usage or settings; 3 the server can't \
be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck ls
  coatcheck ls --status failed --since 2h
  coatcheck ls --error-code worker-lost
  coatcheck ls --filename IMG_2026
  coatcheck ls --status pending,running | cut -f 1 | xargs -r coatcheck cancel
  coatcheck ls --kind md5 --since 2026-01-31T08:00:00Z --limit 5000 --json")]
pub struct LsArgs {
    /// Only tasks with this status; a comma separates several
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = statuses())]
    status: Vec<Status>,
    /// Only tasks of this kind; a comma separates several
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)))]
    kind: Vec<String>,
    /// Only tasks created since then: RFC 3339 such as 2026-01-31T08:00:00Z, or how long ago, such as 30m, 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only tasks that failed with this code
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,
    /// Only tasks with a file whose name begins so
    #[arg(long, value_name = "START")]
    filename: Option<String>,
    /// The most tasks to list
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print each task as the server gives it, as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerArgs,
}

/// A selection of tasks.
#[derive(Debug, Default)]
pub struct Selection {
    pub status: Vec<Status>,
    pub kind: Vec<String>,
    pub since: Option<DateTime<Utc>>,
    pub error_code: Option<String>,
    pub filename: Option<String>,
    pub limit: usize,
}

/// Why the list ended early.
enum Trouble {
    Client(ClientError),
    Output(io::Error),
}

/// Runs the command; returns its exit status.
pub async fn run(args: LsArgs) -> ExitCode {
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    let LsArgs { status, kind, since, error_code, filename, json, .. } = args;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let selection = Selection { status, kind, since, error_code, filename, limit };
    match client.telling(list(&client, &selection, json)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => unwritten(&error),
        Err(Trouble::Client(error)) => {
            complain(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

async fn list(client: &Client, selection: &Selection, json: bool) -> Result<(), Trouble> {
    let table = Table::new(COLUMNS);
    let (mut pages, mut count) = (Pages::new(client, selection), 0);
    while let Some(tasks) = pages.next().await.map_err(Trouble::Client)? {
        let printed = match json {
            true => {
                let lines: String = tasks.iter().map(|task| json_line(task.json())).collect();
                terminal::print(lines.as_bytes())
            }
            false => table.print(tasks.iter().map(|task| row(task, Utc::now()))),
        };
        printed.map_err(Trouble::Output)?;
        count += tasks.len();
    }
    if count == 0 && !json {
        table.print_none("no tasks");
    }
    Ok(())
}

/// The pages of a list, read one after the other up to the limit.
pub struct Pages<'a> {
    client: &'a Client,
    selection: &'a Selection,
    left: usize,
    after: Option<String>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub const fn new(client: &'a Client, selection: &'a Selection) -> Self {
        Self { client, selection, left: selection.limit, after: None, is_over: false }
    }

    /// Returns the tasks of the next page that are selected; `None` after the last page.
    ///
    /// # Errors
    /// The reason why the server does not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<AsSent<Task>>>, ClientError> {
        if self.is_over || self.left == 0 {
            return Ok(None);
        }
        let Selection { status, kind, since, error_code, filename, .. } = self.selection;
        let query = TaskQuery {
            status,
            kind,
            since: *since,
            error_code: error_code.as_deref(),
            filename: filename.as_deref(),
            after: self.after.as_deref(),
            limit: self.left.min(PAGE),
            ..TaskQuery::default()
        };
        let page = self.client.tasks(query).await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        let mut tasks = page.tasks;
        tasks.truncate(self.left);
        self.left -= tasks.len();
        Ok(Some(tasks))
    }
}

fn created(task: &Task) -> Option<DateTime<Utc>> {
    task.created.as_ref()?.at()
}

fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::name))
        .try_map(|name| Status::of(&name).ok_or("expected a status"))
}

/// Returns the name of the file that was handed in, or the beginning of a message's text.
pub fn name(task: &Task) -> Option<&str> {
    task.input.filename.as_deref().or_else(|| {
        let text = task.input.text.as_deref()?;
        let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
        Some(&text[..end])
    })
}

fn row(task: &Task, now: DateTime<Utc>) -> Vec<Field> {
    let age = created(task).map(|at| HumanDuration((now - at).to_std().unwrap_or_default()));
    let exact = task.created.as_ref().map(|created| created.as_str().to_owned());
    let size = task.input.size;
    vec![
        Field::Text(task.id.to_string()),
        Field::of(task.kind.as_deref()),
        Field::status(task.status_name.as_deref()),
        Field::either(exact, age.map(|age| format!("{age:#} ago"))),
        Field::either(size.map(|size| size.to_string()), size.map(|size| HumanBytes(size).to_string())),
        Field::of(name(task)),
    ]
}

/// Parses a time: RFC 3339, or how long ago it was.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let wrong = "expected RFC 3339 such as 2026-01-31T08:00:00Z, or how long ago such as 30m, 2h or 7d";
    let ago = duration(text).map_err(|_| wrong)?;
    // Further back than the calendar is since ever.
    let time = TimeDelta::from_std(ago).ok().and_then(|ago| Utc::now().checked_sub_signed(ago));
    Ok(time.unwrap_or(DateTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_an_age() {
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(DateTime::UNIX_EPOCH));
        assert!(time("2h").unwrap() < time("1h").unwrap());
        assert_eq!(time("999999999999d"), Ok(DateTime::UNIX_EPOCH));
        for wrong in ["", "yesterday", "2026-01-31", "-5m"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
