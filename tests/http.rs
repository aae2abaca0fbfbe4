//! What holds for every address: refusals in one form, methods, health, headers.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

on_both_stacks!(an_unknown_address_is_told_as_such, |stack| async move {
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
});

on_both_stacks!(a_wrong_method_is_told_which_are_right, |stack| async move {
    let id = stack.put("abc").await;
    let ticket = format!("/api/v1/md5/{id}");
    let task = format!("/api/v1/tasks/{id}");
    for (method, path, allowed) in [
        (Method::PUT, "/api/v1/md5", &["POST"][..]),
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
});

on_both_stacks!(each_refusal_names_its_request_as_the_log_does, |stack| async move {
    let first = stack.get("/nothing").await;
    let second = stack.get("/nothing").await;

    let (first_id, second_id) = (first.json()["request_id"].clone(), second.json()["request_id"].clone());
    assert_ne!(first_id, second_id);
    assert_eq!(first.header("x-request-id"), first_id);
});

on_both_stacks!(it_tells_that_it_is_alive_and_ready, |stack| async move {
    let (alive, ready) = (stack.get("/healthz").await, stack.get("/readyz").await);

    assert_eq!((alive.status, ready.status), (200, 200));
    alive.json();
    let parts = json!({"status": "ready", "database": "ok", "queue": "ok", "blobs": "ok", "disk": "ok"});
    assert_eq!(ready.json(), parts);
});

on_both_stacks!(a_head_request_is_a_get_without_a_body, |stack| async move {
    let id = stack.put("abc").await;
    for path in ["/healthz", "/", "/openapi.json", &format!("/api/v1/md5/{id}")] {
        let answer = stack.ask(Method::HEAD, path).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
});

on_both_stacks!(every_answer_has_the_headers_that_keep_a_browser_safe, |stack| async move {
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
});

on_both_stacks!(no_refusal_tells_what_is_inside, |stack| async move {
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
});

on_both_stacks!(a_client_of_http_1_0_ends_nobody_elses_connection, |stack| async move {
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
});
