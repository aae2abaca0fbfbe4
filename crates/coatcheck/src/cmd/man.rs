//! `coatcheck man`: the manual pages.

use std::io::{self, IsTerminal, Write};
use std::process::{ExitCode, Stdio};

use clap::Command;
use clap_mangen::Man;
use program::{refuse, unwritten};

/// Show the manual page of a command, or print it into a file
///
/// On a terminal it shows the page by man(1), where that is installed. In a pipe it prints the page's source, for a file such as
/// coatcheck-put.1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 it was shown or printed; 1 it could not be printed; 2 wrong usage, as a COMMAND that there is not.

Examples:
  coatcheck man
  coatcheck man put
  coatcheck man user create
  coatcheck man put > /usr/local/share/man/man1/coatcheck-put.1")]
pub struct ManArgs {
    /// The command; without it, the whole program
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command for the program of that command line; returns the exit status.
pub fn run(args: &ManArgs, mut program: Command) -> ExitCode {
    let version = program.get_version().unwrap_or_default().to_owned();
    // Pages of `coatcheck help` would say nothing.
    program = program.disable_help_subcommand(true);
    program.build();
    let mut described = &program;
    for name in &args.command {
        let Some(below) = described.find_subcommand(name) else {
            let called = described.get_bin_name().unwrap_or("coatcheck");
            return refuse(&format!("COMMAND: expected a command that {called} --help lists, got {name:?}"));
        };
        described = below;
    }
    let page = page(described.clone(), &version);
    if io::stdout().is_terminal()
        && let Some(status) = shown(page.as_bytes())
    {
        return status;
    }
    match program::print(page.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// Returns the source of a page.
fn page(command: Command, version: &str) -> String {
    let mut page = Vec::new();
    // Writing to memory can't fail.
    let _ = Man::new(command).source(format!("coatcheck {version}")).render(&mut page);
    // The library puts what stands at the end of the help into one section.
    String::from_utf8_lossy(&page)
        .replace("\n.SH EXTRA\nExit status: ", "\n.SH \"EXIT STATUS\"\n")
        .replace("\n\nExamples:\n", "\n.SH EXAMPLES\n")
        .replace("\n.SH EXTRA\nExamples:\n", "\n.SH EXAMPLES\n")
}

/// Shows a page by `man`; `None` if that can't be started.
fn shown(page: &[u8]) -> Option<ExitCode> {
    let mut man = std::process::Command::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn().ok()?;
    if let Some(mut input) = man.stdin.take() {
        // A reader that has left early has seen enough.
        let _ = input.write_all(page);
    }
    let status = man.wait().ok()?;
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
