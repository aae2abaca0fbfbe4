//! The page for messages, in a browser: a user logs in, sends messages, and sees which provider answered them, and what holds them up.

use std::sync::Arc;

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::chromium::Browser;
use crate::kit::people::{PASSWORD, SECRET, changed, claims, header, seconds, signed};
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

const PAGE: &str = "/messages";

/// Opens the page for a new user, with or without the right `paid`, and logs in on it.
async fn page_of(stack: &Arc<Stack>, username: &str, may_pay: bool) -> Browser {
    stack.sender(username, may_pay).await;
    let browser = Browser::open(stack, PAGE).await;
    log_in(&browser, username, PASSWORD).await;
    browser.until(&seen("#user")).await;
    browser
}

async fn log_in(browser: &Browser, username: &str, password: &str) {
    browser.until(&seen("#guest")).await;
    browser.fill("#username", username).await;
    browser.fill("#password", password).await;
    browser.click("#log-in [type=submit]").await;
}

async fn send(browser: &Browser, text: &str) {
    browser.fill("#text", text).await;
    browser.click("#compose [type=submit]").await;
}

/// The list has so many messages, all of them answered.
fn answered(count: usize) -> String {
    format!(
        "document.querySelectorAll('#list > [data-state=done]').length === {count}
            && document.querySelectorAll('#list > li').length === {count}"
    )
}

fn seen(selector: &str) -> String {
    format!("document.querySelector('{selector}').checkVisibility()")
}

fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector('{selector}')?.textContent === {}", Value::from(text))
}

#[apply(both_stacks)]
async fn who_registers_is_logged_in_until_he_logs_out(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, PAGE).await;
    browser.until(&seen("#guest")).await;
    browser.fill("#username", "ada").await;
    browser.fill("#password", PASSWORD).await;

    browser.click("#register").await;
    browser.until(&seen("#user")).await;

    assert_eq!(browser.text("#name").await, "ada");
    assert_eq!(browser.value("document.activeElement.id").await, "text");
    assert_eq!(browser.value("document.cookie").await, "", "no script sees the token");
    let kept = browser.value("JSON.stringify([localStorage, sessionStorage])").await;
    assert!(!kept.as_str().unwrap().contains("eyJ"), "{kept}");
    browser.reload().await;
    browser.until(&says("#name", "ada")).await;
    browser.click("#log-out").await;
    browser.until(&seen("#guest")).await;
    browser.until(&says("#news", "You are logged out.")).await;
    browser.reload().await;
    browser.until(&seen("#guest")).await;
    log_in(&browser, "ada", PASSWORD).await;
    browser.until(&seen("#user")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn what_is_wrong_with_a_log_in_is_said_in_words(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.register("ada").await;
    let browser = Browser::open(&stack, PAGE).await;
    let unknown = "The username or the password is wrong.";
    let short = "Password: expected a password of at least 8 characters and at most 1024 bytes.";
    let nameless =
        "Username: expected a username of 1 to 64 visible characters, without a space at either end.";
    for (button, username, password, words, field) in [
        ("#log-in [type=submit]", "ada", "correct horsf", unknown, None),
        ("#register", "bob", "short", short, Some("password")),
        ("#register", " bob", PASSWORD, nameless, Some("username")),
        ("#register", "ada", PASSWORD, "Another user has this name.", None),
        ("#log-in [type=submit]", "bob", PASSWORD, unknown, None),
    ] {
        browser.until(&seen("#guest")).await;
        browser.fill("#username", username).await;
        browser.fill("#password", password).await;
        browser.click(button).await;

        browser.until(&says("#log-in-error", words)).await;

        let blamed = browser.value("document.querySelector('#log-in [aria-invalid=true]')?.id ?? null").await;
        assert_eq!(blamed, json!(field));
    }
    log_in(&browser, "ada", PASSWORD).await;
    browser.until(&seen("#user")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_message_is_answered_and_it_is_seen_by_whom() {
    let limits = [("REQUESTS", "2"), ("BLOCK_SECONDS", "600")];
    let (stack, providers) = Setup::Embedded.beside_providers(&limits).await;
    let browser = page_of(&stack, "ada", true).await;
    browser.until(&seen("#free[data-state]")).await;

    for (sent, text) in ["one", "two", "three"].into_iter().enumerate() {
        send(&browser, text).await;
        browser.until(&answered(sent + 1)).await;
    }

    assert_eq!(browser.texts("#list h3").await, ["three", "two", "one"]);
    let by = ["The paid provider", "The free provider", "The free provider"];
    assert_eq!(browser.texts("#list .provider span").await, by);
    let replies = browser.texts("#list .reply pre").await;
    for (id, reply) in browser.texts("#list .id code").await.iter().zip(&replies) {
        let reply: Value = serde_json::from_str(reply).unwrap();
        assert_eq!(reply, stack.task(id).await["result"]["reply"]);
    }
    browser.until("document.querySelector('#free').dataset.state === 'blocked'").await;
    let words = "The free provider is blocked. It opens in ";
    assert!(browser.text("#free-words").await.starts_with(words));
    browser.until(&says("#text", "")).await;
    assert_eq!(providers.stats("free").await["refused"], 0);
    browser.close().await;
}

#[tokio::test]
async fn where_the_free_provider_stands_is_shown_from_what_was_counted() {
    let (stack, _providers) = Setup::Embedded.beside_providers(&[]).await;
    let browser = page_of(&stack, "ada", false).await;
    send(&browser, "one").await;
    browser.until(&answered(1)).await;
    send(&browser, "two").await;
    browser.until(&answered(2)).await;

    browser
        .until(&says("#free-words", "The free provider is open: up to 98 messages until it blocks."))
        .await;

    assert_eq!(browser.value("document.querySelector('#free').dataset.state").await, "open");
    browser.close().await;
}

#[tokio::test]
async fn who_may_not_pay_is_told_so_and_waits() {
    let limits = [("REQUESTS", "1"), ("BLOCK_SECONDS", "600")];
    let (stack, providers) = Setup::Embedded.beside_providers(&limits).await;
    let browser = page_of(&stack, "ada", false).await;
    assert_eq!(browser.texts("#provider option").await, ["Automatic", "The free provider"]);
    assert!(browser.text("#provider-hint").await.contains("coatcheck user grant ada paid"));
    send(&browser, "one").await;
    browser.until(&answered(1)).await;
    browser.until("document.querySelector('#free').dataset.state === 'blocked'").await;

    send(&browser, "two").await;

    browser.until(&says("#list li .note", "It waits until the free provider opens.")).await;
    browser.click("#list li .cancel").await;
    browser.until(&says("#list li .state", "Cancelled")).await;
    assert_eq!(providers.stats("paid").await["accepted"], 0);
    browser.click("#clear").await;
    browser.until("!document.querySelector('#sent').checkVisibility()").await;
    browser.click(".undo button").await;
    browser.until(&seen("#sent")).await;
    assert_eq!(browser.texts("#list h3").await, ["two", "one"]);
    browser.click("#clear").await;
    browser.until("!document.querySelector('#sent').checkVisibility()").await;
    browser.close().await;
}

#[tokio::test]
async fn what_waited_is_answered_when_the_free_provider_opens() {
    let limits = [("REQUESTS", "1"), ("BLOCK_SECONDS", "2")];
    let (stack, providers) = Setup::Embedded.beside_providers(&limits).await;
    let browser = page_of(&stack, "ada", false).await;

    for text in ["one", "two", "three"] {
        send(&browser, text).await;
        browser.until(&says("#list h3", text)).await;
    }

    browser.until(&answered(3)).await;
    assert_eq!(browser.texts("#list .provider span").await, ["The free provider"; 3]);
    assert_eq!(providers.stats("free").await["refused"], 0);
    browser.close().await;
}

#[tokio::test]
async fn a_right_is_offered_and_counts_from_the_next_log_in_on() {
    let (stack, providers) = Setup::Embedded.beside_providers(&[]).await;
    let browser = page_of(&stack, "ada", false).await;
    let granted = output(stack.user_command(&["grant", "ada", "paid"])).await;
    assert!(granted.status.success());
    browser.reload().await;
    browser.click("#provider [value=paid]").await;
    send(&browser, "at once").await;
    let words = "The right “paid” applies from your next log-in on. Log out, then log in again.";
    browser.until(&says("#compose-error", words)).await;
    assert_eq!(browser.value("document.querySelector('#text').value").await, "at once");

    browser.click("#log-out").await;
    log_in(&browser, "ada", PASSWORD).await;
    browser.until(&seen("#user")).await;
    browser.click("#provider [value=paid]").await;
    send(&browser, "at once").await;

    browser.until(&answered(1)).await;
    assert_eq!(browser.texts("#list .provider span").await, ["The paid provider"]);
    assert_eq!(browser.texts("#compose-error").await, [""]);
    assert_eq!(providers.stats("paid").await["accepted"], 1);
    browser.close().await;
}

#[tokio::test]
async fn who_stays_longer_than_his_log_in_loses_nothing() {
    let (stack, _providers) = Setup::Embedded.beside_providers(&[("JWT_SECRET", SECRET)]).await;
    let browser = page_of(&stack, "ada", false).await;
    send(&browser, "one").await;
    browser.until(&answered(1)).await;
    let expired = changed(claims(&stack.register("eve").await, &[]), json!({"exp": seconds(-5)}));
    let token = signed(&header(SECRET), &expired, SECRET);
    let cookie =
        json!({"url": stack.url("/"), "name": stack.cookie().await, "value": token, "httpOnly": true});
    browser.cdp("Network.setCookie", cookie).await;

    send(&browser, "two").await;

    let words = "Your log-in has ended. Log in again, and go on where you were.";
    browser.until(&says("#why", words)).await;
    browser.until(&says("#news", words)).await;
    assert_eq!(browser.value("document.querySelector('#username').value").await, "ada");
    assert_eq!(browser.value("document.activeElement.id").await, "password");
    browser.assert_accessible("with an ended log-in").await;
    log_in(&browser, "ada", PASSWORD).await;
    browser.until(&seen("#user")).await;
    assert_eq!(browser.texts("#list h3").await, ["one"]);
    assert_eq!(browser.value("document.querySelector('#text').value").await, "two");
    browser.click("#compose [type=submit]").await;
    browser.until(&answered(2)).await;
    browser.close().await;
}

#[tokio::test]
async fn markup_in_a_message_is_text() {
    let (stack, _providers) = Setup::Embedded.beside_providers(&[]).await;
    let browser = page_of(&stack, "<i>ada</i>", false).await;
    let text = "<img src=x onerror=alert(1)>\u{202e}<script>alert(2)</script>";

    browser.value(&format!("document.querySelector('#text').value = {}", json!(text))).await;
    browser.click("#compose [type=submit]").await;
    browser.until(&answered(1)).await;

    assert_eq!(browser.text("#name").await, "<i>ada</i>");
    // A character that would turn the text around is shown by its code.
    assert_eq!(browser.texts("#list h3 bdi").await, [text.replace('\u{202e}', r"\u202E")]);
    assert!(!browser.text("#list .reply bdi").await.contains('\u{202e}'));
    assert!(browser.text("#list .reply bdi").await.contains("<script>"));
    assert_eq!(browser.value("document.querySelectorAll('main :is(img, script, i)').length").await, 0);
    browser.close().await;
}

#[tokio::test]
async fn messages_are_still_there_after_a_reload_each_user_s_own() {
    let limits = [("REQUESTS", "1"), ("BLOCK_SECONDS", "600")];
    let (stack, _providers) = Setup::Embedded.beside_providers(&limits).await;
    stack.register("bob").await;
    let browser = page_of(&stack, "ada", false).await;
    send(&browser, "one").await;
    browser.until(&answered(1)).await;
    send(&browser, "two").await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    let before = browser.texts("#list code").await;

    browser.reload().await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    assert_eq!(browser.texts("#list code").await, before);
    browser.click("#log-out").await;
    log_in(&browser, "bob", PASSWORD).await;
    browser.until(&seen("#user")).await;
    assert_eq!(browser.texts("#list h3").await, [""; 0]);
    browser.click("#log-out").await;
    log_in(&browser, "ada", PASSWORD).await;

    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    assert_eq!(browser.texts("#list h3").await, ["two", "one"]);
    // Messages that had not ended are followed again.
    browser.click("#list li .cancel").await;
    browser.until(&says("#list li .state", "Cancelled")).await;
    browser.close().await;
}

#[tokio::test]
async fn the_page_for_messages_outlives_a_restart_of_the_server() {
    let (stack, _providers) = Setup::Embedded.beside_providers(&[]).await;
    let browser = page_of(&stack, "ada", false).await;
    stack.kill();

    send(&browser, "one").await;
    browser.until(&seen("#away")).await;
    stack.start().await;

    browser.until(&answered(1)).await;
    browser.until("!document.querySelector('#away').checkVisibility()").await;
    assert_eq!(stack.tasks("kind=message").await.len(), 1);
    browser.close().await;
}

#[tokio::test]
async fn everyone_can_use_the_page_for_messages() {
    let limits = [("REQUESTS", "1"), ("BLOCK_SECONDS", "600")];
    let (stack, providers) = Setup::Embedded.beside_providers(&limits).await;
    stack.sender("bob", true).await;
    let browser = Browser::open(&stack, PAGE).await;
    log_in(&browser, "ada", "wrong password").await;
    browser.text("#log-in-error").await;
    browser.assert_accessible("with a refused log-in").await;

    browser.fill("#password", PASSWORD).await;
    browser.click("#register").await;
    browser.until(&seen("#user")).await;
    browser.assert_accessible("without messages").await;

    send(&browser, &format!("{}\n{}", "long ".repeat(50), "x".repeat(500))).await;
    browser.until(&answered(1)).await;
    browser.until("document.querySelector('#free').dataset.state === 'blocked'").await;
    send(&browser, "waits").await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    send(&browser, "").await;
    browser.until(&says("#compose-error", "Message: the text is empty.")).await;
    browser.click("#list .whole:not([hidden]) summary").await;
    browser.assert_accessible("with messages that wait, and an error").await;

    browser.click("#log-out").await;
    log_in(&browser, "bob", PASSWORD).await;
    browser.until(&seen("#user")).await;
    send(&browser, "pays").await;
    browser.until(&answered(1)).await;
    providers.control("paid", &json!({"latency": 30})).await;
    send(&browser, "takes its time").await;
    browser.until("document.querySelectorAll('#list > [data-state=active]').length === 1").await;
    browser.assert_accessible("with a message that is being answered").await;
    providers.control("paid", &json!({"latency": 0})).await;
    browser.close().await;
}

#[tokio::test]
async fn the_keyboard_is_enough_for_messages() {
    let limits = [("REQUESTS", "1"), ("BLOCK_SECONDS", "600")];
    let (stack, _providers) = Setup::Embedded.beside_providers(&limits).await;
    let browser = Browser::open(&stack, PAGE).await;
    browser.until(&seen("#guest")).await;
    browser.assert_usable_by_keyboard().await;

    stack.register("ada").await;
    log_in(&browser, "ada", PASSWORD).await;
    browser.until(&seen("#user")).await;
    send(&browser, "one\nline and another").await;
    browser.until(&answered(1)).await;
    send(&browser, "waits").await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    browser.reload().await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    browser.assert_usable_by_keyboard().await;
    browser.close().await;
}
