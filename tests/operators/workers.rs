//! Worker processes: what they run, and their draining.

use std::fs;

use nix::sys::signal::Signal;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::program::stderr_of;
use crate::kit::stack::{Setup, Stack, both_stacks, distributed, embedded};

/// One task at a time, and frequent heartbeats.
const SETTINGS: [(&str, &str); 2] = [("WORKERS", "1"), ("LEASE_SECONDS", "2")];
const NOBODY: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";

impl Stack {
    /// Returns the one worker, as soon as it has its lease.
    async fn one_worker(&self) -> Value {
        eventually("a worker", async || {
            let workers = self.get("/api/v1/workers").await.json()["workers"].clone();
            match workers.as_array().map(Vec::as_slice) {
                Some([worker]) => Ok(worker.clone()),
                _ => Err(workers),
            }
        })
        .await
    }

    /// Sets whether the one worker drains.
    async fn set_drain(&self, method: Method) -> Value {
        let id = self.one_worker().await["id"].as_str().unwrap().to_owned();
        let answer = self.ask(method, &format!("/api/v1/workers/{id}/drain")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["id"], *id);
        answer.json()["draining"].clone()
    }

    /// Waits until a process has logged that.
    async fn until_said(&self, process: usize, text: &str) {
        eventually(text, async || {
            let said = fs::read_to_string(stderr_of(&self.process_folder(process))).unwrap_or_default();
            if said.contains(text) { Ok(()) } else { Err(said) }
        })
        .await;
    }
}

#[apply(both_stacks)]
async fn a_worker_is_listed_with_what_it_runs(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    let held = stack.hold_worker().await;

    let worker = stack.one_worker().await;

    let started = stack.task(&held.id).await["started"].clone();
    let tasks = json!([{"id": held.id, "kind": "md5", "started": started}]);
    assert_eq!((&worker["running"], &worker["tasks"]), (&json!(1), &tasks), "{worker}");
    assert_eq!(worker["draining"], false);
    assert!(worker["name"].as_str().unwrap().contains(':'), "{worker}");
    assert!(worker["seen"].as_str().unwrap() < worker["lease_until"].as_str().unwrap(), "{worker}");
    held.release();
}

#[apply(distributed)]
async fn a_worker_that_an_operator_drains_finishes_what_it_has_and_ends(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    let held = stack.hold_worker().await;
    let (running, waits) = (held.id.clone(), stack.put("waits").await);

    assert_eq!(stack.set_drain(Method::PUT).await, true);
    stack.until_said(1, "the worker is stopping").await;
    held.release();

    assert_eq!(stack.exit_of(1).await.code(), Some(0));
    assert_eq!(stack.until(&running, "succeeded").await["attempt"], 1);
    assert_eq!(stack.task(&waits).await["status"], "pending");
    assert_eq!(stack.get("/api/v1/workers").await.json(), json!({"workers": []}));
    let _other = stack.extra(&["worker"], &[]);
    stack.until(&waits, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
}

#[apply(distributed)]
async fn a_worker_that_is_signalled_to_drain_ends_as_if_it_were_stopped(setup: Setup) {
    let stack = setup.start(&SETTINGS).await;
    stack.one_worker().await;

    stack.signal_process(1, Signal::SIGUSR1);

    assert_eq!(stack.exit_of(1).await.code(), Some(0));
    let waits = stack.put("waits").await;
    assert_eq!(stack.task(&waits).await["status"], "pending");
}

/// The request that a worker drains.
#[derive(Debug, Clone, Copy)]
enum Asked {
    ByOperator,
    BySignal,
}

async fn rests_and_goes_on(setup: Setup, asked: Asked) {
    let stack = setup.start(&SETTINGS).await;
    let held = stack.hold_worker().await;
    let (running, waits) = (held.id.clone(), stack.put("waits").await);
    match asked {
        Asked::ByOperator => drop(stack.set_drain(Method::PUT).await),
        Asked::BySignal => stack.signal(Signal::SIGUSR1),
    }
    stack.until_said(0, "the worker drains").await;

    held.release();
    let later = stack.put("later").await;

    stack.until(&running, "succeeded").await;
    eventually("the row says so", async || {
        let worker = stack.one_worker().await;
        if worker["draining"] == true && worker["running"] == 0 { Ok(()) } else { Err(worker) }
    })
    .await;
    stack.until_queued(2).await;
    for id in [&waits, &later] {
        assert_eq!(stack.task(id).await["attempt"], 0);
    }
    assert_eq!(stack.set_drain(Method::DELETE).await, false);
    for id in [&waits, &later] {
        stack.until(id, "succeeded").await;
    }
    stack.each_task_has_one_line(&[]).await;
}

#[apply(embedded)]
async fn the_worker_of_the_one_program_rests_for_an_operator_until_that_is_undone(setup: Setup) {
    rests_and_goes_on(setup, Asked::ByOperator).await;
}

#[apply(embedded)]
async fn the_worker_of_the_one_program_rests_after_a_signal_until_that_is_undone(setup: Setup) {
    rests_and_goes_on(setup, Asked::BySignal).await;
}

#[apply(both_stacks)]
async fn a_worker_that_does_not_exist_is_not_drained(setup: Setup) {
    let stack = setup.start(&[]).await;
    for method in [Method::PUT, Method::DELETE] {
        stack.ask(method.clone(), &format!("/api/v1/workers/{NOBODY}/drain")).await.problem(404, "not-found");
        stack.ask(method, "/api/v1/workers/abc/drain").await.problem(400, "invalid-id");
    }
}
