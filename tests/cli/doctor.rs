//! `coatcheck doctor`: says of each setting and server whether it is fine, and what to do where it is not.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use rstest_reuse::apply;
use tempfile::TempDir;
use test_kit::{psql, servers};

use crate::cli::settings::refused;
use crate::cli::terminal::told_on_terminal;
use crate::kit::program::{coatcheck, output};
use crate::kit::stack::{Setup, both_stacks};

/// A port that no process listens on.
fn away() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Returns the exit status and the lines.
async fn told(command: Command) -> (Option<i32>, Vec<String>) {
    let done = output(command).await;
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(told, "");
    let lines = String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect();
    (done.status.code(), lines)
}

#[track_caller]
fn has(lines: &[String], begin: &str, words: &str) {
    assert!(
        lines.iter().any(|line| line.starts_with(begin) && line.contains(words)),
        "{begin} {words}: {lines:#?}"
    );
}

#[apply(both_stacks)]
async fn beside_a_running_server_all_is_fine(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
    let mut command = stack.command(&["doctor"]);
    command.env("LISTEN", stack.address()).env("COATCHECK_URL", stack.url(""));

    let (status, lines) = told(command).await;

    assert!(lines.iter().all(|line| line.starts_with("ok ")), "{lines:#?}");
    assert_eq!(status, Some(0));
    has(&lines, "ok LISTEN: ", &format!("is held by coatcheck (pid {})", stack.pid()));
    has(&lines, "ok COATCHECK_URL: ", &format!("is ready, version {}", env!("CARGO_PKG_VERSION")));
    has(&lines, "ok COATCHECK_TOKEN: ", "the server needs no API key");
    for part in ["database", "queue", "blobs", "disk"] {
        has(&lines, "ok COATCHECK_URL: ", &format!(": {part} ok"));
    }
    has(&lines, "ok BLOB_URL: ", "takes writes");
    has(&lines, "ok BLOB_URL: ", "MIN_FREE_DISK is 1.00 GiB");
    has(&lines, "ok OUTCOME_LOG: ", "can be appended to");
    if stack.is_distributed() {
        has(&lines, "ok DATABASE_URL: ", "the schema is up to date");
        has(&lines, "ok AMQP_URL: ", "answers");
        has(&lines, "ok REDIS_URL: ", "answers");
        has(&lines, "ok clock: ", "PostgreSQL");
    } else {
        has(&lines, "ok DATABASE_URL: ", &format!("coatcheck (pid {}) has data/coatcheck.db", stack.pid()));
        has(&lines, "ok clock: ", "20");
    }
}

#[tokio::test]
async fn before_the_first_start_it_makes_nothing() {
    let folder = TempDir::new().unwrap();

    let (status, lines) = told(coatcheck(folder.path(), ["doctor"])).await;

    assert!(
        lines.iter().all(|line| line.starts_with("ok ") || line.starts_with("note COATCHECK_URL: ")),
        "{lines:#?}"
    );
    assert_eq!(status, Some(0));
    has(&lines, "ok DATABASE_URL: ", "does not exist yet; the server makes it");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn each_fault_of_the_embedded_form_is_told_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = foreign.local_addr().unwrap().to_string();
    fs::write(folder.path().join("data"), "a file in the folder's place").unwrap();
    let mut command = coatcheck(folder.path(), ["doctor"]);
    command.env("LISTEN", &listen).env("COATCHECK_URL", format!("http://{}", away()));
    command.env("MIN_FREE_DISK", "900TiB").env("REDIS_URL", "redis://me:hunter2@host");

    let (status, lines) = told(command).await;

    assert_eq!(status, Some(1));
    has(&lines, "wrong DATABASE_URL: ", "data: not a directory; move it away, or choose another path");
    has(&lines, "wrong BLOB_URL: ", "data: not a directory; move it away, or choose another path");
    has(&lines, "wrong OUTCOME_LOG: ", "data: not a directory; move it away, or choose another path");
    has(&lines, "wrong BLOB_URL: ", "or set a smaller MIN_FREE_DISK");
    has(&lines, "wrong REDIS_URL: ", "expected no value with a sqlite: database");
    has(
        &lines,
        "wrong LISTEN: ",
        &format!("(pid {}); stop it, or choose another address", std::process::id()),
    );
    has(&lines, "wrong COATCHECK_URL: ", "start the server, or correct the address");

    let mut wrong = coatcheck(folder.path(), ["doctor"]);
    wrong.env("RATE", "x");
    refused(&output(wrong).await, "RATE: expected");
}

#[tokio::test]
async fn each_server_that_is_away_or_is_not_one_that_processes_share_is_told_distributed() {
    let folder = TempDir::new().unwrap();
    for (amqp, redis, words) in [
        (
            Some(format!("amqp://u:hunter2@{}", away())),
            Some(format!("redis://:hunter2@{}", away())),
            "start the server",
        ),
        (None, None, "which processes share; set it"),
    ] {
        let mut command = coatcheck(folder.path(), ["doctor"]);
        command.env("DATABASE_URL", format!("postgres://u:hunter2@{}/d", away()));
        command.envs(amqp.map(|url| ("AMQP_URL", url))).envs(redis.map(|url| ("REDIS_URL", url)));

        let (status, lines) = told(command).await;

        assert_eq!(status, Some(1));
        has(&lines, "wrong DATABASE_URL: ", "start the server, or correct the address");
        has(&lines, "wrong AMQP_URL: ", words);
        has(&lines, "wrong REDIS_URL: ", words);
        assert!(!lines.concat().contains("hunter2"), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_schema_that_is_not_up_to_date_is_told_and_stays_as_it_is_distributed() {
    let folder = TempDir::new().unwrap();
    let servers = servers();
    let (database, vhost) = (servers.database(), servers.vhost());
    let mut command = coatcheck(folder.path(), ["doctor"]);
    command.env("DATABASE_URL", &*database).env("AMQP_URL", &*vhost).env("REDIS_URL", servers.redis());

    let (status, lines) = told(command).await;

    assert_eq!(status, Some(1));
    has(&lines, "wrong DATABASE_URL: the schema lacks ", "; run coatcheck migrate, or start the API");
    has(&lines, "ok AMQP_URL: ", "answers");
    let tables = psql(&database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, "0");
}

#[tokio::test]
async fn on_a_terminal_the_first_word_has_a_colour() {
    let folder = TempDir::new().unwrap();
    for (no_color, is_coloured) in [(None, true), (Some("1"), false)] {
        let mut command = coatcheck(folder.path(), ["doctor"]);
        command.env("TERM", "xterm").envs(no_color.map(|value| ("NO_COLOR", value)));

        let told = told_on_terminal(command).await;

        assert!(told.contains("note") && told.contains(" COATCHECK_URL: "), "{told:?}");
        assert_eq!(told.contains("\u{1b}[32mok\u{1b}[0m "), is_coloured, "{told:?}");
        assert_eq!(told.contains('\u{1b}'), is_coloured, "{told:?}");
    }
}
