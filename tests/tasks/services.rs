//! Outside services that are away, slow to say so, or answer in other ways than ours do: nothing is lost by it, and whoever waits is
//! told for what.

use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;

use crate::kit::program::stderr_of;
use crate::kit::scripted::{Call, Scripted, answer, done};
use crate::kit::stack::{Running, Setup, Stack, both_stacks};
use crate::tasks::tables::table;

impl Setup {
    /// A stack whose services all are this one.
    async fn beside(
        self,
        service: impl Fn(&Call) -> Vec<u8> + Send + Sync + 'static,
    ) -> (Running, Arc<Scripted>) {
        let service = Arc::new(Scripted::start(service).await);
        (self.start(&settings(&service)).await, service)
    }
}

fn settings(service: &Scripted) -> Vec<(&str, &str)> {
    let urls = ["FREE_URL", "PAID_URL", "THIRD_PARTY_URL"].map(|name| (name, &*service.url));
    [&urls[..], &[("RATE", "50"), ("LEASE_SECONDS", "2")]].concat()
}

impl Stack {
    /// Waits until a task says that it waits; what it says.
    pub async fn until_it_waits(&self, id: &str) -> Value {
        eventually("a task that says for what it waits", async || {
            let task = self.task(id).await;
            let waits = task["status"] == "pending" && task["next_attempt"].is_string();
            if waits { Ok(task) } else { Err(task) }
        })
        .await
    }

    /// How often the stack's programs have said such a line.
    fn said(&self, words: &str) -> usize {
        let told = |process| std::fs::read_to_string(stderr_of(&self.process_folder(process))).unwrap();
        (0..self.processes()).map(|process| told(process).matches(words).count()).sum()
    }
}

/// In how many seconds a task that waits is tried again.
fn seconds_left(task: &Value) -> i64 {
    let next: DateTime<Utc> = task["next_attempt"].as_str().unwrap().parse().unwrap();
    (next - Utc::now()).num_seconds()
}

/// `Retry-After` in its forms, each of which asks for an hour or more.
fn pauses() -> [String; 4] {
    let date = Utc::now() + TimeDelta::days(20_000);
    [
        "1800000000".to_owned(),
        "9".repeat(40),
        "7200.5".to_owned(),
        date.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    ]
}

#[apply(both_stacks)]
async fn a_pause_that_is_asked_for_is_an_hour_at_most_and_may_be_a_date(setup: Setup) {
    let (stack, service) = setup
        .beside(|call: &Call| {
            let text = call.body["text"].as_str().or(call.body["title"].as_str()).unwrap();
            let (status, pause) = text.split_once(' ').unwrap();
            answer(&format!("{status} Not Now\r\nRetry-After: {pause}"), "")
        })
        .await;
    let token = stack.sender("ada", true).await;
    let mut tickets = Vec::new();
    for status in [429, 503] {
        for pause in pauses() {
            let text = format!("{status} {pause}");
            let message = stack.send(&token, &json!({"text": text, "provider": "paid"})).await;
            let table = stack.hand_in(format!("userId,title,body\n1,\"{text}\",b\n")).await;
            tickets.extend(
                [message, table].map(|told| (told.json()["id"].as_str().unwrap().to_owned(), text.clone())),
            );
        }
    }
    for (id, text) in &tickets {
        let task = stack.until_it_waits(id).await;

        let left = seconds_left(&task);
        assert!((3000..=3600).contains(&left), "{text}: {left} s, {task}");
        let code = task["error"]["code"].as_str().unwrap();
        assert!(code.ends_with("-unavailable"), "{task}");
    }
    assert_eq!(service.calls().len(), tickets.len(), "none is asked twice");
}

/// Statuses after which a repeated request is sent once more, in the order of the rows.
const MAY_PASS: [u16; 14] = [409, 423, 425, 408, 429, 500, 502, 503, 504, 520, 524, 527, 529, 530];

#[apply(both_stacks)]
async fn a_repeat_that_meets_its_first_request_is_no_failure(setup: Setup) {
    let (stack, service) = setup
        .beside(|call: &Call| match (call.before, call.key.split_once(':')) {
            // The work is done, but its answer is lost.
            (0, _) => Vec::new(),
            (1, Some(_)) => answer(&format!("{} x\r\nRetry-After: 0", MAY_PASS[call.row() as usize - 1]), ""),
            (1, None) => answer("409 Conflict\r\nRetry-After: 0", ""),
            _ => done(),
        })
        .await;
    let token = stack.sender("ada", true).await;
    let message = stack.send(&token, &json!({"text": "a", "provider": "paid"})).await.json();
    let rows = stack.hand_in(table(MAY_PASS.len())).await.json();

    let message = stack.until(message["id"].as_str().unwrap(), "succeeded").await;
    let rows = stack.until(rows["id"].as_str().unwrap(), "succeeded").await;

    assert_eq!(message["result"], json!({"provider": "paid", "reply": {"id": 101}}));
    assert_eq!(rows["result"], json!({"rows": MAY_PASS.len(), "failed": 0}));
    assert!(service.keys().values().all(|times| *times >= 3), "{:?}", service.keys());
}

#[tokio::test]
async fn a_conflict_that_is_met_at_once_is_a_rows_own() {
    let service = Scripted::start(|call| match call.row() {
        1 => answer("409 Conflict", "taken"),
        2 => answer("423 Locked", ""),
        _ => done(),
    });
    let service = service.await;
    let stack = Running::of(Stack::embedded(&settings(&service))).await;
    let id = stack.hand_in(table(3)).await.json()["id"].as_str().unwrap().to_owned();

    let task = stack.until(&id, "succeeded").await;

    assert_eq!(task["result"], json!({"rows": 3, "failed": 2}));
    assert_eq!(service.calls().len(), 3);
}

#[apply(both_stacks)]
async fn an_outage_charges_no_row_and_is_told_while_it_lasts(setup: Setup) {
    let (stack, service) = setup
        .beside(|call: &Call| if call.is_away { answer("503 Service Unavailable", "") } else { done() })
        .await;
    let id = stack.hand_in(table(30)).await.json()["id"].as_str().unwrap().to_owned();
    let vain = eventually("attempts in vain", async || {
        let task = stack.until_it_waits(&id).await;
        if task["attempt"].as_i64().unwrap() >= 4 { Ok(task) } else { Err(task) }
    })
    .await;
    assert_eq!(vain["error"]["code"], "third-party-unavailable");
    assert!(vain["error"]["detail"].as_str().unwrap().contains("not available"), "{vain}");
    let told = stack.get(&format!("/api/v1/tables/{id}")).await.json();
    assert_eq!(told["progress"], json!({"rows": 30, "sent": 0, "failed": 0}));
    let in_vain = service.calls().len();
    assert!(in_vain < 60, "an outage is found out with a few rows: {in_vain} calls");

    service.is_back();

    let task = stack.until(&id, "succeeded").await;

    assert_eq!(task["result"], json!({"rows": 30, "failed": 0}));
    assert_eq!((&task["error"], &task["next_attempt"]), (&json!(null), &json!(null)));
    assert_eq!((stack.said("third-party is away"), stack.said("third-party is back")), (1, 1));
}

#[apply(both_stacks)]
async fn a_row_that_fails_for_good_holds_no_other_up(setup: Setup) {
    let (stack, service) = setup
        .beside(|call: &Call| match call.row() {
            2 => answer("422 Unprocessable\r\nContent-Type: text/plain; charset=iso-8859-1", b"na\xefve"),
            4 => answer("400 Bad Request", "{\"why\": \"so\"}"),
            _ => done(),
        })
        .await;
    let id = stack.hand_in(table(5)).await.json()["id"].as_str().unwrap().to_owned();

    assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"rows": 5, "failed": 2}));

    let failed = stack.get(&format!("/api/v1/tables/{id}/rows?status=failed")).await.json();
    let told = |row: usize| (failed[row]["status"].as_u64(), failed[row]["reply"].clone());
    assert_eq!((told(0), told(1)), ((Some(422), json!("naïve")), (Some(400), json!({"why": "so"}))));
    let lines = stack.log_lines(&id).await;
    assert!(lines[0].ends_with(" table succeeded rows=5 failed=2"), "{lines:?}");
    assert_eq!(service.calls().len(), 5);
}

const LARGE: &str = "123456789012345678901234567890";

#[apply(both_stacks)]
async fn a_reply_is_kept_as_it_was_sent_also_packed_and_with_large_numbers(setup: Setup) {
    let (stack, service) = setup
        .beside(|_: &Call| {
            let reply =
                format!("{{\"large\":{LARGE},\"small\":-9223372036854775809,\"exact\":0.1000,\"é\":1}}");
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(reply.as_bytes()).unwrap();
            answer("200 OK\r\nContent-Encoding: gzip", packed.finish().unwrap())
        })
        .await;
    let token = stack.sender("ada", true).await;
    let message = stack.send(&token, &json!({"text": "a", "provider": "paid"})).await.json();
    let rows = stack.hand_in(table(1)).await.json();
    let ids = [message, rows].map(|task| task["id"].as_str().unwrap().to_owned());
    for id in &ids {
        stack.until(id, "succeeded").await;
    }

    let [message, rows] = [format!("/api/v1/tasks/{}", ids[0]), format!("/api/v1/tables/{}/rows", ids[1])];
    for path in [message, format!("{rows}?format=ndjson"), rows.clone()] {
        let told = stack.get(&path).await;
        for number in [LARGE, "-9223372036854775809", "0.1000", "\"é\":1"] {
            assert!(told.text().contains(number), "{path}: {}", told.text());
        }
    }
    let csv = stack.get(&format!("{rows}?format=csv")).await;
    assert!(csv.text().contains(LARGE), "{}", csv.text());
    assert_eq!(service.calls().len(), 2);
}

/// A third party that rejects each third row, until a row is sent for the second time.
fn rejects_each_third(call: &Call) -> Vec<u8> {
    if call.row() % 3 == 0 && call.before < 2 { answer("422 Unprocessable", "\"no\"") } else { done() }
}

impl Stack {
    async fn retry(&self, id: &str) -> crate::kit::client::Answer {
        self.ask(Method::POST, &format!("/api/v1/tables/{id}/retry")).await
    }
}

#[apply(both_stacks)]
async fn rows_that_failed_are_sent_again_under_their_keys(setup: Setup) {
    let (stack, service) = setup.beside(rejects_each_third).await;
    let first = stack.hand_in(table(10)).await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(stack.until(&first, "succeeded").await["result"], json!({"rows": 10, "failed": 3}));

    let again = stack.retry(&first).await;

    assert_eq!(again.status, 202, "{}", again.text());
    let task = again.json();
    let second = task["id"].as_str().unwrap().to_owned();
    assert_eq!(again.header("location"), format!("/api/v1/tables/{second}"));
    assert_eq!((&task["kind"], &task["retried_from"]), (&json!("table"), &json!(first)));
    assert_eq!((&task["input"]["rows"], &task["input"]["filename"]), (&json!(3), &json!("posts.csv")));
    assert_eq!(stack.until(&second, "succeeded").await["result"], json!({"rows": 3, "failed": 3}));
    // One that sent others again can itself be sent again.
    let third = stack.retry(&second).await.json();
    assert_eq!(third["retried_from"], json!(second));
    let third = third["id"].as_str().unwrap();
    let task = stack.until(third, "succeeded").await;
    assert_eq!(task["result"], json!({"rows": 3, "failed": 0}));
    assert_eq!(
        stack.get(&format!("/api/v1/tables/{third}")).await.json()["progress"],
        json!({"rows": 3, "sent": 3, "failed": 0})
    );
    let rows = stack.get(&format!("/api/v1/tables/{third}/rows")).await.json();
    for (row, number) in rows.as_array().unwrap().iter().zip([3, 6, 9]) {
        assert_eq!((&row["row"], &row["status"]), (&json!(number), &json!(201)));
        assert_eq!(row["input"]["title"], format!("title {number}"));
    }
    assert_eq!(rows.as_array().unwrap().len(), 3);
    let failed = stack.get(&format!("/api/v1/tables/{second}/rows?status=failed")).await.json();
    assert_eq!(failed.as_array().unwrap().len(), 3);
    let keys = service.keys();
    assert!(keys.keys().all(|key| key.starts_with(&first)), "{keys:?}");
    assert!(
        (1..=10).all(|row| keys[&format!("{first}:{row}")] == if row % 3 == 0 { 3 } else { 1 }),
        "{keys:?}"
    );
    // An ended task is unchanged.
    assert_eq!(stack.task(&first).await["result"], json!({"rows": 10, "failed": 3}));
    assert_eq!(stack.task(&first).await["retried_from"], json!(null));
    stack.retry(third).await.problem(409, "nothing-failed");
    stack.retry("x").await.problem(400, "invalid-id");
    stack.retry("0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d").await.problem(404, "task-not-found");
    let file = stack.put("abc").await;
    stack.retry(&file).await.problem(404, "task-not-found");
}

#[tokio::test]
async fn a_table_that_has_not_ended_is_not_sent_again_and_two_requests_are_one() {
    let service = Scripted::start(|call| match call.row() {
        1 => answer("422 Unprocessable", ""),
        2 if call.before == 0 => answer("503 Service Unavailable\r\nRetry-After: 5", ""),
        _ => done(),
    });
    let service = service.await;
    let stack = Running::of(Stack::embedded(&settings(&service))).await;
    let id = stack.hand_in(table(2)).await.json()["id"].as_str().unwrap().to_owned();
    let waiting = stack.until_it_waits(&id).await;
    assert!(seconds_left(&waiting) <= 5, "{waiting}");
    assert_eq!(stack.get(&format!("/api/v1/tables/{id}/rows")).await.json()[1]["status"], json!(null));
    stack.retry(&id).await.problem(409, "task-not-ended");
    assert_eq!(stack.until(&id, "succeeded").await["result"], json!({"rows": 2, "failed": 1}));

    let path = format!("/api/v1/tables/{id}/retry");
    let ask = async || {
        let request = stack.request(Method::POST, &path).header("Idempotency-Key", "k");
        crate::kit::client::ask(request).await.unwrap()
    };
    let (one, two) = (ask().await, ask().await);

    assert_eq!(one.json()["id"], two.json()["id"]);
    assert_eq!(two.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_message_whose_provider_is_not_there_says_so() {
    let stack = Running::of(Stack::embedded(&[("FREE_URL", "http://127.0.0.1:9")])).await;
    let token = stack.sender("ada", false).await;
    let ids = [stack.message(&token, "a").await, stack.message(&token, "b").await];

    for id in &ids {
        let task = stack.until_it_waits(id).await;
        assert_eq!(task["error"]["code"], "provider-unavailable");
        assert!(seconds_left(&task) <= 300, "{task}");
    }
    assert_eq!(stack.said("free is away"), 1, "it is said once");
}
