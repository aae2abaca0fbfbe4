//! `coatcheck get`: shows the task of a ticket.

use std::process::ExitCode;

use program::{complain, refuse, unwritten};

use crate::client::{ClientError, ServerArgs};
use crate::terminal::{self, escaped_json};

/// Show the task behind a ticket, as JSON
///
/// Prints the task as the server gives it: its status (pending, running, succeeded, failed or cancelled), what was
/// handed in, and the result once there is one. It doesn't wait for the task to end: ask again, or hand files in with
/// `coatcheck put`, which does. A server that is busy, starting or out of reach is tried again for a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 the task was printed; 1 the task does not exist, or it could not be printed; 2 wrong usage or settings, as an ID that is not one; \
3 the server can't be reached; 4 it refused the API key, or its owner lacks a right; 130 and 143 a signal (Ctrl-C, kill) ended it.

Examples:
  coatcheck get 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d
  coatcheck get 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d | jq -r .result.md5
  coatcheck get --url http://hasher:9000 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d")]
pub struct GetArgs {
    /// The id that was given when the work was handed in
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command; returns its exit status.
pub async fn run(args: GetArgs) -> ExitCode {
    let client = match args.server.client() {
        Ok(client) => client,
        Err(error) => return refuse(&error.to_string()),
    };
    match client.telling(client.task(args.id.trim())).await {
        Ok(task) => match terminal::print(escaped_json(&format!("{task:#}\n")).as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => unwritten(&error),
        },
        Err(error @ ClientError::NotAnId(_)) => refuse(&error.to_string()),
        Err(error) => {
            complain(&format!("{}: {error}", args.id));
            ExitCode::from(error.status())
        }
    }
}
