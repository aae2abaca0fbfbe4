//! Changes on a server that its context calls production are confirmed first.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use program::{complain, refuse, visible, without_passwords};

/// Confirms a change in production.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ConfirmArgs {
    /// Go on without asking where the context has `production = true` in the config file
    #[arg(long)]
    yes: bool,
}

impl ConfirmArgs {
    /// Asks on the terminal whether to go on, if the command works in production. `change` says what is done: "cancel 2 tasks".
    ///
    /// # Errors
    /// The exit status, if the answer is not yes, or the question needs a terminal and standard input or standard error is not one.
    pub fn ask(self, change: &str) -> Result<(), ExitCode> {
        let Some(context) = program::context().filter(|context| context.is_production && !self.yes) else {
            return Ok(());
        };
        let name = &context.name;
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(refuse(&format!(
                "context {name} is production, and only a terminal can be asked; to go on, add --yes"
            )));
        }
        let url = without_passwords(&context.url);
        let question = format!("context {name} is production ({url}): {change}? [y/N]");
        // If standard error can't be written, the answer is waited for all the same.
        let _ = write!(io::stderr(), "coatcheck: {} ", visible(&question));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" if read.is_ok() => Ok(()),
            _ => {
                complain("nothing was done");
                Err(ExitCode::FAILURE)
            }
        }
    }
}
