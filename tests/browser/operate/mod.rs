//! The operators' page, in a browser: what stands, what failed and why, and the acts that are open to the visitor.

use std::fs;
use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::chromium::Browser;
use crate::kit::client::{accepted, ask};
use crate::kit::content::noise;
use crate::kit::people::PASSWORD;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

const PAUSE: &str = "/api/v1/kinds/md5/pause";
/// Too large to travel in the row.
const LARGE: usize = 40_000;
const YES: &str = "#sure-yes";

async fn put(stack: &Stack, name: &str) -> String {
    accepted(&ask(stack.put_request(name, name.to_owned())).await.unwrap())
}

async fn done(stack: &Stack, names: &[&str]) {
    for name in names {
        stack.until(&put(stack, name).await, "succeeded").await;
    }
}

async fn pause(stack: &Stack, method: Method) {
    assert_eq!(stack.ask(method, PAUSE).await.status, 200);
}

/// Hands a file in that is damaged while its kind is paused; returns the id of the task that has failed.
async fn damaged(stack: &Stack, name: &str) -> String {
    pause(stack, Method::PUT).await;
    let id = accepted(&ask(stack.put_request(name, noise(1, LARGE))).await.unwrap());
    fs::write(stack.blob(&id).unwrap(), noise(2, LARGE)).unwrap();
    pause(stack, Method::DELETE).await;
    stack.until(&id, "failed").await;
    id
}

/// Whether the first element of a selector has exactly this text.
fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector({})?.textContent === {}", json!(selector), json!(text))
}

fn begins(selector: &str, text: &str) -> String {
    format!("!!document.querySelector({})?.textContent.startsWith({})", json!(selector), json!(text))
}

fn seen(selector: &str) -> String {
    format!("!!document.querySelector({})?.checkVisibility()", json!(selector))
}

/// The names in the list, once there are so many.
async fn listed(browser: &Browser, count: usize) -> Vec<String> {
    browser.until(&format!("document.querySelectorAll('#list tbody tr').length === {count}")).await;
    browser.texts("#list .name").await
}

async fn open(stack: &Arc<Stack>, view: &str) -> Browser {
    let browser = Browser::open(stack, &format!("/operate{view}")).await;
    browser.until(&says("#live-words", "Live")).await;
    browser
}

async fn log_in(browser: &Browser, name: &str) {
    browser.until(&seen("#guest")).await;
    browser.fill("#username", name).await;
    browser.fill("#password", PASSWORD).await;
    browser.click("#log-in [type=submit]").await;
    browser.until("document.querySelector('#guest') === null").await;
}

async fn choose(browser: &Browser, selector: &str, value: &str) {
    let choice = "(field, value) => { field.value = value; field.dispatchEvent(new Event('change')); }";
    browser.value(&format!("({choice})(document.querySelector('{selector}'), '{value}')")).await;
}

/// Presses a key where the focus is.
async fn press(browser: &Browser, key: &str) {
    let (text, code) = if key == "Enter" { ("\r", 13) } else { (key, 0) };
    for event in ["keyDown", "keyUp"] {
        let press = json!({"type": event, "key": key, "text": text, "windowsVirtualKeyCode": code});
        browser.cdp("Input.dispatchKeyEvent", press).await;
    }
}

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
async fn a_failed_task_is_found_by_its_code_opened_and_retried(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let id = damaged(&stack, "damaged.bin").await;
    let browser = open(&stack, "").await;

    browser.until(&says("#failures-words", "All 1 failed tasks that are kept.")).await;
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
    browser.until("document.querySelector('#search-error').textContent.includes('may be given')").await;
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
    browser.until(&begins("#sure-words", "All with status failed, error_code blob-corrupt.")).await;
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

#[apply(embedded)]
async fn viewers_read_and_change_nothing(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    for right in ["viewer", "operator"] {
        stack.with_right(right).await;
    }
    stack.register("ada").await;
    let browser = Browser::open(&stack, "/operate").await;
    log_in(&browser, "viewer").await;

    browser.until(&begins("#closed", "Read-only: ")).await;
    browser.until(&seen("#kinds .pause")).await;
    let open_acts = "document.querySelectorAll('[data-change]:not(:disabled)').length";
    browser.until(&format!("{open_acts} === 0")).await;
    for view in ["#tasks", "#workers", "#users"] {
        browser.go(&format!("/operate{view}")).await;
        browser.until(&seen(&format!("{} h2", view.replace('#', "#view-")))).await;
        browser.until(&begins("#closed", "Read-only: ")).await;
        assert_eq!(browser.value(open_acts).await, 0, "{view}");
    }
    assert!(browser.text("#users-words").await.starts_with("Only admins "));
    browser.assert_accessible("read-only").await;

    browser.click("#log-out").await;
    log_in(&browser, "operator").await;
    browser.go("/operate").await;
    browser.until("document.querySelector('#kinds .pause')?.disabled === false").await;
    assert_eq!(browser.value(&seen("#closed")).await, false);
    browser.click("#log-out").await;
    log_in(&browser, "ada").await;
    browser.until(&begins("#closed", "This page is for viewers, operators and admins.")).await;
    assert_eq!(browser.value(&seen("#views")).await, false);
    browser.close().await;
}

#[apply(embedded)]
async fn without_log_ins_changes_are_closed_to_other_machines(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = open(&stack, "").await;
    browser.until("document.querySelector('#kinds .pause')?.disabled === false").await;
    assert_eq!(browser.value(&seen("#closed")).await, false);

    browser.cdp("Network.enable", json!({})).await;
    let elsewhere = json!({"headers": {"X-Forwarded-For": "203.0.113.1"}});
    browser.cdp("Network.setExtraHTTPHeaders", elsewhere).await;
    browser.reload().await;

    browser.until(&begins("#closed", "Read-only: ")).await;
    browser.until("document.querySelector('#kinds .pause')?.disabled === true").await;
    browser.close().await;
}

#[apply(embedded)]
async fn an_admin_manages_users_and_their_own_keys(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    stack.admin("root").await;
    let ada = stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let browser = Browser::open(&stack, "/operate#users").await;
    log_in(&browser, "root").await;
    let row = format!("[data-key=\"{ada}\"]");
    browser.until(&seen(&row)).await;

    browser.click(&format!("{row} [value=viewer]")).await;
    browser.until(&says("#done span", "ada has the right viewer.")).await;
    assert_eq!(stack.me(&token).await.json()["rights"], json!(["viewer"]));
    browser.value("location.hash = '#audit'").await;
    browser.until(&says("#audit-list .what", "grant")).await;
    assert_eq!(browser.text("#audit-list .who").await, "root");
    assert_eq!(browser.text("#audit-list .target").await, ada);
    assert_eq!(browser.text("#audit-list .detail").await, "viewer");
    browser.assert_accessible("audit").await;
    browser.value("location.hash = '#users'").await;
    browser.click(&format!("{row} .end")).await;
    browser.click(YES).await;
    browser.until(&says("#done span", "The sessions of ada are ended.")).await;
    stack.me(&token).await.problem(401, "unauthenticated");
    browser.click(&format!("{row} .disable")).await;
    browser.click(YES).await;
    browser.until(&says(&format!("{row} .state"), "disabled")).await;
    assert_ne!(stack.log_in_with("ada", PASSWORD).await.status, 200);
    browser.click(&format!("{row} .disable")).await;
    browser.until(&says(&format!("{row} .state"), "may log in")).await;
    stack.log_in("ada").await;

    browser.fill("#key-name", "nightly").await;
    browser.click("#new-key [type=submit]").await;
    browser.until(&seen("#made-key")).await;
    let key = browser.text("#made-key code").await;
    assert_eq!(stack.me(&key).await.json()["username"], "root");
    browser.assert_accessible("users").await;
    browser.click("#key-list button").await;
    browser.click(YES).await;
    browser.until(&says("#done span", "The key nightly is revoked.")).await;
    stack.me(&key).await.problem(401, "unauthenticated");
    browser.close().await;
}

#[apply(embedded)]
async fn the_operators_page_outlives_a_restart_of_the_server(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let browser = open(&stack, "").await;
    browser.until(&says("#kinds [data-key=md5] .succeeded", "1")).await;

    stack.kill();
    browser.until(&seen("#away")).await;
    stack.start().await;
    browser.until(&format!("!({})", seen("#away"))).await;
    browser.until(&says("#live-words", "Live")).await;
    done(&stack, &["b"]).await;

    browser.until(&says("#kinds [data-key=md5] .succeeded", "2")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_hidden_page_rests_and_then_shows_what_has_happened(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let browser = open(&stack, "").await;
    let succeeded = "#kinds [data-key=md5] .succeeded";
    browser.until(&says(succeeded, "1")).await;
    let hide = async |is_hidden: bool| {
        let hidden = format!("{{value: {is_hidden}, configurable: true}}");
        let change = "document.dispatchEvent(new Event('visibilitychange'))";
        browser.value(&format!("Object.defineProperty(document, 'hidden', {hidden}) && {change}")).await;
    };

    hide(true).await;
    browser.until(&says("#live-words", "Paused")).await;
    done(&stack, &["b"]).await;
    hide(false).await;

    browser.until(&says("#live-words", "Live")).await;
    browser.until(&says(succeeded, "2")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn everyone_can_use_the_operators_page(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = open(&stack, "").await;
    browser.until(&says("#failures-words", "No failed task is kept.")).await;
    browser.assert_accessible("empty").await;

    let long = "x".repeat(200);
    done(&stack, &["a", &long]).await;
    let id = damaged(&stack, "b").await;
    browser.until(&seen("#failures")).await;
    browser.assert_accessible("with a failure").await;
    for (view, part) in [
        ("#tasks?status=failed,cancelled&worker=0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "#chips button"),
        ("#tasks", "#list"),
        (&*format!("#task/{id}"), "#attempts"),
        ("#workers", "#worker-list"),
        ("#audit", "#view-audit h2"),
        ("#users", "#users-words"),
    ] {
        browser.go(&format!("/operate{view}")).await;
        browser.until(&seen(part)).await;
        browser.assert_accessible(view).await;
    }
    browser.go("/operate").await;
    browser.click("#kinds .pause").await;
    browser.until(&seen("#sure")).await;
    browser.assert_accessible("with a question").await;
    browser.close().await;
}

#[apply(embedded)]
async fn the_keyboard_is_enough_for_operators(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a", "b"]).await;
    let id = damaged(&stack, "c").await;
    let browser = open(&stack, "").await;
    browser.until(&seen("#failures")).await;
    browser.assert_usable_by_keyboard().await;

    press(&browser, "/").await;
    browser.until("document.activeElement.id === 'q'").await;
    assert_eq!(listed(&browser, 3).await, ["c", "b", "a"]);
    browser.value("document.activeElement.blur()").await;
    for (key, name) in [("j", "c"), ("j", "b"), ("j", "a"), ("j", "a"), ("k", "b"), ("k", "c")] {
        press(&browser, key).await;
        assert_eq!(browser.value("document.activeElement.textContent").await, name, "{key}");
    }
    press(&browser, "Enter").await;
    browser.until(&says("#error code", "blob-corrupt")).await;
    assert_eq!(browser.value("location.hash").await, format!("#task/{id}"));
    browser.value("history.back()").await;
    browser.until("document.activeElement.textContent === 'c'").await;

    for (view, part) in [("#tasks", "#list"), (&*format!("#task/{id}"), "#attempts")] {
        browser.go(&format!("/operate{view}")).await;
        // Else the Tab key goes on from where the focus was.
        browser.reload().await;
        browser.until(&seen(part)).await;
        browser.assert_usable_by_keyboard().await;
    }
    press(&browser, "3").await;
    browser.until(&seen("#worker-list")).await;
    press(&browser, "?").await;
    browser.until(&seen("#help")).await;
    browser.click("#shortcuts").await;
    browser.click("#help button").await;
    press(&browser, "1").await;
    assert_eq!(browser.value("location.hash").await, "#workers");
    browser.close().await;
}
