//! `/readyz` is true: ready means that the writes of an upload succeed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::future::join_all;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::chaos::rig::Disk;
use crate::kit::content::noise;
use crate::kit::program::{output, stderr_of};
use crate::kit::stack::{Running, Setup, Stack, both_stacks, distributed, embedded};

/// Waits until `/readyz` reports that health of a part, and returns its answer; the HTTP status must agree with it.
async fn until(stack: &Stack, part: &str, health: &str) -> Value {
    eventually(&format!("{part} {health}"), async || {
        let answer = stack.get("/readyz").await;
        let told = answer.json();
        assert_eq!(answer.status == 200, told["status"] == "ready", "{told}");
        if told[part] == health { Ok(told) } else { Err(told) }
    })
    .await
}

/// Until then it is not ready, as `coatcheck healthcheck` says too.
async fn until_not_ready(stack: &Stack, part: &str) {
    let told = until(stack, part, "unavailable").await;
    assert_eq!(told["status"], "unready", "{told}");
    let done = output(stack.coatcheck(["healthcheck"])).await;
    let words = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{words}");
    assert!(words.lines().count() == 1 && words.contains(part), "{words}");
}

/// Ready again, and so it is: an upload succeeds that needs row and file.
async fn until_ready(stack: &Stack) {
    until(stack, "status", "ready").await;
    stack.until(&stack.put(noise(1, 50_000)).await, "succeeded").await;
}

/// How often a process has said something.
fn said(stack: &Stack, words: &str) -> usize {
    fs::read_to_string(stderr_of(&stack.process_folder(0))).unwrap().matches(words).count()
}

#[apply(distributed)]
async fn a_database_that_takes_no_writes_is_not_ready(setup: Setup) {
    let stack = setup.start(&[]).await;
    until_ready(&stack).await;
    let database = stack.sql("SELECT current_database()");
    let change = |to: &str| {
        stack.sql(&format!("BEGIN READ WRITE; ALTER DATABASE {database} {to}; COMMIT"));
        // For those who are connected it holds from their next session on.
        stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    };

    change("SET default_transaction_read_only = on");
    until_not_ready(&stack, "database").await;

    change("RESET default_transaction_read_only");
    until_ready(&stack).await;
}

#[apply(embedded)]
async fn a_database_that_is_locked_is_not_ready_and_every_request_is_answered(setup: Setup) {
    let stack = setup.start(&[]).await;
    until_ready(&stack).await;

    let mut lock = lock(&stack.data("coatcheck.db"));
    until_not_ready(&stack, "database").await;
    // Those who ask meanwhile share what is tried.
    let answers = join_all((0..200).map(|_| stack.get("/readyz"))).await;
    assert!(answers.iter().all(|answer| answer.status == 503));
    // It is known not to answer before it is known why.
    eventually("the one line about it", async || {
        match said(&stack, "not ready: the database takes no writes") {
            1 => Ok(()),
            count => Err(count),
        }
    })
    .await;

    lock.kill().unwrap();
    lock.wait().unwrap();
    until_ready(&stack).await;
}

/// Another program that has begun to write, and goes on and on.
fn lock(database: &Path) -> Child {
    let script = "import sqlite3, sys\n\
                  database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                  database.execute('BEGIN IMMEDIATE')\n\
                  print('locked', flush=True)\n\
                  sys.stdin.read()";
    let mut program = Command::new("python3")
        .args(["-c", script])
        .arg(database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    program
}

#[apply(both_stacks)]
async fn a_folder_that_takes_no_uploads_is_not_ready(setup: Setup) {
    let stack = setup.start(&[]).await;
    until_ready(&stack).await;
    let (unfinished, aside) = (stack.data("blobs/tmp"), stack.data("blobs/aside"));

    fs::rename(&unfinished, &aside).unwrap();
    until_not_ready(&stack, "blobs").await;

    fs::rename(&aside, &unfinished).unwrap();
    until_ready(&stack).await;
    // The last try of another request may not be over.
    stack.until_no_blobs().await;
}

#[tokio::test]
async fn a_full_disk_is_not_ready() {
    let stack = Stack::embedded(&[("MIN_FREE_DISK", "0")]);
    let Some(disk) = Disk::mount(stack.data(""), 96 << 20) else { return };
    let stack = Running::of(stack).await;
    until_ready(&stack).await;

    let filler = disk.fill();
    until_not_ready(&stack, "disk").await;

    drop(filler);
    until_ready(&stack).await;
}

#[apply(both_stacks)]
async fn a_disk_with_less_than_it_must_keep_free_is_ready_and_says_so(setup: Setup) {
    let stack = setup.start(&[("MIN_FREE_DISK", "1000TiB")]).await;
    let told = until(&stack, "disk", "low").await;

    assert_eq!(told["status"], "ready", "{told}");
    eventually("the one line about it", async || match said(&stack, "uploads are refused: MIN_FREE_DISK") {
        1 => Ok(()),
        count => Err(count),
    })
    .await;
    let metrics = stack.get("/metrics").await;
    let free = metrics.text().lines().find_map(|line| {
        line.strip_prefix("coatcheck_disk_free_bytes{of=\"uploads\"} ")?.parse::<f64>().ok()
    });
    assert!(free.is_some_and(|free| free > 0.0), "{}", metrics.text());
    assert_eq!(metrics.text().contains("{of=\"database\"}"), !stack.is_distributed());
}
