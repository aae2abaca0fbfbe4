//! The access log's page, in a browser: what was reported is seen, counted, found and followed.

use std::process::Command;

use chrono::{DateTime, Duration, SecondsFormat, Timelike, Utc};
use rstest_reuse::apply;
use serde_json::json;

use crate::kit::chromium::Browser;
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

const LINES: [&str; 5] = [
    "192.0.2.1 GET /index.html 200",
    "192.0.2.1 GET /api/users?page=2 200",
    "2001:db8::7 POST /api/users 503",
    "192.0.2.9 GET /<img/src=x/onerror=alert(1)> 404",
    "192.0.2.9 get /日本 500",
];

async fn with_lines(stack: &Stack) {
    for line in LINES {
        stack.add_record(line).await;
    }
}

/// The list as lines, newest first, once there are so many.
async fn listed(browser: &Browser, count: usize) -> Vec<String> {
    browser.until(&format!("document.querySelectorAll('#records tbody tr').length === {count}")).await;
    let mut columns = Vec::new();
    for column in ["ip", "method", "uri", "status"] {
        columns.push(browser.texts(&format!("#records .{column}")).await);
    }
    (0..count).map(|row| columns.iter().map(|column| &*column[row]).collect::<Vec<_>>().join(" ")).collect()
}

/// Whether the text of an element begins so.
fn begins(selector: &str, text: &str) -> String {
    format!("document.querySelector('{selector}').textContent.startsWith({})", json!(text))
}

#[apply(both_stacks)]
async fn what_was_reported_is_seen_and_counted(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records").await;

    assert!(listed(&browser, 5).await.iter().eq(LINES.iter().rev()));
    let times = "Array.from(document.querySelectorAll('#records time'), time => time.title)";
    let created: Vec<_> =
        stack.records("").await.iter().rev().map(|record| record["created"].clone()).collect();
    assert_eq!(browser.value(times).await, json!(created));

    browser.until(&begins("#summary", "5 requests in the last hour; ")).await;
    let summary = browser.text("#summary").await;
    assert!(summary.ends_with(". 1 with a status of 4xx, 2 of 5xx."), "{summary}");
    assert_eq!(browser.texts("#classes th").await, ["2xx", "4xx", "5xx"]);
    assert_eq!(browser.texts("#classes td").await, ["2 · 40 %", "1 · 20 %", "2 · 40 %"]);
    assert_eq!(browser.texts("#ips th").await[2], "2001:db8::7");
    assert_eq!(browser.texts("#ips td").await, ["2", "2", "1"]);
    assert_eq!(browser.texts("#uris td").await.len(), 5);
    browser.close().await;
}

#[apply(embedded)]
async fn the_chart_is_drawn_and_told_in_words(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records").await;

    browser.until("document.querySelector('#chart canvas')?.clientWidth > 600").await;
    let is_painted = "(canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte))";
    browser.until(&format!("{is_painted}(document.querySelector('#chart canvas'))")).await;
    let described = "document.querySelector('#chart').getAttribute('aria-labelledby').split(' ')
        .map(id => document.getElementById(id).textContent).join(' ')";
    let described = browser.value(described).await;
    assert!(described.as_str().unwrap().starts_with("Requests per minute 5 requests "), "{described}");

    browser.looks("dark", 390).await;
    browser.until("document.querySelector('#chart canvas').clientWidth < 390").await;
    browser.close().await;
}

#[apply(embedded)]
async fn bars_are_as_wide_as_their_time_is_long(setup: Setup) {
    let stack = setup.start(&[]).await;
    let record = stack.add_record(LINES[0]).await;
    let created: DateTime<Utc> = record["created"].as_str().unwrap().parse().unwrap();
    let at = |seconds| (created + Duration::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Micros, true);
    // Of the minute that has the record, what lies before the time and after it is cut off.
    let second = f64::from(created.second()) + f64::from(created.timestamp_subsec_millis()) / 1000.0;
    let (before, after) = (second.min(20.0), (60.0 - second).min(70.0));
    let browser = Browser::open(&stack, &format!("/records?date_from={}&date_to={}", at(-20), at(70))).await;
    browser.until("document.querySelector('#chart .u-over')?.clientWidth > 600").await;

    // How many of the columns above the axis are painted. Read once: Chromium complains of more.
    let share = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() => {
        const [canvas, plot] = [document.querySelector('#chart canvas'), document.querySelector('#chart .u-over')];
        const [left, top] = [plot.offsetLeft, plot.offsetTop];
        const line = canvas.getContext('2d').getImageData(left, top + plot.offsetHeight - 20, plot.offsetWidth, 1).data;
        const [r, g, b] = [0x8c, 0x2f, 0x39];
        let painted = 0;
        for (let at = 0; at < line.length; at += 4) painted += line[at] === r && line[at + 1] === g && line[at + 2] === b;
        return painted / plot.offsetWidth;
    })";
    let share = browser.value(share).await.as_f64().unwrap();
    let expected = (before + after) / 90.0;
    assert!((share - expected).abs() < 0.03, "{share} of the chart is a bar, not {expected}");
    browser.close().await;
}

#[apply(embedded)]
async fn a_filter_narrows_the_list_and_is_kept_in_the_address(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records").await;
    listed(&browser, 5).await;

    browser.fill("#status_code", "5xx").await;
    browser.click("#filter [type=submit]").await;
    assert_eq!(listed(&browser, 2).await, [LINES[4], LINES[2]]);
    browser.fill("#uri", "/api").await;
    browser.click("#filter [type=submit]").await;
    assert_eq!(listed(&browser, 1).await, [LINES[2]]);
    assert_eq!(browser.value("location.search").await, "?status_code=5xx&uri=%2Fapi");

    browser.reload().await;
    assert_eq!(listed(&browser, 1).await, [LINES[2]]);
    browser.value("history.back()").await;
    assert_eq!(listed(&browser, 2).await, [LINES[4], LINES[2]]);
    assert_eq!(browser.value("document.querySelector('#uri').value").await, "");
    browser.fill("#method", "PUT").await;
    browser.click("#filter [type=submit]").await;
    browser.until(&begins("#empty-words", "No request of this time matches the filter.")).await;
    assert_eq!(listed(&browser, 0).await, [""; 0]);
    browser.click("#clear").await;
    assert_eq!(listed(&browser, 5).await.len(), 5);

    browser.click("#ips tr:nth-child(3) a").await;
    assert_eq!(listed(&browser, 1).await, [LINES[2]]);
    browser.until(&begins("#summary", "5 requests ")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_time_with_an_end_is_shown_as_it_was(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let all = stack.records("").await;
    let [from, to] = [&all[1], &all[3]].map(|record| record["created"].as_str().unwrap().to_owned());
    let within = stack.records(&format!("?date_from={from}&date_to={to}")).await.len();
    let browser = Browser::open(&stack, &format!("/records?date_from={from}&date_to={to}")).await;

    listed(&browser, within).await;
    browser.until(&begins("#summary", &format!("{within} requests in this time"))).await;
    browser.until("!document.querySelector('#live').checkVisibility()").await;

    browser.go("/records?date_from=yesterday").await;
    browser.until(&begins("#trouble", "From: it is a time such as")).await;
    browser.close().await;
}

#[apply(both_stacks)]
async fn what_is_reported_afterwards_appears_by_itself(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/records?status_code=5xx").await;
    browser.until(&begins("#empty-words", "No request of this time matches the filter.")).await;

    with_lines(&stack).await;
    assert_eq!(listed(&browser, 2).await, [LINES[4], LINES[2]]);
    stack.add_record("192.0.2.1 GET /again 504").await;

    assert_eq!(listed(&browser, 3).await, ["192.0.2.1 GET /again 504", LINES[4], LINES[2]]);
    browser.until(&begins("#summary", "6 requests in the last hour")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn of_many_the_newest_are_shown_and_older_ones_on_demand(setup: Setup) {
    let stack = setup.start(&[]).await;
    let lines: String = (0..2500).map(|number| format!("192.0.2.1 GET /{number} 200\n")).collect();
    stack.add_records("text/plain", lines).await;
    let newest = |count: usize| (0..count).map(|back| format!("192.0.2.1 GET /{} 200", 2499 - back));
    let browser = Browser::open(&stack, "/records?last=all").await;

    assert!(listed(&browser, 100).await.into_iter().eq(newest(100)));
    browser.click("#more").await;
    assert!(listed(&browser, 300).await.into_iter().eq(newest(300)));
    browser.until(&begins("#summary", "2,500 requests in all")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_filter_that_is_wrong_is_told_in_words(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records").await;
    listed(&browser, 5).await;

    for (field, text, words) in [
        ("#ip", "nonsense", "Address: it is an IPv4 or IPv6 address"),
        ("#status_code", "6xx", "Status: it is a number from 100 to 599"),
    ] {
        browser.fill(field, text).await;
        browser.click("#filter [type=submit]").await;
        browser.until(&begins("#filter-error", words)).await;
        assert_eq!(browser.value(&format!("document.querySelector('{field}').ariaInvalid")).await, "true");
        assert_eq!(listed(&browser, 0).await, [""; 0]);
        browser.click("#clear").await;
        listed(&browser, 5).await;
        assert_eq!(browser.texts("#filter-error").await, [""]);
    }
    browser.close().await;
}

#[apply(embedded)]
async fn who_has_no_records_is_shown_how_to_send_one(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/records").await;
    browser.until("document.querySelector('#teach').checkVisibility()").await;
    let told = browser.text("#teach pre").await;

    let mut shell = Command::new("sh");
    shell.args(["-c", &told]);
    assert!(output(shell).await.status.success(), "{told}");

    assert_eq!(listed(&browser, 1).await, ["127.0.0.1 GET /index.html 200"]);
    browser.until("!document.querySelector('#empty').checkVisibility()").await;
    browser.close().await;
}

#[apply(embedded)]
async fn the_access_logs_page_outlives_a_restart_of_the_server(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records").await;
    listed(&browser, 5).await;

    stack.kill();
    browser.until("document.querySelector('#away').checkVisibility()").await;
    stack.start().await;
    stack.add_record("192.0.2.1 GET /again 200").await;

    assert_eq!(listed(&browser, 6).await[0], "192.0.2.1 GET /again 200");
    browser.until("!document.querySelector('#away').checkVisibility()").await;
    browser.close().await;
}

#[apply(embedded)]
async fn everyone_can_use_the_access_logs_page(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/records").await;
    browser.until("document.querySelector('#teach').checkVisibility()").await;
    browser.assert_accessible("empty").await;

    with_lines(&stack).await;
    let long = format!("/{}", "x".repeat(8000));
    stack.add_record(&format!("2001:db8:1234:5678:9abc:def0:1234:5678 OPTIONS {long} 301")).await;
    browser.go("/records?date_from=2026-01-01T00:00:00Z").await;
    listed(&browser, 6).await;
    browser.until("!!document.querySelector('#chart canvas')").await;
    browser.assert_accessible("with records").await;

    browser.fill("#ip", "nonsense").await;
    browser.click("#filter [type=submit]").await;
    browser.text("#filter-error").await;
    browser.assert_accessible("with an error").await;
    browser.close().await;
}

#[apply(embedded)]
async fn the_keyboard_is_enough_for_the_access_log(setup: Setup) {
    let stack = setup.start(&[]).await;
    with_lines(&stack).await;
    let browser = Browser::open(&stack, "/records?live=off&uri=/").await;
    listed(&browser, 5).await;
    browser.until("!!document.querySelector('#chart canvas')").await;

    browser.assert_usable_by_keyboard().await;
    browser.close().await;
}
