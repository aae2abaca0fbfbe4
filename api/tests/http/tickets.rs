//! Tickets: handed out, redeemed, listed, cancelled.

use serde_json::{Value, json};
use task_data::task::TaskId;

use crate::desk::{Desk, is_problem, json};

async fn ticket(desk: &Desk, content: &str) -> String {
    let task = json(desk.put("a.txt", content.to_owned()).send().await.unwrap()).await;
    task["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_redeemable_at_once_at_both_addresses() {
    let desk = Desk::open();

    let response = desk.put("b%C3%A9/%20.txt".replace('/', "%2F").as_str(), "abc").send().await.unwrap();

    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let task = json(response).await;
    let id = task["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/md5/{id}"));
    let created = &task["created"];
    assert!(created.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        task,
        json!({
            "id": id, "kind": "md5", "status": "pending", "created": created, "started": null, "finished": null,
            "attempt": 0, "input": {"filename": " .txt", "size": 3, "content_type": null}, "result": null, "error": null,
            "next_attempt": null, "retried_from": null,
        })
    );
    for path in [
        location.clone(),
        format!("/api/v1/tasks/{id}"),
        location.to_uppercase().replace("/API/V1/MD5", "/api/v1/md5"),
    ] {
        assert_eq!(json(desk.get(&path).send().await.unwrap()).await, task, "{path}");
    }
    assert_eq!(desk.client.head(desk.url(&location)).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_body_may_be_empty_or_large_and_its_name_missing() {
    let desk = Desk::open();

    let empty = json(desk.put("", "").header("Content-Type", "text/x").send().await.unwrap()).await;
    let large = json(desk.put("large", vec![7; 5_000_000]).send().await.unwrap()).await;

    assert_eq!(empty["input"], json!({"filename": null, "size": 0, "content_type": "text/x"}));
    assert_eq!(large["input"]["size"], 5_000_000);
    assert_eq!(desk.blobs(), 1);
    let long = desk.put(&"x".repeat(256), "abc").send().await.unwrap();
    is_problem(long, 400, "invalid-multipart", "a name of 256 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_told_from_one_that_is_unknown() {
    let desk = Desk::open();
    let id = TaskId::random();

    for base in ["/api/v1/md5", "/api/v1/tasks"] {
        for unknown in [id.to_string(), "00000000-0000-0000-0000-000000000000".to_owned()] {
            let response = desk.get(&format!("{base}/{unknown}")).send().await.unwrap();
            is_problem(response, 404, "task-not-found", &unknown).await;
        }
        for garbage in [
            "abc",
            &"z".repeat(36),
            &format!("%7B{id}%7D"),
            &format!("{id}%20"),
            "'%20OR%201=1--",
            "%00",
            "%2e%2e%2f",
            "%FF",
        ] {
            let response = desk.get(&format!("{base}/{garbage}")).send().await.unwrap();
            is_problem(response, 400, "invalid-id", garbage).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_task_does_or_patience() {
    let desk = Desk::open();
    let id = ticket(&desk, "abc").await;
    let path = format!("/api/v1/md5/{id}");

    let waited = desk.get(&path).query(&[("wait", "0.05")]).send().await.unwrap();
    assert_eq!(json(waited).await["status"], "pending");
    for wait in ["-1", "61", "abc", ""] {
        let response = desk.get(&path).query(&[("wait", wait)]).send().await.unwrap();
        is_problem(response, 400, "invalid-parameter", wait).await;
    }

    let waiting = tokio::spawn(desk.get(&path).header("Prefer", "wait=60").send());
    let cancelled = desk.client.delete(desk.url(&format!("/api/v1/tasks/{id}"))).send().await.unwrap();

    assert_eq!(cancelled.status(), 200);
    let task = json(waiting.await.unwrap().unwrap()).await;
    assert_eq!(task["status"], "cancelled");
    assert_eq!(task["error"]["code"], "cancelled");
    assert_eq!(task, json(cancelled).await);
    let again = desk.client.delete(desk.url(&format!("/api/v1/tasks/{id}"))).send().await.unwrap();
    is_problem(again, 409, "task-ended", "cancelled twice").await;
    let unknown =
        desk.client.delete(desk.url(&format!("/api/v1/tasks/{}", TaskId::random()))).send().await.unwrap();
    is_problem(unknown, 404, "task-not-found", "an unknown task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_newest_first() {
    let desk = Desk::open();
    let mut ids = Vec::new();
    for content in ["a", "b", "c", "d", "e"] {
        ids.push(ticket(&desk, content).await);
    }
    ids.sort();
    ids.reverse();

    let (mut seen, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let mut query = vec![("limit", "2".to_owned())];
        query.extend(after.take().map(|after| ("after", after)));
        let page = json(desk.get("/api/v1/tasks").query(&query).send().await.unwrap()).await;
        seen.extend(
            page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }

    assert_eq!((seen, pages), (ids, 3));
    let of = async |query: &str| -> Value {
        json(desk.get(&format!("/api/v1/tasks?{query}")).send().await.unwrap()).await
    };
    assert_eq!(of("status=pending&kind=md5&limit=5").await["next"], Value::Null);
    assert_eq!(of("status=failed").await, json!({"tasks": [], "next": null}));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=1e9",
        "limit=1001",
        "limit=abc",
        "after=forged",
        "kind=x",
        "status=x",
        "limit=1&limit=2",
    ] {
        let response = desk.get(&format!("/api/v1/tasks?{query}")).send().await.unwrap();
        is_problem(response, 400, "invalid-parameter", query).await;
    }
}
