//! A terminal acts on nothing that comes from a server or is in a file's name; into a pipe all is exact.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::process::Command;

use nix::pty::{OpenptyResult, openpty};
use tempfile::TempDir;

use crate::cli::tickets;
use crate::kit::program::{coatcheck, output};

/// Controls of C0 and C1, DEL, and what turns the direction of text around.
const ODD: &str = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\u{2066}b";
const ID: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

fn is_harmless(text: &str) -> bool {
    !text.contains(['\u{9b}', '\u{7f}', '\u{202e}', '\u{2066}']) && !text.contains("\u{1b}[2J")
}

/// A server that answers each request with that, and where it is.
fn server(status: u16, body: String) -> String {
    tickets::server(move |_: &str| (status, body.clone())).0
}

#[tokio::test]
async fn a_task_is_told_without_what_a_terminal_acts_on() {
    let folder = TempDir::new().unwrap();
    let raw = ODD.replace('\u{1b}', "\\u001b");
    let url = server(200, format!("{{\"id\": \"{ID}\", \"input\": {{\"text\": \"{raw}\"}}}}"));
    let mut command = coatcheck(folder.path(), ["get", ID]);
    command.env("COATCHECK_URL", url);

    let done = output(command).await;

    let told = String::from_utf8(done.stdout).unwrap();
    assert!(is_harmless(&told), "{told:?}");
    let task: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(task["input"]["text"], ODD);
}

#[tokio::test]
async fn a_servers_words_are_told_without_what_a_terminal_acts_on() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    let word = ODD.replace('\u{1b}', "\\u001b");
    let url = server(400, format!("{{\"code\": \"{word}\", \"title\": \"{word}\", \"detail\": \"{word}\"}}"));
    for arguments in [["get", ID], ["put", "file"]] {
        let mut command = coatcheck(folder.path(), arguments);
        command.env("COATCHECK_URL", &url);

        let done = output(command).await;

        let told = String::from_utf8(done.stderr).unwrap();
        assert!(is_harmless(&told) && told.lines().count() == 1, "{told:?}");
    }
}

#[tokio::test]
async fn names_are_exact_in_a_pipe_and_harmless_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(ODD), "abc").unwrap();
    let list = format!("900150983cd24fb0d6963f7d28e17f72  {ODD}\n");
    fs::write(folder.path().join("list"), &list).unwrap();
    let sum = || coatcheck(folder.path(), [OsString::from("sum"), ODD.into()]);
    let check = || coatcheck(folder.path(), ["sum", "-c", "list"]);

    assert_eq!(String::from_utf8(output(sum()).await.stdout).unwrap(), list);
    assert_eq!(String::from_utf8(output(check()).await.stdout).unwrap(), format!("{ODD}: OK\n"));
    for command in [sum(), check()] {
        let told = told_on_terminal(command).await;
        assert!(is_harmless(&told) && told.contains("31m"), "{told:?}");
    }
}

#[tokio::test]
async fn a_name_in_a_message_is_harmless() {
    let folder = TempDir::new().unwrap();
    let url = server(500, String::new());
    for command in ["sum", "put"] {
        let mut command = coatcheck(folder.path(), [OsString::from(command), ODD.into()]);
        command.env("COATCHECK_URL", &url);

        let told = String::from_utf8(output(command).await.stderr).unwrap();

        assert!(is_harmless(&told) && told.contains("31m"), "{told:?}");
    }
}

/// Returns the output of a command whose standard output is a terminal.
pub async fn told_on_terminal(mut command: Command) -> String {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    command.stdout(slave);
    let reading = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        // The end comes as an error, once the command has closed the terminal.
        let _ = File::from(master).read_to_end(&mut told);
        String::from_utf8_lossy(&told).into_owned()
    });
    output(command).await;
    reading.await.unwrap()
}
