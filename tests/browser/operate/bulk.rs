//! Acts on all tasks that match.

use std::collections::BTreeSet;
use std::fs;

use futures::future::join_all;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use super::{LARGE, YES, begins, damaged, done, listed, open, pause, put, says};
use crate::kit::content::{md5sum, noise};
use crate::kit::outcomes::line;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

#[apply(both_stacks)]
async fn all_that_match_are_counted_before_they_are_retried(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    for name in ["b", "c"] {
        let id = damaged(&stack, name).await;
        fs::write(stack.blob(&id).unwrap(), noise(1, LARGE)).unwrap();
    }
    let browser = open(&stack, "#tasks?status=failed&error_code=blob-corrupt").await;
    listed(&browser, 2).await;

    browser.click("#bulk [data-action=retry]").await;
    browser.until(&says("#sure-title", "Retry 2 tasks?")).await;
    browser.until(&begins("#sure-words", "All with status failed, code blob-corrupt.")).await;
    browser.click("#sure-no").await;
    browser.until("!document.querySelector('#bulk [data-action=retry]').disabled").await;
    assert_eq!(stack.tasks("kind=bulk").await, [Value::Null; 0]);
    browser.click("#bulk [data-action=retry]").await;
    browser.click(YES).await;
    browser.click("#done a").await;

    browser.until(&says("#one .state", "succeeded")).await;
    assert_eq!(browser.text("#task-title").await, "retry of many");
    browser.until("document.querySelector('.facts').textContent.includes('2 tasks changed')").await;
    eventually("both are done again", async || {
        let tasks = stack.tasks("kind=md5&status=succeeded").await;
        if tasks.len() == 3 { Ok(()) } else { Err(tasks) }
    })
    .await;
    browser.close().await;
}

/// Waits until that many md5 tasks have a status.
async fn all_are(stack: &Stack, status: &str, number: usize) {
    eventually(&format!("{number} tasks {status}"), async || {
        let page =
            stack.get(&format!("/api/v1/tasks?kind=md5&status={status}&limit=1&total=true")).await.json();
        if page["total"] == number { Ok(()) } else { Err(page["total"].clone()) }
    })
    .await;
}

#[apply(embedded)]
async fn a_thousand_failures_of_a_broken_folder_are_retried_by_one_act_and_all_succeed(setup: Setup) {
    const MANY: usize = 1000;
    let stack = setup.start(&[("INLINE_BYTES", "0"), ("MAX_ATTEMPTS", "1")]).await;
    pause(&stack, Method::PUT).await;
    let names: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    for some in names.chunks(50) {
        join_all(some.iter().map(|name| put(&stack, name))).await;
    }
    let (folder, away) = (stack.data("blobs"), stack.data("away"));
    fs::rename(&folder, &away).unwrap();
    pause(&stack, Method::DELETE).await;
    all_are(&stack, "failed", MANY).await;
    fs::rename(away, folder).unwrap();

    let browser = open(&stack, "").await;
    browser.until(&says("#failures .tasks", "1,000")).await;
    browser.click("#failures a").await;
    browser.until(&says("#total", "1,000 tasks")).await;
    browser.click("#bulk [data-action=retry]").await;
    browser.until(&says("#sure-title", "Retry 1,000 tasks?")).await;
    assert_eq!(stack.tasks("kind=bulk").await, [Value::Null; 0]);
    browser.click(YES).await;
    browser.click("#done a").await;
    browser.until(&says("#one .state", "succeeded")).await;
    browser.until("document.querySelector('.facts').textContent.includes('1,000 tasks changed')").await;
    all_are(&stack, "succeeded", MANY).await;
    browser.close().await;

    let tasks = stack.tasks("limit=1000").await;
    let is_again = |task: &&Value| !task["retried_from"].is_null();
    for task in tasks.iter().filter(is_again) {
        let name = task["input"]["filename"].as_str().unwrap();
        assert_eq!(task["result"]["md5"], md5sum(name.as_bytes()), "{task}");
    }
    let from: BTreeSet<&str> =
        tasks.iter().filter(is_again).map(|task| task["retried_from"].as_str().unwrap()).collect();
    assert_eq!((tasks.len(), from.len()), (2 * MANY + 1, MANY));
    let mut expected: Vec<String> = tasks.iter().map(line).collect();
    expected.sort();
    let found = eventually("every outcome has its line", async || {
        let lines = stack.all_log_lines();
        if lines.len() >= expected.len() { Ok(lines) } else { Err(lines.len()) }
    });
    let mut found = found.await;
    found.sort();
    assert!(found == expected, "{} lines of {} outcomes, not the same", found.len(), expected.len());
    stack.verifies().await;
}
