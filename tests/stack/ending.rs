//! SIGTERM and SIGINT: the program ends by itself, and what it has promised is kept.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use rstest_reuse::apply;
use test_kit::eventually;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kit::client::{accepted, read_answer};
use crate::kit::content::{md5sum, noise};
use crate::kit::load::Load;
use crate::kit::program::{Program, output, stderr_of};
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

/// The longest time in which every command must end.
const END_WITHIN: Duration = Duration::from_secs(30);

#[apply(both_stacks)]
async fn sigterm_under_load_ends_well_and_loses_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    let load = Load::start(&stack, 8);
    load.promises(100).await;

    stack.signal(Signal::SIGTERM);
    let status = timeout(END_WITHIN, stack.exit()).await.expect("it goes on and on");
    assert_eq!(status.code(), Some(0));

    let promises = load.end().await;
    stack.start().await;
    stack.are_kept(&promises).await;
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert!(tasks.iter().all(|task| task["attempt"] == 1), "what was under way was finished, not broken off");
}

#[apply(both_stacks)]
async fn sigint_ends_an_idle_program(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.signal(Signal::SIGINT);

    assert_eq!(stack.exit().await.code(), Some(0));
}

#[apply(both_stacks)]
async fn two_signals_within_a_moment_are_one_stop(setup: Setup) {
    let stack = setup.start(&[]).await;
    let content = noise(2, 200_000);
    let mut upload = begun_upload(&stack, content.len(), 100_000).await;

    // As `timeout` does: to its child, and to the group that it is in. Two of one sort may come as one.
    stack.signal(Signal::SIGTERM);
    stack.signal(Signal::SIGINT);
    upload.write_all(&content[100_000..]).await.unwrap();

    accepted(&read_answer(upload).await);
    assert_eq!(stack.exit().await.code(), Some(0));
}

/// An upload of so many bytes, of which some were sent and have come in.
async fn begun_upload(stack: &Stack, bytes: usize, sent: usize) -> TcpStream {
    let upload = stack.begin_put(bytes, sent).await;
    eventually(
        "bytes that have come in",
        async || if stack.blobs().is_empty() { Err("none") } else { Ok(()) },
    )
    .await;
    upload
}

#[tokio::test]
async fn a_hangup_is_a_stop() {
    let folder = tempfile::TempDir::new().unwrap();
    // The parent of the tests may have made them ignore the signal.
    let mut program = started_by(&["env", "--default-signal=HUP"], folder.path());
    program.address(folder.path()).await;

    program.signal(Signal::SIGHUP);

    let status = eventually("its end", async || program.exit_status().ok_or("it goes on")).await;
    assert_eq!(status.code(), Some(0));
}

/// The whole service, started by another program.
fn started_by(starter: &[&str], folder: &Path) -> Program {
    let mut command = Command::new(starter[0]);
    command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_coatcheck"));
    command.current_dir(folder).env("LISTEN", "127.0.0.1:0");
    Program::start(command, folder)
}

#[apply(embedded)]
async fn a_hangup_that_is_ignored_is_none(setup: Setup) {
    let stack = setup.start(&[]).await;
    let folder = tempfile::TempDir::new().unwrap();
    let mut program = started_by(&["nohup"], folder.path());
    let address = program.address(folder.path()).await;

    program.signal(Signal::SIGHUP);
    let url = format!("http://{address}/healthz");
    assert_eq!(stack.http.get(url).send().await.unwrap().status(), 200);

    program.signal(Signal::SIGTERM);
    let status = eventually("its end", async || program.exit_status().ok_or("it goes on")).await;
    assert_eq!(status.code(), Some(0));
    let log = fs::read_to_string(stderr_of(folder.path())).unwrap();
    assert_eq!(log.matches("a second signal ends the process").count(), 1, "{log}");
}

#[apply(both_stacks)]
async fn an_upload_under_way_may_still_come_in(setup: Setup) {
    let stack = setup.start(&[]).await;
    let content = noise(2, 200_000);
    let mut upload = begun_upload(&stack, content.len(), 100_000).await;

    stack.signal(Signal::SIGTERM);
    eventually("a server that takes nothing new", async || match TcpStream::connect(stack.address()).await {
        Ok(_) => Err("it does"),
        Err(_) => Ok(()),
    })
    .await;
    upload.write_all(&content[100_000..]).await.unwrap();

    let id = accepted(&read_answer(upload).await);
    assert_eq!(stack.exit().await.code(), Some(0));
    stack.start().await;
    assert_eq!(stack.until(&id, "succeeded").await["result"]["md5"], md5sum(&content));
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn what_cannot_be_finished_in_time_is_handed_back(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let waiting = stack.put("abc").await;
    let _upload_that_stands_still = stack.begin_put(200_000, 100_000).await;
    let id = held.id.clone();

    stack.signal(Signal::SIGTERM);
    let status = timeout(END_WITHIN, stack.exit()).await.expect("it goes on and on");
    assert_eq!(status.code(), Some(0));
    let parts: Vec<_> =
        stack.blobs().into_iter().filter(|path| path.starts_with(stack.data("blobs/tmp"))).collect();
    assert!(parts.is_empty(), "of the upload that was cut off: {parts:?}");
    held.restore();
    stack.start().await;

    stack.until(&id, "succeeded").await;
    stack.until(&waiting, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(both_stacks)]
async fn a_second_signal_ends_it_there_and_then(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let id = held.id.clone();

    let again = async || {
        stack.signal(Signal::SIGTERM);
        stack.exit_status().ok_or("it still runs")
    };
    let status = eventually("the end of the program", again).await;
    assert_ne!(status.code(), Some(0), "it was not the first signal that ended it");
    held.restore();
    stack.start().await;

    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(embedded)]
async fn after_a_clean_stop_the_one_file_has_all_rows(setup: Setup) {
    let stack = setup.start(&[]).await;
    for content in [noise(1, 3), noise(2, 100_000)] {
        stack.until(&stack.put(content).await, "succeeded").await;
    }
    stack.each_task_has_one_line(&[]).await;
    stack.register("ada").await;

    stack.signal(Signal::SIGTERM);
    assert_eq!(stack.exit().await.code(), Some(0));
    the_one_file_has(&stack, "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM users)", "3|1");

    // The same after each command that opens it.
    let commands: [&[&str]; 4] =
        [&["user", "grant", "ada", "paid"], &["migrate"], &["verify"], &["verify", "--rebuild", "rebuilt"]];
    for arguments in commands {
        assert!(output(stack.command(arguments)).await.status.success(), "{arguments:?}");
        the_one_file_has(&stack, "SELECT count(*) FROM user_rights", "1");
    }
}

/// A copy of the database's own file alone has that, and nothing lies beside it.
#[track_caller]
fn the_one_file_has(stack: &Stack, query: &str, rows: &str) {
    let copy = Stack::bare(&[]);
    fs::create_dir(copy.data("")).unwrap();
    fs::copy(stack.data("coatcheck.db"), copy.data("coatcheck.db")).unwrap();
    assert_eq!(copy.sql(query), rows);
    let wal = fs::metadata(stack.data("coatcheck.db-wal")).map_or(0, |wal| wal.len());
    assert_eq!(wal, 0, "rows in the WAL");
}
