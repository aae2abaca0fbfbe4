//! Tasks of a kind that only a newer version knows, as they are met while it replaces this one: shown by their tickets, and else
//! left to it, while all others go on.

use std::fs;
use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use crate::kit::program::stderr_of;
use crate::kit::stack::{Setup, Stack, both_stacks};

/// A ticket for each status that a newer version's row may have here.
const ROWS: [(&str, &str); 3] = [
    ("0198c0de-0000-7000-8000-000000000001", "pending"),
    ("0198c0de-0000-7000-8000-000000000002", "running"),
    ("0198c0de-0000-7000-8000-000000000003", "succeeded"),
];

/// As a newer version has written them: one that waits and is due, one whose worker is gone, one that owes its line.
fn insert(stack: &Stack) {
    for (id, status) in ROWS {
        let id = match stack.is_distributed() {
            true => format!("'{id}'"),
            false => format!("X'{}'", id.replace('-', "")),
        };
        let (finished, result) = if status == "succeeded" { ("created", "result") } else { ("NULL", "NULL") };
        stack.sql(&format!(
            "INSERT INTO tasks (id, kind, status, created, input, sweep_at, attempt, finished, result) \
             SELECT {id}, 'later', '{status}', created, input, created, 1, {finished}, {result} \
             FROM tasks WHERE finished IS NOT NULL AND kind = 'md5' LIMIT 1"
        ));
    }
}

fn rows(stack: &Stack) -> String {
    let rows = "SELECT status, attempt, tries, sweep_at, cancel_requested, finished, logged_at FROM tasks \
                WHERE kind = 'later' ORDER BY id";
    stack.sql(rows)
}

/// How often the processes have named the kind.
fn named(stack: &Stack) -> Vec<usize> {
    let told = |process| fs::read_to_string(stderr_of(&stack.process_folder(process))).unwrap();
    let count = |told: String| told.matches("kind `later`, which only a newer version knows").count();
    (0..stack.processes()).map(told).map(count).collect()
}

// Uploads, and with them the newer kinds, are looked for each second.
#[apply(both_stacks)]
async fn a_task_of_a_newer_kind_holds_up_nothing_and_is_left_alone(setup: Setup) {
    let stack = setup.start(&[("ORPHAN_SECONDS", "60")]).await;
    let first = stack.put("abc").await;
    stack.until(&first, "succeeded").await;
    stack.log_lines(&first).await;
    insert(&stack);
    let before = rows(&stack);

    keeps_promises(&stack).await;
    shows_them(&stack).await;

    assert_eq!(rows(&stack), before);
    let lines = stack.all_log_lines();
    assert!(ROWS.iter().all(|(id, _)| lines.iter().all(|line| !line.contains(id))), "{lines:?}");
    // Each process that looks names it, once; the API at the latest when it is asked for its metrics.
    let metrics = stack.get("/metrics").await;
    assert!(metrics.text().contains("coatcheck_newer_kind_tasks 2"), "{}", metrics.text());
    eventually("each process names it", async || {
        let named = named(&stack);
        if named.iter().all(|count| *count > 0) { Ok(()) } else { Err(named) }
    })
    .await;
    keeps_promises(&stack).await;
    assert!(named(&stack).iter().all(|count| *count == 1), "{:?}", named(&stack));
    // As long as no newer version runs, nothing moves such a task on.
    stack.verify_finds(&[("stuck", 1)], "1 task ended of kinds that only a newer version knows").await;

    stack.kill();
    stack.start().await;
    keeps_promises(&stack).await;
    let status = "SELECT status, attempt, tries, logged_at FROM tasks WHERE kind = 'later' ORDER BY id";
    assert_eq!(stack.sql(status), "pending|1|0|\nrunning|1|0|\nsucceeded|1|0|");
}

/// By way of a row and by way of a blob, to the last line.
async fn keeps_promises(stack: &Arc<Stack>) {
    for content in ["abc".to_owned(), "abc".repeat(100_000)] {
        let id = stack.put(content).await;
        stack.until(&id, "succeeded").await;
        stack.log_lines(&id).await;
    }
    stack.until_no_blobs().await;
}

async fn shows_them(stack: &Stack) {
    let listed = stack.tasks("limit=1").await;
    assert!(listed.len() > 2 && listed.iter().all(|task| task["kind"] == "md5"), "{listed:?}");
    for (id, status) in ROWS {
        let task = stack.task(id).await;
        assert_eq!((&task["kind"], &task["status"]), (&"later".into(), &status.into()), "{task}");
        let path = format!("/api/v1/tasks/{id}");
        let waited: Value = stack.get(&format!("{path}?wait=0")).await.json();
        assert_eq!(waited, task);
        let cancelled = stack.ask(Method::DELETE, &path).await;
        match status {
            "succeeded" => cancelled.problem(409, "task-ended"),
            _ => cancelled.problem(503, "newer-kind"),
        };
    }
    let (ended, _) = ROWS[2];
    let events = stack.get(&format!("/api/v1/tasks/{ended}/events")).await;
    assert!(events.text().contains("\"kind\":\"later\""), "{}", events.text());
}
