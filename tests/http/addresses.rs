//! Rules of every address: problems in one form, methods, health, headers.

use std::collections::HashSet;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use rstest_reuse::apply;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::client::{accepted, ask};
use crate::kit::stack::{Setup, both_stacks};

#[apply(both_stacks)]
async fn an_unknown_address_is_told_as_such(setup: Setup) {
    let stack = setup.start(&[]).await;
    for path in [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/md5/a/b",
        "/api/v2/md5",
        "/healthz/",
        "//",
        "/%00",
        "/..%2f",
    ] {
        stack.get(path).await.problem(404, "not-found");
        stack.ask(Method::POST, path).await.problem(404, "not-found");
    }
}

#[apply(both_stacks)]
async fn a_wrong_method_is_told_which_are_right(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    let ticket = format!("/api/v1/md5/{id}");
    let task = format!("/api/v1/tasks/{id}");
    for (method, path, allowed) in [
        (Method::PATCH, "/api/v1/md5", &["GET", "POST", "PUT"][..]),
        (Method::DELETE, "/api/v1/md5", &["POST"]),
        (Method::POST, &ticket, &["GET", "PUT"]),
        (Method::DELETE, &ticket, &["GET", "PUT"]),
        (Method::POST, "/api/v1/tasks", &["GET"]),
        (Method::PUT, &task, &["GET", "DELETE"]),
        (Method::PATCH, &task, &["GET", "DELETE"]),
        (Method::POST, "/healthz", &["GET"]),
        (Method::DELETE, "/readyz", &["GET"]),
        (Method::POST, "/openapi.json", &["GET"]),
        (Method::POST, "/docs/", &["GET"]),
        (Method::POST, "/", &["GET"]),
    ] {
        let answer = stack.ask(method.clone(), path).await;

        answer.problem(405, "method-not-allowed");
        let found: HashSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
        assert!(allowed.iter().all(|method| found.contains(method)), "{method} {path}: {found:?}");
        assert!(!found.contains(method.as_str()), "{method} {path}: {found:?}");
    }
}

#[apply(both_stacks)]
async fn each_refusal_names_its_request_as_the_log_does(setup: Setup) {
    let stack = setup.start(&[]).await;
    let first = stack.get("/nothing").await;
    let second = stack.get("/nothing").await;

    let (first_id, second_id) = (first.json()["request_id"].clone(), second.json()["request_id"].clone());
    assert_ne!(first_id, second_id);
    assert_eq!(first.header("x-request-id"), first_id);
}

#[apply(both_stacks)]
async fn it_tells_that_it_is_alive_and_ready(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (alive, ready) = (stack.get("/healthz").await, stack.get("/readyz").await);

    assert_eq!((alive.status, ready.status), (200, 200));
    alive.json();
    let forever = json!({"succeeded": null, "failed": null, "cancelled": null, "records": null});
    let parts = json!({
        "status": "ready", "database": "ok", "queue": "ok", "blobs": "ok", "disk": "ok", "retention": forever,
    });
    assert_eq!(ready.json(), parts);
}

#[apply(both_stacks)]
async fn a_head_request_is_a_get_without_a_body(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    for path in ["/healthz", "/", "/openapi.json", &format!("/api/v1/md5/{id}")] {
        let answer = stack.ask(Method::HEAD, path).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
}

#[apply(both_stacks)]
async fn every_answer_has_the_headers_that_keep_a_browser_safe(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    for path in ["/", "/app.js", "/docs/", "/healthz", "/nothing", &format!("/api/v1/md5/{id}")] {
        let answer = stack.get(path).await;

        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("server"), "", "{path}");
    }
}

#[apply(both_stacks)]
async fn no_refusal_tells_what_is_inside(setup: Setup) {
    let stack = setup.start(&[]).await;
    for path in [
        "/api/v1/tasks?after='%3B%20DROP",
        "/api/v1/md5/'%20OR%201=1",
        "/api/v1/tasks?limit=%ff",
        "/docs/../../etc/passwd",
        "/docs/%2e%2e/x",
    ] {
        let answer = stack.get(path).await;

        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        let text = answer.text();
        let inner =
            ["panic", "SELECT", "sqlite", "diesel", "/rustc", ".rs", stack.folder().to_str().unwrap()];
        assert!(inner.iter().all(|word| !text.contains(word)), "{path}: {text}");
    }
}

#[apply(both_stacks)]
async fn a_client_of_http_1_0_ends_nobody_elses_connection(setup: Setup) {
    let stack = setup.start(&[]).await;
    let ask = async |requests: &str| {
        let mut connection = TcpStream::connect(stack.address()).await.unwrap();
        connection.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = String::new();
        connection.read_to_string(&mut answers).await.unwrap();
        answers
    };
    let twice = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    // Enough of each that all of the server's threads have met both.
    for _ in 0..100 {
        ask("GET /healthz HTTP/1.0\r\n\r\n").await;
    }
    for _ in 0..100 {
        let answers = ask(twice).await;

        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    }
}

#[apply(both_stacks)]
async fn an_upload_without_a_name_and_with_one_may_end_in_a_slash(setup: Setup) {
    let stack = setup.start(&[]).await;
    for path in ["/api/v1/md5", "/api/v1/md5/"] {
        let id = accepted(&ask(stack.http.put(stack.url(path)).body("abc")).await.unwrap());
        assert_eq!(stack.until(&id, "succeeded").await["input"]["filename"], json!(null), "{path}");

        let form = Form::new().part("file", Part::text("abc").file_name("a"));
        let id = accepted(&ask(stack.http.post(stack.url(path)).multipart(form)).await.unwrap());
        assert_eq!(stack.until(&id, "succeeded").await["input"]["filename"], "a", "{path}");

        let found = stack.get(&format!("{path}?digest=900150983cd24fb0d6963f7d28e17f72")).await.json();
        assert!(found["tasks"].as_array().unwrap().iter().any(|task| task["id"] == id), "{path}");
    }
}

#[apply(both_stacks)]
async fn what_is_streamed_to_http_1_0_has_no_chunks_and_ends_with_its_connection(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    stack.http.post(stack.url("/api/data")).json(&json!({"log": "1.1.1.1 GET / 200"})).send().await.unwrap();
    for (path, end) in [("/api/data".to_owned(), "]\n"), (format!("/api/v1/tasks/{id}/events"), "\n\n")] {
        let mut connection = TcpStream::connect(stack.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();

        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();

        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        assert!(!head.to_lowercase().contains("keep-alive"), "{head}");
        assert!(body.starts_with(['[', 'r']) && body.ends_with(end), "{body:?}");
    }
}

#[apply(both_stacks)]
async fn much_json_is_compressed_for_who_takes_it_so(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    for path in ["/openapi.json", "/api/v1/tasks", "/api/data"] {
        for (accepted, encoding) in [("gzip", "gzip"), ("identity", ""), ("gzip;q=0", ""), ("br", "")] {
            let request = stack.http.get(stack.url(path)).header("accept-encoding", accepted);
            let answer = ask(request).await.unwrap();

            assert_eq!(
                (answer.status, answer.header("content-encoding")),
                (200, encoding),
                "{path} {accepted}"
            );
            let is_gzip = answer.body.starts_with(&[0x1f, 0x8b]);
            assert_eq!(is_gzip, encoding == "gzip", "{path} {accepted}");
        }
    }
}

#[apply(both_stacks)]
async fn a_leap_second_is_the_second_after_it(setup: Setup) {
    let stack = setup.start(&[]).await;
    let stats = stack.get("/api/data/stats?date_from=2016-12-31T23:59:60Z&date_to=2017-01-02").await.json();

    assert_eq!(stats["date_from"], "2017-01-01T00:00:00.000000Z");
}

#[apply(both_stacks)]
async fn a_browser_that_finds_nothing_gets_a_page(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (method, path, status, tells) in [
        (Method::GET, "/nothing", 404, "There is nothing at this address."),
        (Method::GET, "/api/v1/tasks/", 404, "<a href=\"/api/v1/tasks\">"),
        (Method::GET, "/api/v1/task/%22%3E%3Cscript%3E", 404, "%22%3E%3Cscript%3E"),
        (Method::GET, "/api/v1/messages", 405, "<code>GET</code>"),
        (Method::POST, "/", 405, "<h1>405</h1>"),
    ] {
        let answer =
            ask(stack.http.request(method, stack.url(path)).header("accept", browser)).await.unwrap();

        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        // The one script that is the page's own makes its head.
        let head = "<script src=\"/header.js\" type=\"module\"></script>";
        let told = answer.text().replacen(head, "", 1);
        assert!(told.contains(tells) && !told.contains("<script"), "{path}: {told}");
        assert!(answer.header("vary").contains("accept"), "{path}");
    }
    let program = ask(stack.http.get(stack.url("/nothing")).header("accept", "*/*")).await.unwrap();
    program.problem(404, "not-found");
    // A resource that can't be found at an existing address gets a problem, as for programs.
    let unknown = stack.url("/api/v1/tasks/0198c0de-0000-7000-8000-000000000000");
    ask(stack.http.get(unknown).header("accept", browser)).await.unwrap().problem(404, "task-not-found");
}
