//! The operators' page, in a browser: what stands, what failed and why, and the acts that are open to the visitor.

mod bulk;
mod filters;
mod overview;
mod page;
mod people;
mod tasks;

use std::fs;
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use crate::kit::chromium::Browser;
use crate::kit::client::{accepted, ask};
use crate::kit::content::noise;
use crate::kit::people::PASSWORD;
use crate::kit::stack::Stack;

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
    let (text, code) = match key {
        "Enter" => ("\r", 13),
        "Escape" => ("", 27),
        key => (key, 0),
    };
    for event in ["keyDown", "keyUp"] {
        let press = json!({"type": event, "key": key, "text": text, "windowsVirtualKeyCode": code});
        browser.cdp("Input.dispatchKeyEvent", press).await;
    }
}
