//! Standard output that can't be written: every command says so and ends with 1. Where its reader has gone it says nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rstest_reuse::apply;
use tempfile::TempDir;

use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Setup, embedded};

/// How standard output fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The disk is full.
    Full,
    /// It was closed before the program began (`>&-`).
    Closed,
    /// Its reader has gone (`| true`).
    Unread,
}

const FAULTS: [Fault; 3] = [Fault::Full, Fault::Closed, Fault::Unread];

#[apply(embedded)]
async fn no_command_loses_what_it_prints(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
    stack.register("ada").await;
    fs::write(stack.folder().join("file"), "abc").unwrap();
    fs::write(stack.folder().join("list"), "900150983cd24fb0d6963f7d28e17f72  file\n").unwrap();
    let commands: [&[&str]; 20] = [
        &["put", "file"],
        &["get", &id],
        &["get", "--wait", &id, &id],
        &["ls"],
        &["watch", &id],
        &["outcomes"],
        &["sum", "file"],
        &["sum", "-r", "."],
        &["sum", "-c", "list"],
        &["user", "list"],
        &["user", "grant", "ada", "paid"],
        &["verify"],
        &["verify", "--rebuild", "rebuilt-FAULT"],
        &["backup", "copy-FAULT"],
        &["doctor"],
        &["--help"],
        &["--version"],
        &["put", "--help"],
        &["user", "create", "--help"],
        &["help"],
    ];
    for arguments in commands {
        for fault in FAULTS {
            let own = |argument: &&str| argument.replace("FAULT", &format!("{fault:?}"));
            let arguments: Vec<String> = arguments.iter().map(own).collect();
            let mut command = stack.coatcheck(&arguments);
            command.env("COATCHECK_URL", stack.url(""));

            let done = output(with(command, fault)).await;

            fails(&done, fault == Fault::Unread, &format!("{arguments:?} {fault:?}"));
        }
    }
}

#[tokio::test]
async fn a_server_that_can_not_tell_its_address_ends() {
    for arguments in [&[][..], &["providers"], &["providers", "free"]] {
        for fault in FAULTS {
            let folder = TempDir::new().unwrap();
            let mut command = coatcheck(folder.path(), arguments);
            for name in ["LISTEN", "FREE_LISTEN", "PAID_LISTEN", "THIRD_PARTY_LISTEN"] {
                command.env(name, "127.0.0.1:0");
            }

            let done = output(with(command, fault)).await;

            // It has a log, and its reader is another.
            fails(&done, false, &format!("{arguments:?} {fault:?}"));
        }
    }
}

#[tokio::test]
async fn standard_error_that_can_not_be_written_is_no_panic() {
    let folder = TempDir::new().unwrap();
    for (arguments, status) in [(&["get", "nonsense"][..], 2), (&["sum", "missing"], 1), (&["--nonsense"], 2)]
    {
        let mut command = coatcheck(folder.path(), arguments);
        command.stderr(File::options().write(true).open("/dev/full").unwrap());

        assert_eq!(output(command).await.status.code(), Some(status), "{arguments:?}");
    }
}

#[track_caller]
fn fails(done: &Output, is_quiet: bool, what: &str) {
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{what}: {told}");
    assert!(!told.contains("panicked"), "{what}: {told}");
    let says_so = told.contains("standard output") || told.contains("write error");
    assert_eq!(says_so, !is_quiet, "{what}: {told}");
}

/// The same command with a standard output that fails.
fn with(mut command: Command, fault: Fault) -> Command {
    match fault {
        Fault::Full => command.stdout(File::options().write(true).open("/dev/full").unwrap()),
        Fault::Unread => {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            command.stdout(writer)
        }
        Fault::Closed => return closed(&command),
    };
    command
}

fn closed(command: &Command) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-c", r#"exec "$0" "$@" >&-"#]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap_or(Path::new("."))).env_clear().stdin(Stdio::null());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}
