//! Viewers, operators and admins: what is open to whom.

use rstest_reuse::apply;
use serde_json::json;

use super::{YES, begins, log_in, open, says, seen};
use crate::kit::chromium::Browser;
use crate::kit::people::PASSWORD;
use crate::kit::stack::{Setup, embedded};

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
    assert_eq!(browser.text("#audit-list .target").await, "ada");
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
