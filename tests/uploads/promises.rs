//! An upload is answered with a ticket at once, and the ticket leads to what `md5sum` says of the file.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use futures::StreamExt;
use futures::stream;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::RFC_1321;

use crate::kit::client::{Answer, accepted, ask};
use crate::kit::content::{Sample, files_below, noise};
use crate::kit::program::output;
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn a_form_is_answered_with_a_ticket_that_is_good_at_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let answer = ask(stack.post_request("a.txt", "abc")).await.unwrap();

    let id = accepted(&answer);
    assert_eq!(answer.header("location"), format!("/api/v1/md5/{id}"));
    assert_eq!(stack.get(answer.header("location")).await.status, 200);
    is_a_new_task(&answer);
    is_a_done_task(&stack.until(&id, "succeeded").await);
}

#[apply(both_stacks)]
async fn a_bare_body_is_answered_with_a_ticket_that_is_good_at_once(setup: Setup) {
    let stack = setup.start(&[]).await;
    let request = stack.put_request("a.txt", "abc").header("Content-Type", "text/plain");
    let answer = ask(request).await.unwrap();

    let id = accepted(&answer);
    assert_eq!(answer.header("location"), format!("/api/v1/md5/{id}"));
    assert_eq!(stack.get(answer.header("location")).await.status, 200);
    let task = stack.until(&id, "succeeded").await;
    assert_eq!(task["input"], json!({"filename": "a.txt", "size": 3, "content_type": "text/plain"}));
    assert_eq!(
        task,
        stack.get(answer.header("location")).await.json(),
        "a ticket leads to the same by both addresses"
    );
}

#[apply(both_stacks)]
async fn digests_are_those_of_rfc_1321(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (text, md5) in RFC_1321 {
        let (form, body) = (stack.post(text).await, stack.put(text).await);

        for id in [form, body] {
            assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"md5": md5}), "{text}");
        }
    }
}

#[apply(both_stacks)]
async fn digests_are_what_md5sum_prints_for_the_machines_own_files(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut files = Vec::new();
    for folder in ["/usr/share/doc", "/etc", "/usr/lib"] {
        files.extend(files_below(Path::new(folder), 100, 1 << 20));
    }
    let empty = stack.folder().join("empty");
    fs::write(&empty, "").unwrap();
    files.push(empty);
    assert!(files.len() >= 30, "this machine has too few files: {files:?}");
    let mut md5sum = Command::new("md5sum");
    md5sum.args(&files);
    let printed = String::from_utf8_lossy(&output(md5sum).await.stdout).into_owned();

    let ids: Vec<String> = stream::iter(&files)
        .enumerate()
        .map(async |(number, file)| {
            let bytes = fs::read(file).unwrap();
            if number.is_multiple_of(2) { stack.put(bytes).await } else { stack.post(bytes).await }
        })
        .buffered(8)
        .collect()
        .await;

    // A backslash before the line says that its name is escaped.
    let digests = printed.lines().map(|line| line.trim_start_matches('\\').split(' ').next().unwrap());
    assert_eq!(printed.lines().count(), files.len());
    for ((id, file), md5) in ids.iter().zip(&files).zip(digests) {
        assert_eq!(stack.until(id, "succeeded").await["result"]["md5"], md5, "{}", file.display());
    }
}

#[apply(both_stacks)]
async fn digests_are_right_around_the_size_that_travels_in_the_row(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (seed, bytes) in [(1, 0), (2, 1), (3, 16_384), (4, 16_385), (5, 64 << 20)] {
        let sample = Sample::new(noise(seed, bytes));

        let (form, body) = (stack.post(sample.bytes.to_vec()).await, stack.put(sample.bytes.to_vec()).await);

        for id in [form, body] {
            let task = stack.until(&id, "succeeded").await;
            assert_eq!(
                (&task["result"]["md5"], &task["input"]["size"]),
                (&json!(&*sample.md5), &json!(bytes))
            );
        }
    }
    stack.until_no_blobs().await;
}

#[apply(both_stacks)]
async fn digests_are_right_when_nothing_travels_in_the_row(setup: Setup) {
    let stack = setup.start(&[("INLINE_BYTES", "0")]).await;
    for (text, md5) in RFC_1321 {
        let id = stack.put(text).await;

        assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"md5": md5}), "{text}");
    }
}

#[apply(both_stacks)]
async fn uploads_are_kept_if_that_is_wished(setup: Setup) {
    let stack = setup.start(&[("KEEP_UPLOADS", "true")]).await;
    let content = noise(1, 50_000);

    let id = stack.put(content.clone()).await;

    stack.until(&id, "succeeded").await;
    stack.each_task_has_one_line(&[]).await;
    assert_eq!(fs::read(stack.blob(&id).unwrap()).unwrap(), content);
}

#[apply(both_stacks)]
async fn many_uploads_at_once_all_end_right_with_one_line_each(setup: Setup) {
    let stack = setup.start(&[]).await;
    let samples: Vec<Sample> = (0..20).map(|seed| Sample::new(noise(seed, seed as usize * 37))).collect();

    let promises: Vec<_> = stream::iter(0..500)
        .map(async |number: usize| {
            let sample = &samples[number % samples.len()];
            let bytes = sample.bytes.to_vec();
            let id = if number.is_multiple_of(2) { stack.put(bytes).await } else { stack.post(bytes).await };
            (id, sample.md5.clone())
        })
        .buffer_unordered(32)
        .collect()
        .await;

    stack.are_kept(&promises).await;
    let ids: HashSet<_> = promises.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 500);
    let tasks = stack.each_task_has_one_line(&[]).await;
    assert_eq!(tasks.len(), 501);
    assert!(tasks.iter().all(|task| task["attempt"] == 1));
}

#[apply(both_stacks)]
async fn names_are_kept_as_data_and_lead_nowhere(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (sent, kept) in [
        ("with%20space.txt", "with space.txt"),
        ("%C3%A9%F0%9F%A7%A5", "é🧥"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("C:%5Cx", "x"),
        ("a%0D%0Ab%00%1B", "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}"),
        ("%E2%80%AEgpj.exe", "\u{fffd}gpj.exe"),
        ("100%25", "100%"),
        ("caf%E9", "caf\u{fffd}"),
    ] {
        let answer = ask(stack.put_request(sent, noise(1, 20_000))).await.unwrap();

        let id = accepted(&answer);
        assert_eq!(answer.json()["input"]["filename"], kept, "{sent}");
        stack.until(&id, "succeeded").await;
    }
    let mut found: Vec<_> =
        fs::read_dir(stack.folder()).unwrap().map(|file| file.unwrap().file_name()).collect();
    found.retain(|name| !name.to_string_lossy().starts_with("process-"));
    assert_eq!(found, ["data"], "nothing beside it and what the processes say");
}

/// The form of a task that was accepted a moment ago, whether or not it was begun since.
fn is_a_new_task(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/json");
    let fields =
        ["id", "kind", "status", "created", "started", "finished", "attempt", "input", "result", "error"];
    let order: Vec<_> = fields
        .iter()
        .chain(&["next_attempt", "retried_from"])
        .map(|field| answer.text().find(&format!("\"{field}\":")).unwrap_or_else(|| panic!("no {field}")))
        .collect();
    assert!(order.is_sorted(), "{}", answer.text());
    let mut task = answer.json();
    (task["id"], task["created"]) = (json!("[id]"), json!("[time]"));
    let new = json!({
        "id": "[id]", "kind": "md5", "status": "pending", "created": "[time]", "started": null, "finished": null, "attempt": 0,
        "input": {"filename": "a.txt", "size": 3, "content_type": null}, "result": null, "error": null, "next_attempt": null,
        "retried_from": null,
    });
    assert_eq!(task, new);
}

fn is_a_done_task(task: &Value) {
    for time in ["created", "started", "finished"] {
        let text = task[time].as_str().unwrap();
        assert!(text.len() == "2026-01-02T03:04:05.678901Z".len() && text.ends_with('Z'), "{text}");
    }
    let mut task = task.clone();
    task["id"] = json!("[id]");
    for time in ["created", "started", "finished"] {
        task[time] = json!("[time]");
    }
    let done = json!({
        "id": "[id]", "kind": "md5", "status": "succeeded", "created": "[time]", "started": "[time]", "finished": "[time]",
        "attempt": 1, "input": {"filename": "a.txt", "size": 3, "content_type": null},
        "result": {"md5": "900150983cd24fb0d6963f7d28e17f72"}, "error": null, "next_attempt": null, "retried_from": null,
    });
    assert_eq!(task, done);
}
