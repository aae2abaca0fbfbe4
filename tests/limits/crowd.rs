//! Thousands of clients that wait at one API process.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::client::ask;
use crate::kit::stack::{Setup, Stack, both_stacks};

const CLIENTS: usize = 2000;
/// Tasks that they wait for: one that is held, the others behind it.
const TASKS: usize = 20;
/// The most memory that the process may need then.
const BOUND_KIB: u64 = 200 << 10;

#[apply(both_stacks)]
async fn two_thousand_clients_that_wait_are_all_told_the_end(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    // Each has a connection of its own.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let held = stack.hold_worker().await;
    let mut ids = vec![held.id.clone()];
    for _ in 1..TASKS {
        ids.push(stack.put("abc").await);
    }

    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(wait_for(stack.clone(), ids[client % TASKS].clone())))
        .collect();
    until_waiting(&stack, CLIENTS).await;
    held.release();

    let mut late: Vec<f64> = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    late.sort_by(f64::total_cmp);
    let peak = stack.memory_kib("VmHWM");
    let (median, last) = (late[CLIENTS / 2], late[CLIENTS - 1]);
    println!(
        "{CLIENTS} clients told {median:.3} s (median) and {last:.3} s (last) after the end, {peak} KiB"
    );
    assert!(peak < BOUND_KIB, "{peak} KiB");
    until_waiting(&stack, 0).await;
}

/// Seconds from the task's end to its answer.
async fn wait_for(stack: Arc<Stack>, id: String) -> f64 {
    let task = loop {
        let url = stack.url(&format!("/api/v1/md5/{id}?wait=30"));
        let answer = ask(stack.http.get(url)).await.unwrap();
        // A slow machine may not get to read thousands of heads in time.
        if answer.status == 408 {
            continue;
        }
        let task: Value = answer.json();
        // Or it may need longer than one wait.
        if !task["finished"].is_null() {
            break task;
        }
    };
    let now = Utc::now();
    assert_eq!(task["status"], "succeeded", "{task}");
    let finished: DateTime<Utc> = task["finished"].as_str().unwrap().parse().unwrap();
    (now - finished).as_seconds_f64()
}

async fn until_waiting(stack: &Stack, clients: usize) {
    eventually("so many clients that wait", async || {
        let told = stack.get("/metrics").await.text().to_owned();
        let line = told.lines().find(|line| line.starts_with("coatcheck_waiters "));
        let waiting = line.and_then(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
        if waiting == Some(clients) { Ok(()) } else { Err(waiting) }
    })
    .await;
}
