//! The page itself: a server that restarts, a page that is hidden, access, and the keyboard.

use rstest_reuse::apply;

use super::{damaged, done, listed, open, press, says, seen};
use crate::kit::stack::{Setup, embedded};

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
