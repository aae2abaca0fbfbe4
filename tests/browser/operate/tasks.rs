//! The list of tasks, and one task.

use std::fs;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use test_kit::eventually;

use super::{LARGE, YES, begins, choose, damaged, done, listed, open, pause, put, says, seen};
use crate::kit::content::noise;
use crate::kit::stack::{Setup, both_stacks, embedded};

#[apply(both_stacks)]
async fn a_failed_task_is_found_by_its_code_opened_and_retried(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let id = damaged(&stack, "damaged.bin").await;
    let browser = open(&stack, "").await;

    browser.until(&says("#failures-words", "The one failed task that is kept.")).await;
    browser.click("#failures a").await;
    assert_eq!(listed(&browser, 1).await, ["damaged.bin"]);
    browser.until(&says("#total", "1 task")).await;
    assert_eq!(browser.value("location.hash").await, "#tasks?kind=md5&status=failed&error_code=blob-corrupt");
    browser.click("#list .entry").await;
    browser.until(&says("#error code", "blob-corrupt")).await;
    browser.until("document.querySelectorAll('#attempts tbody tr').length === 1").await;
    assert_eq!(browser.value("location.hash").await, format!("#task/{id}"));

    fs::write(stack.blob(&id).unwrap(), noise(1, LARGE)).unwrap();
    browser.click("#retry").await;

    browser.until(&says("#done span", "It is done again, as this new task.")).await;
    browser.until(&says("#one .state", "succeeded")).await;
    browser.until(&format!("!!document.querySelector('.facts a[href=\"#task/{id}\"]')")).await;
    assert_eq!(stack.tasks("status=succeeded").await[0]["retried_from"], Value::from(id.clone()));
    browser.value("history.back()").await;
    browser.until(&says("#error code", "blob-corrupt")).await;
    browser.click("#back").await;
    assert_eq!(listed(&browser, 1).await, ["damaged.bin"]);
    browser.close().await;
}

#[apply(embedded)]
async fn a_search_narrows_the_list_and_is_kept_in_the_address(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a.txt", "ab.txt", "b.txt"]).await;
    let id = damaged(&stack, "a.bin").await;
    let browser = open(&stack, "#tasks").await;
    assert_eq!(listed(&browser, 4).await, ["a.bin", "b.txt", "ab.txt", "a.txt"]);

    browser.fill("#q", "a").await;
    browser.click("#search [type=submit]").await;
    assert_eq!(listed(&browser, 3).await, ["a.bin", "ab.txt", "a.txt"]);
    choose(&browser, "#status", "succeeded").await;
    assert_eq!(listed(&browser, 2).await, ["ab.txt", "a.txt"]);
    choose(&browser, "#order", "oldest").await;
    browser.until(&says("#list .name", "a.txt")).await;
    assert_eq!(browser.value("location.hash").await, "#tasks?filename=a&status=succeeded&order=oldest");
    browser.reload().await;
    assert_eq!(listed(&browser, 2).await, ["a.txt", "ab.txt"]);
    browser.value("history.go(-2)").await;
    assert_eq!(listed(&browser, 3).await, ["a.bin", "ab.txt", "a.txt"]);
    assert_eq!(browser.value("document.querySelector('#status').value").await, "");

    browser.fill("#error_code", "blob-corrupt").await;
    browser.click("#search [type=submit]").await;
    browser.until("document.querySelector('#search-error').textContent.endsWith(' can’t be searched together: clear one.')").await;
    assert_eq!(listed(&browser, 0).await, [""; 0]);
    browser.click("#clear").await;
    listed(&browser, 4).await;

    browser.fill("#q", &id).await;
    browser.click("#search [type=submit]").await;
    browser.until(&says("#task-title", "a.bin")).await;
    browser.go(&format!("/operate#task/{}", id.replace('-', "0"))).await;
    browser.until(&begins("#task-error", "An id is ")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn of_many_tasks_a_page_is_shown_and_rows_in_use_stay_where_they_are(setup: Setup) {
    let stack = setup.start(&[]).await;
    let names: Vec<_> = (0..205).map(|number| format!("{number:03}")).collect();
    done(&stack, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let browser = open(&stack, "#tasks").await;

    browser.until(&says("#total", "205 tasks")).await;
    let newest = listed(&browser, 100).await;
    assert!(newest.iter().eq(names.iter().rev().take(100)));
    browser.value("document.querySelector('#list .entry').focus()").await;
    done(&stack, &["new"]).await;
    browser.until(&says("#newer", "Show 1 other")).await;
    assert_eq!(listed(&browser, 100).await, newest);
    browser.click("#newer").await;
    browser.until(&says("#list .name", "new")).await;

    for (rows, first) in [(100, "105"), (6, "005")] {
        browser.click("#next").await;
        browser.until(&says("#list .name", first)).await;
        listed(&browser, rows).await;
    }
    browser.until(&format!("!({})", seen("#next"))).await;
    browser.click("#first").await;
    browser.until(&says("#list .name", "new")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_task_is_cancelled_and_deleted_after_a_question(setup: Setup) {
    let stack = setup.start(&[]).await;
    pause(&stack, Method::PUT).await;
    let id = put(&stack, "a").await;
    let browser = open(&stack, &format!("#task/{id}")).await;

    browser.click("#cancel").await;
    browser.click(YES).await;
    browser.until(&says("#one .state", "cancelled")).await;
    // Its line has to be in the outcome log first.
    eventually("the task is deleted", async || {
        browser.click("#purge").await;
        browser.click(YES).await;
        browser.until("!document.querySelector('#purge').disabled").await;
        match stack.get(&format!("/api/v1/tasks/{id}")).await.status {
            404 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    browser.until(&says("#done span", "The task is deleted.")).await;
    browser.until(&seen("#empty")).await;
    browser.close().await;
}
