//! The pages of a server with AUTH=required, in a browser: they lead to the log-in, and then go on with what was begun.

use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::chromium::Browser;
use crate::kit::client::ask;
use crate::kit::content::md5sum;
use crate::kit::people::{PASSWORD, as_bearer};
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

const GUEST: &str = "document.querySelector('#guest')?.checkVisibility() === true";
const NO_GUEST: &str = "document.querySelector('#guest') === null";

async fn log_in(browser: &Browser, button: &str) {
    browser.until(GUEST).await;
    browser.fill("#username", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.click(button).await;
    browser.until(NO_GUEST).await;
}

/// Makes the browser forget its user, as when the cookie has expired.
async fn forget(browser: &Browser) {
    browser.cdp("Network.clearBrowserCookies", Value::Object(Default::default())).await;
}

async fn is_done_with(stack: &Arc<Stack>, browser: &Browser, count: usize) {
    let done = format!("document.querySelectorAll('#list > [data-state=done]').length === {count}");
    browser.until(&done).await;
    assert_eq!(stack.sql("SELECT count(*) FROM tasks WHERE owner IS NULL").trim(), "0");
}

#[apply(both_stacks)]
async fn who_is_asked_for_logs_in_and_his_files_go_in(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required")]).await;
    let browser = Browser::open(&stack, "/").await;
    browser.until(GUEST).await;
    browser.assert_accessible("asked who comes").await;

    // Chosen before: it waits.
    browser.choose("#files", &[("a.txt", b"abc")]).await;
    log_in(&browser, "#register").await;

    is_done_with(&stack, &browser, 1).await;
    assert_eq!(browser.texts("#list .digest code").await, [md5sum(b"abc")]);

    forget(&browser).await;
    browser.choose("#files", &[("b.txt", b"b")]).await;
    log_in(&browser, "#log-in [type=submit]").await;

    is_done_with(&stack, &browser, 2).await;
    browser.reload().await;
    is_done_with(&stack, &browser, 2).await;
    assert_eq!(browser.value(NO_GUEST).await, true);
    browser.close().await;
}

#[apply(embedded)]
async fn tables_and_records_are_shown_once_somebody_has_logged_in(setup: Setup) {
    let stack = setup.start(&[("AUTH", "required"), ("THIRD_PARTY_URL", "http://127.0.0.1:9")]).await;
    stack.register("ada").await;
    let browser = Browser::open(&stack, "/tables").await;

    browser.choose("#files", &[("a.csv", b"userId,title,body\n")]).await;
    log_in(&browser, "#log-in [type=submit]").await;
    is_done_with(&stack, &browser, 1).await;

    forget(&browser).await;
    browser.click("#list .open").await;
    log_in(&browser, "#log-in [type=submit]").await;
    browser.until("!document.querySelector('#empty').hidden").await;

    forget(&browser).await;
    browser.go("/records").await;
    log_in(&browser, "#log-in [type=submit]").await;
    browser.until("!document.querySelector('#empty').hidden").await;
    browser.close().await;
}

#[apply(embedded)]
async fn who_is_logged_in_and_what_is_left_is_on_all_pages(setup: Setup) {
    let stack = setup
        .start(&[
            ("AUTH", "required"),
            ("MAX_PENDING_PER_OWNER", "100"),
            ("MAX_BYTES_PER_OWNER", "1MiB"),
            ("UPLOADS_PER_MINUTE", "60"),
            ("FREE_URL", "http://127.0.0.1:9"),
        ])
        .await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    // It waits for a provider that is away.
    let message = json!({"text": "How far is the moon?", "provider": "free"}).to_string();
    let message = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &token).body(message);
    assert_eq!(ask(message).await.unwrap().status, 202);
    let browser = Browser::open(&stack, "/").await;
    log_in(&browser, "#log-in [type=submit]").await;
    browser.choose("#files", &[("a.txt", b"abc")]).await;
    is_done_with(&stack, &browser, 1).await;
    let words = "1 of 100 tasks pending · 20 bytes of 1 MB in them · up to 60 a minute";

    for path in ["/", "/messages", "/tables", "/records"] {
        browser.go(path).await;
        browser.until("document.querySelector('#account #name')?.textContent === 'ada'").await;
        browser.until(&format!("document.querySelector('#quotas').textContent === {}", json!(words))).await;
        assert_eq!(browser.value("document.querySelectorAll('body > header').length").await, 1);
        assert_eq!(browser.texts("nav [aria-current]").await.len(), 1, "{path}");
        assert_eq!(browser.value("document.querySelector('#to-log-in').checkVisibility()").await, false);
    }
    browser.assert_accessible("with quotas").await;
    browser.click("#log-out").await;
    browser.until(GUEST).await;
    browser.until("!document.querySelector('#name').checkVisibility()").await;

    // The next user of this browser does not see her tasks.
    browser.go("/").await;
    browser.until(GUEST).await;
    browser.fill("#username", "bob").await;
    browser.fill("#password", PASSWORD).await;
    browser.click("#register").await;
    browser.until(NO_GUEST).await;
    browser.choose("#files", &[("b.txt", b"b")]).await;
    is_done_with(&stack, &browser, 1).await;
    assert_eq!(browser.texts("#list h3").await, ["b.txt"]);
    browser.click("#log-out").await;
    log_in(&browser, "#log-in [type=submit]").await;
    is_done_with(&stack, &browser, 1).await;
    assert_eq!(browser.texts("#list h3").await, ["a.txt"]);
    browser.close().await;
}

#[apply(embedded)]
async fn quotas_that_are_not_set_are_null(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;

    let quotas = stack.ask_as(&token, Method::GET, "/api/v1/users/me/quotas").await;

    let none =
        json!({"pending": 0, "max_pending": null, "bytes": 0, "max_bytes": null, "uploads_per_minute": null});
    assert_eq!((quotas.status, quotas.json()), (200, none));
    stack.get("/api/v1/users/me/quotas").await.problem(401, "unauthenticated");
}

#[apply(embedded)]
async fn who_need_not_log_in_is_not_asked(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;

    browser.choose("#files", &[("a.txt", b"abc")]).await;

    browser.until("document.querySelectorAll('#list > [data-state=done]').length === 1").await;
    assert_eq!(browser.value(NO_GUEST).await, true);
    browser.until("document.querySelector('#to-log-in').checkVisibility()").await;
    browser.close().await;
}
