//! `coatcheck completions` and `coatcheck man`: scripts that shells read, and pages that man(1) reads.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use crate::cli::missteps::COMMANDS;
use crate::cli::settings::refused;
use crate::cli::terminal::told_on_terminal;
use crate::kit::program::{coatcheck, output};

/// Returns what a command prints, which must succeed.
async fn told(command: Command) -> String {
    let done = output(command).await;
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), &*errors), (Some(0), ""));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn a_script_of_each_shell_knows_all_commands_and_their_flags() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = told(coatcheck(folder.path(), ["completions", shell])).await;

        for command in COMMANDS.into_iter().flat_map(str::split_whitespace) {
            assert!(script.contains(command), "{shell}: {command}");
        }
        for flag in ["no-wait", "context", "config", "since"] {
            assert!(script.contains(flag), "{shell}: {flag}");
        }
    }
    refused(&output(coatcheck(folder.path(), ["completions", "dos"])).await, "expected bash or");
    refused(&output(coatcheck(folder.path(), ["completions"])).await, "see coatcheck completions --help");
}

#[tokio::test]
async fn bash_completes_by_the_script() {
    let folder = TempDir::new().unwrap();
    let script = told(coatcheck(folder.path(), ["completions", "bash"])).await;
    fs::write(folder.path().join("script"), script).unwrap();
    for (words, completed) in
        [("coatcheck can", "cancel"), ("coatcheck ls --sta", "--status"), ("coatcheck man", "man")]
    {
        let typed = words.split(' ').count() - 1;
        let asks = format!(
            "source ./script; COMP_WORDS=({words}); COMP_CWORD={typed}; COMP_LINE='{words}'; \
             _coatcheck coatcheck \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = Command::new("bash");
        bash.args(["-c", &asks]).current_dir(folder.path());

        assert_eq!(told(bash).await.trim_end(), completed, "{words}");
    }
}

#[tokio::test]
async fn each_command_has_a_page_in_a_pipe() {
    let folder = TempDir::new().unwrap();
    for command in COMMANDS {
        let page =
            told(coatcheck(folder.path(), ["man"].into_iter().chain(command.split_whitespace()))).await;

        let name = ["coatcheck"].into_iter().chain(command.split_whitespace()).collect::<Vec<_>>().join("-");
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(title.starts_with(&format!(".TH {name} 1 ")), "{title}");
        assert!(title.contains(&format!("\"coatcheck {}\"", env!("CARGO_PKG_VERSION"))), "{title}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{name}: {section}");
        }
        assert!(!page.contains(".SH EXTRA"), "{name}");
    }
    refused(
        &output(coatcheck(folder.path(), ["man", "user", "nonsense"])).await,
        "COMMAND: expected a command that coatcheck user --help lists, got \"nonsense\"",
    );
}

#[tokio::test]
async fn on_a_terminal_man_shows_the_page_or_without_it_the_page_is_printed() {
    let folder = TempDir::new().unwrap();
    let man = folder.path().join("man");
    let command = || {
        let mut command = coatcheck(folder.path(), ["man", "put"]);
        command.env("PATH", folder.path());
        command
    };

    let printed = told_on_terminal(command()).await;
    fs::write(&man, "#!/bin/sh\nread -r first\necho \"shown by man $*\"\n").unwrap();
    fs::set_permissions(&man, Permissions::from_mode(0o755)).unwrap();
    let shown = told_on_terminal(command()).await;

    assert!(printed.contains(".TH coatcheck-put 1 "), "{printed}");
    assert_eq!(shown.trim_end(), "shown by man -l -");
}
