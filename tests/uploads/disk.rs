//! Every intake first checks how much of the disk is free.

use futures::stream;
use reqwest::{Body, Method};
use rstest_reuse::apply;
use serde_json::json;

use crate::chaos::rig::Disk;
use crate::kit::client::ask;
use crate::kit::people::{PASSWORD, as_bearer};
use crate::kit::stack::{Running, Setup, Stack, both_stacks};

const LINE: &str = "127.0.0.1 GET /a 200";

#[apply(both_stacks)]
async fn every_intake_stops_before_the_disk_is_full(setup: Setup) {
    let stack = setup.start(&[("MIN_FREE_DISK", "1000TiB")]).await;
    // By command, beside the server: an operator may.
    let token = stack.admin("ada").await;
    let upload = |method, path: &str| stack.request(method, path);
    let file = reqwest::multipart::Form::new().text("file", "userId,title,body\n1,a,b\n");
    let intakes = [
        ("an upload as a body", upload(Method::PUT, "/api/v1/md5/a").body("abc")),
        ("an upload as a form", stack.post_request("a", "abc")),
        ("a table", upload(Method::POST, "/api/v1/tables").multipart(file)),
        (
            "a message",
            as_bearer(
                upload(Method::POST, "/api/v1/messages").body(json!({"text": "a"}).to_string()),
                &token,
            ),
        ),
        ("a record", upload(Method::POST, "/api/data").body(json!({"log": LINE}).to_string())),
        (
            "many records",
            upload(Method::POST, "/api/data/bulk").header("content-type", "text/plain").body(LINE),
        ),
        (
            "a user",
            upload(Method::POST, "/api/v1/users")
                .body(json!({"username": "bob", "password": PASSWORD}).to_string()),
        ),
        (
            "a key",
            as_bearer(upload(Method::POST, "/api/v1/keys").body(json!({"name": "a"}).to_string()), &token),
        ),
    ];
    for (what, request) in intakes {
        let answer = ask(request).await.unwrap();

        assert_eq!(answer.status, 507, "{what}: {}", answer.text());
        answer.problem(507, "insufficient-storage");
    }
    for table in ["tasks", "records", "api_keys"] {
        assert_eq!(stack.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    assert_eq!(stack.sql("SELECT count(*) FROM users"), "1");
    // Requests that take no room go on.
    assert_eq!(stack.get("/api/v1/tasks").await.status, 200);
    assert_eq!(stack.get("/api/data").await.status, 200);
}

#[tokio::test]
async fn records_that_stream_in_stop_before_the_disk_is_full() {
    let stack = Stack::embedded(&[("MIN_FREE_DISK", "96MiB")]);
    let Some(disk) = Disk::mount(stack.data(""), 192 << 20) else { return };
    let stack = Running::of(stack).await;
    let _disk = disk;
    let line = format!("127.0.0.1 GET /{} 200\n", "a".repeat(8000));
    let chunk = line.repeat(64);
    // Far more than there is room for.
    let lines = stream::iter((0..2000).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let request = stack.request(Method::POST, "/api/data/bulk").header("content-type", "text/plain");

    let answer = ask(request.body(Body::wrap_stream(lines))).await.unwrap();

    let problem = answer.problem(507, "insufficient-storage");
    let detail = problem["detail"].as_str().unwrap();
    let count = detail.strip_prefix("The first ").and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(stack.sql("SELECT count(*) FROM records"), count, "{detail}");
    let free = stack.get("/readyz").await.json();
    assert_eq!((&free["status"], &free["disk"]), (&json!("ready"), &json!("low")));
}
