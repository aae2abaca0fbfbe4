//! `coatcheck outcomes`: prints the outcomes of ended tasks, in the server's order.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use client::{Client, ClientError, Outcome, ServerArgs, WAIT};
use program::{complain, refuse, unwritten};

use crate::table::{Column, Field, Table};

const COLUMNS: &[Column] = &[
    Column::of("CURSOR", 10),
    Column::of("FINISHED", 8).spare(),
    Column::of("ID", 36),
    Column::of("KIND", 7).spare(),
    Column::of("STATUS", 9),
    // An MD5.
    Column::of("DETAIL", 32),
];

/// Print outcomes of ended tasks, oldest first
///
/// Each outcome is printed once, in one order for all readers. On a terminal it prints a table. In a pipe each outcome is a line, its fields
/// separated by one tab: cursor, time of the end (RFC 3339), id, kind, status, detail. To go on where a call ended, give its last cursor to
/// --after.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all are printed; 1 they could not be read or printed, or some after the cursor were deleted; 2 wrong usage or settings; \
3 the server can't be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck outcomes
  coatcheck outcomes --follow --after now
  coatcheck outcomes --after 1842-3 | cut -f 3,6")]
pub struct OutcomesArgs {
    /// Go on with those that end later, until a signal comes
    #[arg(long)]
    follow: bool,
    /// Only outcomes after this cursor, or `now`: only those that end from now on; without it, all from the oldest that is kept
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Why the command ended early.
enum Trouble {
    Client(ClientError),
    Output(io::Error),
}

/// Runs the command; returns its exit status.
pub async fn run(args: OutcomesArgs) -> ExitCode {
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    match client.telling(print(&client, args.after, args.follow)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Output(error)) => unwritten(&error),
        Err(Trouble::Client(error)) => {
            complain(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}

async fn print(client: &Client, mut after: Option<String>, follow: bool) -> Result<(), Trouble> {
    let table = Table::new(COLUMNS);
    let (mut has_printed, mut wait) = (false, Duration::ZERO);
    loop {
        let page = client.outcomes(after.as_deref(), wait).await.map_err(Trouble::Client)?;
        // While some are found, more may follow at once; a server may also have looked only at a part.
        let is_end = page.outcomes.is_empty() && after.as_ref() == Some(&page.next);
        if is_end && !follow {
            break;
        }
        wait = if is_end { WAIT } else { Duration::ZERO };
        has_printed |= !page.outcomes.is_empty();
        table.print(page.outcomes.iter().map(row)).map_err(Trouble::Output)?;
        after = Some(page.next);
    }
    if !has_printed {
        table.print_none("no outcomes");
    }
    Ok(())
}

fn row(outcome: &Outcome) -> Vec<Field> {
    vec![
        Field::of(Some(&outcome.cursor)),
        Field::clock(outcome.finished.as_ref()),
        Field::Text(outcome.id.to_string()),
        Field::of(outcome.kind.as_deref()),
        Field::status(outcome.status.as_deref()),
        Field::of(outcome.detail.as_deref()),
    ]
}
