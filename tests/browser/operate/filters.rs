//! The operators' page, in a browser: that an act is for exactly what is listed, that what is shown is so, and what follows an act.

use std::fs;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use super::{LARGE, YES, begins, choose, damaged, done, listed, log_in, open, pause, press, put, says, seen};
use crate::kit::chromium::Browser;
use crate::kit::client::accepted;
use crate::kit::content::noise;
use crate::kit::stack::{Setup, both_stacks, embedded};

/// A ticket that was never given out.
const MISSING: &str = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
const SEARCH: &str = "#search [type=submit]";

/// The acts on all tasks that are open now.
async fn open_acts(browser: &Browser) -> Vec<String> {
    let open = "Array.from(document.querySelectorAll('#bulk button:not(:disabled)'), button => button.dataset.action)";
    serde_json::from_value(browser.value(open).await).unwrap()
}

#[apply(embedded)]
async fn acts_on_all_wait_until_the_search_is_the_one_that_is_listed(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a", "b"]).await;
    let browser = open(&stack, "#tasks").await;
    browser.until(&says("#total", "2 tasks")).await;
    browser.until(&says("#filter-words", "all tasks, without a filter")).await;
    browser.until("!document.querySelector('#bulk button').disabled").await;
    assert_eq!(open_acts(&browser).await, ["retry", "cancel", "purge"]);

    for (field, text) in [("#q", "a"), ("#error_code", "io"), ("#created_before", "2020-01-02T03:04:05")] {
        let fill = "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', {bubbles: true})); }";
        browser.value(&format!("({fill})(document.querySelector('{field}'), '{text}')")).await;
        browser.until(&begins("#bulk-why", "Search first: ")).await;
        assert_eq!(open_acts(&browser).await, [""; 0], "{field}");
        browser.value(&format!("({fill})(document.querySelector('{field}'), '')")).await;
        browser.until(&says("#bulk-why", "")).await;
        assert_eq!(open_acts(&browser).await.len(), 3, "{field}");
    }

    browser.fill("#q", "a").await;
    browser.click(SEARCH).await;
    browser.until(&says("#total", "1 task")).await;
    browser.until(&says("#bulk-why", "")).await;
    let name = "file name beginning with “a”";
    let succeeded = format!("{name}, status succeeded");
    for (status, words, acts) in
        [("succeeded", &*succeeded, &["purge"][..]), ("", name, &["retry", "cancel", "purge"])]
    {
        choose(&browser, "#status", status).await;
        browser.until(&says("#filter-words", words)).await;
        browser.until(&says("#total", "1 task")).await;
        browser.until("!document.querySelector('#bulk [data-action=purge]').disabled").await;
        assert_eq!(open_acts(&browser).await, acts, "{status}");
    }
    // Nothing to act on, and a search that was refused.
    choose(&browser, "#status", "failed").await;
    browser.until(&says("#total", "0 tasks")).await;
    assert_eq!(open_acts(&browser).await, [""; 0]);
    browser.fill("#error_code", "io").await;
    browser.click(SEARCH).await;
    let refusal = "Error code and file name can’t be searched together: clear one.";
    browser
        .until(&format!(
            "[{}, {}].includes(document.querySelector('#search-error').textContent)",
            json!(refusal),
            json!("File name and error code can’t be searched together: clear one.")
        ))
        .await;
    assert_eq!(open_acts(&browser).await, [""; 0]);
    assert_eq!(browser.text("#live-words").await, "Live");
    browser.close().await;
}

#[apply(embedded)]
async fn a_page_without_tasks_is_not_the_end_of_a_list(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let browser = open(&stack, "").await;
    browser.until(&seen("#kinds")).await;
    // As if the first two pages had looked at many tasks that don't match.
    let far = "(window.fetch = (real => async (address, options) => {
        const url = new URL(address, location);
        if (url.pathname !== '/api/v1/tasks') return real(address, options);
        const after = Number(url.searchParams.get('after') ?? 0);
        url.searchParams.delete('after');
        while (after === 2 && !window.mayGoOn) await new Promise(done => setTimeout(done, 10));
        return after === 2 ? real(url, options)
            : new Response(JSON.stringify({tasks: [], next: String(after + 1), total: null, total_at_least: 0}));
    })(window.fetch), true)";
    browser.value(far).await;

    browser.value("location.hash = '#tasks'").await;
    browser.until(&says("#empty", "Looking further …")).await;
    browser.value("(window.mayGoOn = true)").await;
    assert_eq!(listed(&browser, 1).await, ["a"]);
    browser.until(&says("#total", "at least 1 task")).await;
    browser.until(&format!("!({})", seen("#empty"))).await;

    browser.value("location.hash = '#tasks?status=failed'").await;
    browser.until(&says("#empty", "No task matches.")).await;
    assert_eq!(browser.value(&seen("#next")).await, false);
    browser.close().await;
}

#[apply(embedded)]
async fn a_refusal_is_not_a_broken_connection(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = open(&stack, &format!("#task/{MISSING}")).await;
    browser.until(&says("#task-error", "This task does not exist.")).await;
    assert_eq!(browser.text("#live-words").await, "Live");

    // The server's words come without the marks of its code.
    browser.value("location.hash = '#tasks?error_code=io&status=succeeded'").await;
    browser.until(&begins("#search-error", "Error code goes only with the status failed.")).await;
    assert_eq!(browser.text("#live-words").await, "Live");
    browser.close().await;
}

#[apply(both_stacks)]
async fn ended_tasks_are_counted_exactly_and_in_one_request(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a", "b"]).await;
    damaged(&stack, "c").await;
    let browser = open(&stack, "").await;

    for (kind, status, number) in
        [("md5", "succeeded", "2"), ("md5", "failed", "1"), ("table", "succeeded", "0")]
    {
        browser.until(&says(&format!("#kinds [data-key={kind}] .{status}"), number)).await;
    }
    browser.until(&begins("#ended-words", "Succeeded, failed and cancelled: what ended since ")).await;
    let asked = browser.asked().await;
    assert!(!asked.iter().any(|(_, address)| address.contains("total=true")), "{asked:?}");
    browser.click("#kinds [data-key=md5] .failed a").await;
    assert_eq!(listed(&browser, 1).await, ["c"]);
    browser.close().await;
}

#[apply(embedded)]
async fn a_filter_of_the_address_is_in_its_fields_once_and_seen(setup: Setup) {
    let stack = setup.start(&[]).await;
    done(&stack, &["a"]).await;
    let browser = open(&stack, "#tasks?kind=md5&created_after=2026-01-02T03:04:05.000Z").await;

    browser.until("document.querySelector('#kind').options.length > 2").await;
    let kinds = "Array.from(document.querySelector('#kind').options, option => option.value)";
    let kinds: Vec<String> = serde_json::from_value(browser.value(kinds).await).unwrap();
    assert_eq!(kinds.iter().filter(|kind| *kind == "md5").count(), 1, "{kinds:?}");
    assert_eq!(browser.value("document.querySelector('#kind').value").await, "md5");
    browser.until(&seen("#created_after")).await;
    browser.until(&begins("#filter-words", "kind md5, created from Jan ")).await;
    browser.assert_accessible("with times").await;

    // A narrow screen has the fields folded up, but for those that are set.
    browser.looks("light", 390).await;
    assert_eq!(browser.value(&seen("#kind")).await, true);
    browser.click("#clear").await;
    browser.until(&format!("!({})", seen("#kind"))).await;
    browser.click("#filters summary").await;
    browser.until(&seen("#kind")).await;
    browser.close().await;
}

#[apply(both_stacks)]
async fn a_task_that_was_retried_says_so_before_it_is_done_again(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = damaged(&stack, "a.bin").await;
    fs::write(stack.blob(&id).unwrap(), noise(1, LARGE)).unwrap();
    let browser = open(&stack, &format!("#task/{id}")).await;
    browser.until(&begins("#advice", "The upload has changed since it was stored.")).await;

    let again = accepted(&stack.ask(Method::POST, &format!("/api/v1/tasks/{id}/retry")).await);
    stack.until(&again, "succeeded").await;
    browser.reload().await;

    browser.until(&seen(&format!(".facts a[href=\"#task/{again}\"]"))).await;
    browser
        .until(&format!("document.querySelector('.facts').textContent.includes('{again} (succeeded)')"))
        .await;
    press(&browser, "r").await;
    browser.until(&says("#sure-title", "Retry a.bin again?")).await;
    browser.assert_accessible("with a retry").await;
    browser.click("#sure-no").await;
    browser.until(&format!("!({})", seen("#sure"))).await;
    assert_eq!(stack.tasks("kind=md5&status=succeeded").await.len(), 1);
    press(&browser, "Escape").await;
    browser.until(&seen("#list")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn an_act_on_many_is_followed_to_its_end_and_says_what_it_was(setup: Setup) {
    let stack = setup.start(&[]).await;
    pause(&stack, Method::PUT).await;
    for name in ["a", "b"] {
        put(&stack, name).await;
    }
    let browser = open(&stack, "#tasks?status=pending&kind=md5").await;
    browser.until(&says("#total", "2 tasks")).await;

    browser.click("#list .entry").await;
    browser
        .until("document.querySelector('#standing').textContent.includes('waits: md5 is paused since ')")
        .await;
    press(&browser, "Escape").await;
    browser.until(&says("#total", "2 tasks")).await;
    browser.click("#bulk [data-action=cancel]").await;
    browser.click(YES).await;
    browser.until(&says("#done span", "2 tasks cancelled.")).await;
    browser.click("#done a").await;
    browser.until("document.querySelector('.facts').textContent.includes('cancel: kind md5, status pending, created before ')").await;
    browser.value("location.hash = '#audit'").await;
    browser.until(&says("#audit-list .detail", "cancel: kind md5, status pending")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn chosen_tasks_are_changed_and_no_others(setup: Setup) {
    let stack = setup.start(&[]).await;
    pause(&stack, Method::PUT).await;
    for name in ["d", "c", "b", "a"] {
        put(&stack, name).await;
    }
    let browser = open(&stack, "#tasks").await;
    assert_eq!(listed(&browser, 4).await, ["a", "b", "c", "d"]);

    browser.click("#list tbody tr:nth-child(1) .pick input").await;
    let with_shift = "new MouseEvent('click', {shiftKey: true, bubbles: true})";
    browser
        .value(&format!(
            "document.querySelector('#list tbody tr:nth-child(3) .pick input').dispatchEvent({with_shift})"
        ))
        .await;
    browser.until(&says("#chosen-words", "3 chosen")).await;
    let open = "Array.from(document.querySelectorAll('#chosen button:not(:disabled)'), button => button.textContent).join()";
    assert_eq!(browser.value(open).await, "Cancel 3 …");
    browser.assert_accessible("with chosen tasks").await;
    browser.click("#chosen [data-action=cancel]").await;
    browser.until(&says("#sure-title", "Cancel 3 tasks?")).await;
    browser.click(YES).await;

    browser.until(&says("#done span", "3 tasks cancelled.")).await;
    let states = "Array.from(document.querySelectorAll('#list .state'), state => state.textContent).join()";
    browser.until(&format!("{states} === 'cancelled,cancelled,cancelled,pending'")).await;
    browser.until(&seen("#bulk")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_visitor_logs_in_on_the_page_itself(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.admin("root").await;
    let browser = open(&stack, "#users").await;
    browser.until(&begins("#users-words", "Only admins ")).await;

    browser.click("#to-log-in").await;
    browser.until(&seen("#guest")).await;
    assert_eq!(browser.value("location.pathname").await, "/operate");
    assert_eq!(browser.value(&seen("#view-users")).await, true);
    browser.assert_accessible("with a log-in").await;
    log_in(&browser, "root").await;

    browser.until(&seen("#user-list")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn the_drain_of_the_last_worker_says_what_it_means(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = open(&stack, "#workers").await;
    browser.until(&begins("#workers-note", "The table has what runs at this moment")).await;
    browser.click(".drain").await;
    browser.until("document.querySelector('#sure-words').textContent.includes('It is the last worker that takes tasks')").await;
    browser.click(YES).await;
    browser
        .until("/ drains, and runs nothing more\\.$/.test(document.querySelector('#done span').textContent)")
        .await;
    browser.click(".drain").await;
    browser.until(&says("#worker-list .state", "works")).await;
    browser.value("location.hash = '#audit'").await;
    browser.until(&says("#audit-list .what", "undo drain")).await;
    let worker = stack.get("/api/v1/workers").await.json()["workers"][0]["draining"].clone();
    assert_eq!(worker, Value::from(false));
    browser.close().await;
}
