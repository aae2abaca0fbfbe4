//! Malformed requests: each gets the answer in the table, and leaves nothing.

use test_kit::{Cases, Outcome, eventually};

use crate::desk::{Desk, json};

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_request_gets_what_the_table_says() {
    let desk = Desk::with(&["--max-upload", "3MB", "--allowed-hosts", "a,coatcheck"]);
    let task = json(desk.put("a", "abc").send().await.unwrap()).await["id"].as_str().unwrap().to_owned();
    let ended = desk.client.delete(desk.url(&format!("/api/v1/tasks/{task}"))).send().await.unwrap();
    assert_eq!(ended.status(), 200);
    let record = desk.client.post(desk.url("/api/data")).body(r#"{"log": "127.0.0.1 GET / 200"}"#);
    let record = record.header("content-type", "application/json").send().await.unwrap();
    let record = json(record).await["id"].as_str().unwrap().to_owned();
    let log_out = desk.client.delete(desk.url("/api/v1/session")).send().await.unwrap();
    let (cookie, _) = log_out.headers()["set-cookie"].to_str().unwrap().split_once('=').unwrap();
    let cases = Cases::of([("task", &task), ("record", &record), ("cookie", cookie)]);
    let (mut rows, mut blobs, mut failures) = (rows_of(&desk).await, desk.blobs(), Vec::new());

    for case in &cases.cases {
        let answer = desk.raw(&cases.bytes(case)).await;

        let (status, head, body) = answer.first();
        let before = std::mem::replace(&mut rows, rows_of(&desk).await);
        let code = if status >= 400 { answer.code() } else { None };
        let outcome = Outcome { status, head, body: body.as_bytes(), code, rows: rows - before };
        if let Err(failure) = case.judge(&outcome) {
            failures.push(format!("{}: {failure}", case.name));
        }
        if rows > before {
            blobs = desk.blobs();
        }
        // Uploads that are given up are removed a moment later, on another thread.
        eventually(&case.name, async || desk.blobs() <= blobs).await;
    }

    assert!(failures.is_empty(), "{} of them:\n{}", failures.len(), failures.join("\n"));
}

/// Returns the number of tasks and records.
async fn rows_of(desk: &Desk) -> usize {
    let tasks = json(desk.get("/api/v1/tasks?limit=1000").send().await.unwrap()).await;
    let records = json(desk.get("/api/data").send().await.unwrap()).await;
    tasks["tasks"].as_array().unwrap().len() + records.as_array().unwrap().len()
}
