//! The page for tables, in a browser: a user hands a table in and sees its progress, its errors, and the outcomes of its rows.

use std::sync::Arc;

use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::chromium::Browser;
use crate::kit::scripted::{Scripted, answer, done};
use crate::kit::stack::{Running, Setup, Stack, embedded};
use crate::tasks::tables::table;

const PAGE: &str = "/tables";

/// The page after a table was chosen that is taken.
async fn page_with(stack: &Arc<Stack>, name: &str, file: &str) -> Browser {
    let browser = Browser::open(stack, PAGE).await;
    browser.choose("#files", &[(name, file.as_bytes())]).await;
    browser.until(&seen("#list .open")).await;
    browser
}

/// The newest table on the list is in such a state.
fn is(state: &str) -> String {
    format!("document.querySelector('#list li')?.dataset.state === {}", Value::from(state))
}

fn seen(selector: &str) -> String {
    format!("!!document.querySelector('{selector}')?.checkVisibility()")
}

fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector('{selector}')?.textContent === {}", Value::from(text))
}

/// Shows the rows of the newest table, once the first of them are there.
async fn open_rows(browser: &Browser) {
    browser.click("#list .open").await;
    browser.until(&seen("#page")).await;
}

#[tokio::test]
async fn a_table_is_handed_in_and_its_rows_are_read_page_by_page() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "100")]).await;
    let browser = page_with(&stack, "posts.csv", &table(120)).await;
    browser.until(&is("done")).await;
    browser.until(&says("#list .count span", "120 sent")).await;
    let id = browser.text("#list .id code").await;

    open_rows(&browser).await;

    assert_eq!(browser.text("#rows-title bdi").await, "posts.csv");
    let number = |row: usize| row.to_string();
    for (button, first, last) in
        [("", 1, 50), ("#next", 51, 100), ("#next", 101, 120), ("#previous", 51, 100)]
    {
        if !button.is_empty() {
            browser.click(button).await;
        }
        browser.until(&says("#place", &format!("Rows {first} to {last} of 120"))).await;
        assert!(browser.texts("#page .number").await.into_iter().eq((first..=last).map(number)));
        assert_eq!(browser.texts("#page .title").await[0], format!("title {first}"));
        assert_eq!(browser.texts("#page .body").await[0], format!("body, {first}"));
        assert!(browser.texts("#page .status").await.iter().all(|status| status == "201"));
        let reply: Value = serde_json::from_str(&browser.texts("#page .reply").await[0]).unwrap();
        assert_eq!(reply["id"], 101);
        let ends = json!([first > 1, last < 120]);
        let buttons = "['#previous', '#next'].map(id => document.querySelector(id).checkVisibility())";
        assert_eq!(browser.value(buttons).await, ends);
    }
    assert_eq!(browser.value("location.search").await, format!("?id={id}"));
    browser.close().await;
}

#[tokio::test]
async fn the_rows_are_taken_home_in_three_forms() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "50")]).await;
    let browser = page_with(&stack, "posts.csv", &table(3)).await;
    browser.until(&is("done")).await;
    let id = browser.text("#list .id code").await;
    open_rows(&browser).await;

    for form in ["json", "ndjson", "csv"] {
        browser.click(&format!("#downloads [data-format={form}]")).await;

        let saved = browser.download(&format!("posts-rows.{form}")).await;
        let answer = stack.get(&format!("/api/v1/tables/{id}/rows?format={form}")).await;
        assert_eq!(saved, answer.text());
    }
    browser.close().await;
}

#[apply(embedded)]
async fn what_is_wrong_with_a_table_is_told_at_its_rows(setup: Setup) {
    let stack = setup.start(&[]).await;
    let wrong = "userId,title,body\nx,a,b\n2,a,b\n3,a\n";
    let told = stack.hand_in(wrong).await.problem(422, "invalid-table");
    let errors = told["errors"].as_array().unwrap();
    let browser = Browser::open(&stack, PAGE).await;

    browser.choose("#files", &[("wrong.csv", wrong.as_bytes())]).await;

    browser.until(&is("failed")).await;
    assert_eq!(browser.text("#list p.error").await, told["title"].as_str().unwrap());
    // Folded, until somebody wants to see them.
    assert_eq!(browser.text("#list .errors summary").await, "2 errors");
    assert_eq!(browser.value(&seen("#list .errors td")).await, false);
    browser.click("#list .errors summary").await;
    browser.until(&seen("#list .errors td")).await;
    let cells = |error: &Value| {
        ["line", "row", "column", "reason"]
            .map(|field| error[field].as_str().map_or_else(|| error[field].to_string(), str::to_owned))
    };
    let cells: Vec<String> = errors.iter().flat_map(cells).collect();
    assert_eq!(browser.texts("#list .errors td").await, cells);
    assert_eq!(cells[..4], ["2", "1", "userId", "expected a 64-bit integer, got \"x\""]);
    assert_eq!(browser.text("#list .state").await, "Rejected");

    let many: String = (0..150).map(|_| "x,a,b\n").collect();
    browser.choose("#files", &[("many.csv", format!("userId,title,body\n{many}").as_bytes())]).await;
    let words = "150 errors, of which these are the first 100";
    browser.until(&says("#list .errors summary", words)).await;
    browser.choose("#files", &[("headless.csv", b"1,a,b\n")]).await;
    browser.until(&says("#list .errors td + td", "Header")).await;
    browser.choose("#files", &[("binary.csv", &[0, 159, 146, 150])]).await;
    browser.until(&says("#list p.error", "The file is not valid UTF-8.")).await;
    assert_eq!(stack.tasks("").await.len(), 0);
    browser.close().await;
}

#[tokio::test]
async fn a_table_tells_how_long_it_takes_and_is_cancelled() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "5")]).await;
    let browser = page_with(&stack, "posts.csv", &table(1000)).await;
    let left = r"/^[0-9]+ of 1,000 sent · about [0-9]+ (s|min) left$/";
    browser.until(&format!("{left}.test(document.querySelector('#list .count span').textContent)")).await;
    let way = "document.querySelector('#list progress').value";
    assert!(browser.value(way).await.as_f64().is_some_and(|way| way > 0.0 && way < 0.5));
    open_rows(&browser).await;
    browser.until("document.querySelectorAll('#page [data-failed=false]').length > 5").await;
    assert_eq!(browser.texts("#page .status").await[49], "not sent");

    browser.click("#list .cancel").await;

    browser.until(&says("#list .state", "Cancelled")).await;
    let id = browser.text("#list .id code").await;
    assert_eq!(stack.task(&id).await["status"], "cancelled");
    browser.close().await;
}

#[tokio::test]
async fn rows_that_failed_are_found_among_the_others_and_sent_again() {
    let third_party = Scripted::start(|call| match call.body["title"] == "title 2" && call.before == 0 {
        true => answer("422 Unprocessable", "{}"),
        false => done(),
    });
    let third_party = third_party.await;
    let stack = Running::of(Stack::embedded(&[("THIRD_PARTY_URL", &third_party.url), ("RATE", "50")])).await;
    let browser = page_with(&stack, "posts.csv", &table(3)).await;
    browser.until(&is("partly")).await;
    assert_eq!(browser.text("#list .state").await, "Done, but some rows failed");
    assert_eq!(browser.text("#list .count span").await, "3 sent · 1 failed");
    browser.assert_accessible("with rows that failed").await;

    // In amber: neither done nor failed.
    let colours =
        "['#list .state', '#list .count dd'].map(one => getComputedStyle(document.querySelector(one)).color)";
    assert_eq!(browser.value(colours).await, json!(vec!["rgb(138, 82, 0)"; 2]));

    open_rows(&browser).await;
    browser.click("#only-failed").await;
    browser.until(&says("#place", "Rows 1 to 1 of those that failed")).await;
    assert_eq!(browser.texts("#page .status").await, ["422"]);
    browser.click("#list .again").await;

    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    browser.until(&is("done")).await;
    assert_eq!(browser.text("#list .count span").await, "1 sent");
    open_rows(&browser).await;
    browser.until(&says("#place", "Rows 1 to 1 of 1")).await;
    assert_eq!(browser.texts("#page .number").await, ["2"]);
    browser.click("#only-failed").await;
    browser.until(&says("#empty", "No row has failed.")).await;
    // Asked once more, it is the same task.
    browser.value("document.querySelectorAll('#list .again')[1].click()").await;
    browser.until("document.activeElement === document.querySelector('#list li h3')").await;
    assert_eq!(browser.texts("#list h3").await, ["posts.csv"; 2]);
    browser.close().await;
    assert_eq!(third_party.calls().len(), 4);
}

#[tokio::test]
async fn a_table_that_waits_for_the_third_party_says_so() {
    let stack = Running::of(Stack::embedded(&[("THIRD_PARTY_URL", "http://127.0.0.1:9")])).await;
    let browser = page_with(&stack, "posts.csv", &table(3)).await;

    let words = r"/^The third party accepts no rows: it can't be reached\. Next try at .+\.$/";
    browser.until(&format!("{words}.test(document.querySelector('#list .note').textContent)")).await;

    browser.until(&says("#list .state", "Waiting")).await;
    assert_eq!(browser.value("document.querySelector('#list p.error').textContent").await, "");
    browser.click("#list .cancel").await;
    browser.until(&is("cancelled")).await;
    browser.close().await;
}

#[tokio::test]
async fn a_table_is_found_by_its_address_and_stays_off_the_list() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "50")]).await;
    let answer = stack.hand_in(table(2)).await.json();
    let id = answer["id"].as_str().unwrap();
    let browser = Browser::open(&stack, "/api/v1/file").await;
    assert_eq!(browser.value("location.pathname").await, PAGE);
    browser.until("!document.querySelector('#tickets').checkVisibility()").await;

    browser.go(&format!("{PAGE}?id={id}")).await;
    browser.until(&says("#place", "Rows 1 to 2 of 2")).await;
    browser.until("document.querySelector('#found li').dataset.state === 'done'").await;
    assert_eq!(browser.texts("#found .id code").await, [id]);
    assert_eq!(browser.texts("#found h3").await, ["posts.csv"]);
    // It may be another's.
    assert_eq!(browser.texts("#list h3").await, [""; 0]);
    browser.click("#close-found").await;
    browser.until("!document.querySelector('#rows').checkVisibility()").await;
    browser.reload().await;
    browser.until("!document.querySelector('#found').checkVisibility()").await;

    // One's own stays on the list, until it is cleared; and that can be undone.
    browser.choose("#files", &[("mine.csv", table(1).as_bytes())]).await;
    browser.until(&is("done")).await;
    browser.click("#list .id a").await;
    browser.until(&says("#rows-title bdi", "mine.csv")).await;
    assert_eq!(browser.texts("#list h3").await, ["mine.csv"]);
    browser.click("#clear").await;
    browser.until("!document.querySelector('#tickets').checkVisibility()").await;
    browser.click(".undo button").await;
    browser.until(&is("done")).await;
    browser.reload().await;
    browser.until(&is("done")).await;
    browser.click("#clear").await;
    browser.reload().await;
    browser.until("!document.querySelector('#tickets').checkVisibility()").await;

    let unknown = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
    for (id, words) in
        [(unknown, "This task does not exist."), ("..%2Fmd5", "An id is a UUID of 36 characters.")]
    {
        browser.go(&format!("{PAGE}?id={id}")).await;
        browser.until(&says("#trouble", words)).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn markup_in_a_table_is_text() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "50")]).await;
    let markup = "<img src=x onerror=alert(1)>";
    let file = format!("userId,title,body\n1,{markup},<script>alert(2)</script>\n");
    let browser = page_with(&stack, "<i>.csv", &file).await;
    browser.until(&is("done")).await;

    open_rows(&browser).await;

    assert_eq!(browser.texts("#page .title").await, [markup]);
    assert_eq!(browser.text("#rows-title bdi").await, "<i>.csv");
    assert_eq!(browser.value("document.querySelectorAll('main :is(img, script, i)').length").await, 0);
    browser.close().await;
}

#[tokio::test]
async fn the_page_for_tables_outlives_a_restart_of_the_server() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "20")]).await;
    let browser = page_with(&stack, "posts.csv", &table(60)).await;

    stack.kill();
    browser.until(&seen("#away")).await;
    browser.choose("#files", &[("others.csv", table(2).as_bytes())]).await;
    stack.start().await;

    browser.until("document.querySelectorAll('#list > [data-state=done]').length === 2").await;
    browser.until("!document.querySelector('#away').checkVisibility()").await;
    assert_eq!(browser.texts("#list .count span").await, ["2 sent", "60 sent"]);
    browser.close().await;
}

#[tokio::test]
async fn everyone_can_use_the_page_for_tables() {
    let (stack, third_party) = Setup::Embedded.beside_third_party(&[("RATE", "20")]).await;
    let browser = Browser::open(&stack, PAGE).await;
    browser.assert_accessible("empty").await;

    let long = format!("{}3,{},{}\n", table(2), "long ".repeat(500), "x".repeat(500));
    browser.choose("#files", &[("posts.csv", long.as_bytes())]).await;
    browser.until(&is("done")).await;
    open_rows(&browser).await;
    browser.choose("#files", &[("wrong.csv", format!("{}x,\n", table(1)).as_bytes())]).await;
    browser.until(&is("failed")).await;
    browser.assert_accessible("with rows and errors").await;

    third_party.control("third-party", &json!({"latency": 30})).await;
    browser.choose("#files", &[("waits.csv", table(100).as_bytes())]).await;
    browser.until(&is("active")).await;
    browser.click("#list .open").await;
    browser.until(&says("#page .status", "not sent")).await;
    browser.assert_accessible("with rows that are being sent").await;
    browser.click("#list .cancel").await;
    browser.until(&is("cancelled")).await;
    browser.close().await;
}

#[tokio::test]
async fn the_keyboard_is_enough_for_tables() {
    let (stack, _third_party) = Setup::Embedded.beside_third_party(&[("RATE", "100")]).await;
    let browser = page_with(&stack, "posts.csv", &table(60)).await;
    browser.until(&is("done")).await;
    open_rows(&browser).await;
    browser.reload().await;
    browser.until(&seen("#page")).await;
    browser.assert_usable_by_keyboard().await;
    browser.close().await;
}
