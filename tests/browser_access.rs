//! The pages of a server that asks who comes, in a browser: they lead to the log-in, and go on with what was begun.

use std::sync::Arc;

use serde_json::Value;

use crate::chromium::Browser;
use crate::content::md5sum;
use crate::people::PASSWORD;
use crate::stack::Stack;

const GUEST: &str = "document.querySelector('#guest')?.checkVisibility() === true";
const NO_GUEST: &str = "document.querySelector('#guest') === null";

async fn log_in(browser: &Browser, button: &str) {
    browser.until(GUEST).await;
    browser.fill("#username", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.click(button).await;
    browser.until(NO_GUEST).await;
}

/// Has the browser forget who is there, as when the cookie has lapsed.
async fn forget(browser: &Browser) {
    browser.cdp("Network.clearBrowserCookies", Value::Object(Default::default())).await;
}

async fn is_done_with(stack: &Arc<Stack>, browser: &Browser, count: usize) {
    let done = format!("document.querySelectorAll('#list > [data-state=done]').length === {count}");
    browser.until(&done).await;
    assert_eq!(stack.sql("SELECT count(*) FROM tasks WHERE owner IS NULL").trim(), "0");
}

on_both_stacks!(who_is_asked_for_logs_in_and_his_files_go_in, [("AUTH", "required")], |stack| async move {
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
});

on_embedded!(
    tables_and_records_are_shown_once_somebody_has_logged_in,
    [("AUTH", "required"), ("THIRD_PARTY_URL", "http://127.0.0.1:9")],
    |stack| async move {
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
);

on_embedded!(who_need_not_log_in_is_not_asked, [], |stack| async move {
    let browser = Browser::open(&stack, "/").await;

    browser.choose("#files", &[("a.txt", b"abc")]).await;

    browser.until("document.querySelectorAll('#list > [data-state=done]').length === 1").await;
    assert_eq!(browser.value(NO_GUEST).await, true);
    browser.close().await;
});
