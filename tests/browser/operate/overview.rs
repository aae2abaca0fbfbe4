//! The first view and the workers: what stands, numbers over time, kinds that are paused, workers that are drained.

use reqwest::Method;
use rstest_reuse::apply;

use super::{YES, begins, choose, damaged, done, listed, open, pause, put, says, seen};
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn what_stands_is_counted_by_kind_and_status_and_goes_on_by_itself(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a", "b", "c"]).await;
    damaged(&stack, "d").await;
    pause(&stack, Method::PUT).await;
    let unwanted = put(&stack, "e").await;
    put(&stack, "f").await;
    assert_eq!(stack.ask(Method::DELETE, &format!("/api/v1/tasks/{unwanted}")).await.status, 200);
    let of = |status: &str| format!("#kinds [data-key=md5] .{status}");

    let browser = open(&stack, "").await;

    for (status, number) in
        [("pending", "1"), ("running", "0"), ("succeeded", "3"), ("failed", "1"), ("cancelled", "1")]
    {
        browser.until(&says(&of(status), number)).await;
    }
    assert_eq!(browser.text(&of("paused")).await, "paused");
    assert_ne!(browser.text(&of("oldest")).await, "–");
    assert_eq!(browser.text("#kinds [data-key=table] .oldest").await, "–");
    browser.until(&begins("#parts", "service ready · database ok · ")).await;

    pause(&stack, Method::DELETE).await;
    done(&stack, &["g"]).await;
    for (status, number) in [("pending", "0"), ("succeeded", "5"), ("paused", ""), ("oldest", "–")] {
        browser.until(&says(&of(status), number)).await;
    }
    damaged(&stack, "h").await;
    browser.until(&says(&of("failed"), "2")).await;
    browser.until(&says("#failures .tasks", "2")).await;
    browser.close().await;
}

#[apply(both_stacks)]
async fn numbers_over_time_are_drawn_and_told_in_words(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a", "b", "c"]).await;
    damaged(&stack, "d").await;
    let browser = open(&stack, "").await;

    let told = "4 accepted, 3 succeeded, 1 failed and 0 cancelled in the last hour.";
    browser.until(&begins("#ends-words", told)).await;
    browser.until(&begins("#waits-words", "Last, half waited up to ")).await;
    let is_painted = "Array.from(document.querySelectorAll('#charts canvas')).filter(canvas =>
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte)).length === 2";
    browser.until(is_painted).await;
    choose(&browser, "#chart-kind", "table").await;
    browser.until(&begins("#ends-words", "0 accepted, ")).await;
    browser.until(&says("#waits-words", "No task began in the last hour.")).await;
    choose(&browser, "#chart-span", "7d").await;
    browser.until(&says("#ends-title", "Tasks in each hour")).await;

    browser.looks("dark", 390).await;
    browser.until("document.querySelector('#ends-chart canvas').clientWidth < 390").await;
    browser.close().await;
}

#[apply(both_stacks)]
async fn a_kind_is_paused_after_a_question_and_resumed(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = open(&stack, "").await;
    let button = "#kinds [data-key=md5] .pause";
    let is_paused = async || {
        let kinds = stack.get("/api/v1/kinds").await.json()["kinds"].clone();
        kinds.as_array().unwrap().iter().find(|kind| kind["kind"] == "md5").unwrap()["paused"] == true
    };

    browser.click(button).await;
    browser.until(&says("#sure-title", "Pause md5?")).await;
    browser.click("#sure-no").await;
    browser.until(&format!("!({})", seen("#sure"))).await;
    assert!(!is_paused().await);
    browser.click(button).await;
    browser.click(YES).await;
    browser.until(&says("#done span", "md5 is paused.")).await;
    assert!(is_paused().await);

    browser.until(&says(button, "Resume")).await;
    browser.click(button).await;
    browser.until(&says("#done span", "md5 is resumed.")).await;
    assert!(!is_paused().await);
    browser.close().await;
}

#[apply(both_stacks)]
async fn a_worker_shows_its_longest_task_and_is_drained(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let browser = open(&stack, "#workers").await;
    browser.until(&format!("!!document.querySelector('.longest a[href=\"#task/{}\"]')", held.id)).await;
    browser.until(&begins("#workers-words", "1 worker, 1 running task. The longest runs at ")).await;

    browser.click(".drain").await;
    browser.click(YES).await;
    browser.until(&says("#worker-list .state", "drains")).await;
    assert_eq!(stack.get("/api/v1/workers").await.json()["workers"][0]["draining"], true);
    browser.click(".drain").await;
    browser.until(&says(".drain", "Drain …")).await;
    assert_eq!(stack.get("/api/v1/workers").await.json()["workers"][0]["draining"], false);

    browser.click("#worker-list .entry").await;
    listed(&browser, 1).await;
    held.release();
    browser.until(&says("#list .state", "succeeded")).await;
    browser.close().await;
}
