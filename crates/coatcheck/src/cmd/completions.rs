//! `coatcheck completions`: the script that completes commands and flags in a shell.

use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use program::unwritten;

/// Print the script that completes commands and flags in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 it was printed; 1 it could not be printed; 2 wrong usage.

Examples:
  source <(coatcheck completions bash)                     for this session
  coatcheck completions bash > /etc/bash_completion.d/coatcheck
  coatcheck completions zsh > \"${fpath[1]}/_coatcheck\"
  coatcheck completions fish > ~/.config/fish/completions/coatcheck.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Runs the command for the program of that command line; returns the exit status.
pub fn run(args: &CompletionsArgs, mut program: Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "coatcheck", &mut script);
    match program::print(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}
