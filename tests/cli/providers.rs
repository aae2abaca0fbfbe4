//! `coatcheck providers`: what the stand-ins do as the services that they stand for, and what they tell of it.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::eventually;

use crate::cli::settings::refused;
use crate::kit::client::{Answer, ask};
use crate::kit::program::{coatcheck, output};
use crate::kit::stand_ins::StandIns;

#[tokio::test]
async fn the_free_provider_takes_n_then_blocks_then_takes_n_again() {
    let stand_ins = StandIns::start(&[("REQUESTS", "3"), ("BLOCK_SECONDS", "0.5")]).await;

    for round in 0..2 {
        for request in 1..=3 {
            let answer = process(&stand_ins, "free", "two words").await;
            assert_eq!(answer.status, 200, "{round}: {}", answer.text());
            let number = round * 3 + request;
            let reply = json!({"provider": "free", "text": "two words", "words": 2, "request": number});
            assert_eq!(answer.json(), reply);
        }
        eventually("an open provider", async || {
            let blocked = stand_ins.stats("free").await["blocked_for"].as_f64().unwrap();
            if blocked == 0.0 { Ok(()) } else { Err(blocked) }
        })
        .await;
    }

    let stats = stand_ins.stats("free").await;
    assert_eq!((&stats["accepted"], &stats["most_in_window"]), (&json!(6), &json!(3)));
    assert_eq!(stats["remaining"], 3);
}

#[tokio::test]
async fn who_comes_during_the_block_is_told_when_to_come_back() {
    let stand_ins = StandIns::start(&[("REQUESTS", "2"), ("BLOCK_SECONDS", "1h")]).await;
    for _ in 0..2 {
        assert_eq!(process(&stand_ins, "free", "a").await.status, 200);
    }

    let answer = process(&stand_ins, "free", "a").await;

    let problem = problem(&answer, 429, "too-many-requests");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    assert!(problem["detail"].as_str().unwrap().contains(&wait.to_string()), "{problem}");
    let stats = stand_ins.stats("free").await;
    assert_eq!([&stats["accepted"], &stats["refused"], &stats["remaining"]], [2, 1, 0]);
    assert!(stats["blocked_for"].as_f64().unwrap() > 0.0, "{stats}");
}

#[tokio::test]
async fn of_many_at_once_exactly_n_are_taken() {
    let stand_ins = StandIns::start(&[("REQUESTS", "20"), ("BLOCK_SECONDS", "1h")]).await;

    let all = (0..50).map(|_| process(&stand_ins, "free", "a"));
    let answers = futures::future::join_all(all).await;

    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((taken, refused), (20, 30));
    assert_eq!(stand_ins.stats("free").await["most_in_window"], 20);
}

#[tokio::test]
async fn the_paid_provider_never_refuses() {
    let stand_ins = StandIns::start(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "1h")]).await;

    for request in 1..=150 {
        let answer = process(&stand_ins, "paid", "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reply = json!({"provider": "paid", "text": "", "words": 0, "request": request});
        assert_eq!(answer.json(), reply);
    }

    let stats = stand_ins.stats("paid").await;
    assert_eq!((&stats["accepted"], &stats["refused"]), (&json!(150), &json!(0)));
}

#[tokio::test]
async fn the_third_party_answers_with_the_row_and_its_id() {
    let stand_ins = StandIns::start(&[]).await;
    let row = json!({"userId": -7, "title": "", "body": "é\n\"🧥\""});

    let answer = ask(stand_ins.request("third-party", Method::POST, "/posts").json(&row)).await.unwrap();

    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json(), json!({"userId": -7, "title": "", "body": "é\n\"🧥\"", "id": 101}));
}

#[tokio::test]
async fn arrivals_are_told_in_order_with_their_keys() {
    let stand_ins = StandIns::start(&[("REQUESTS", "2"), ("BLOCK_SECONDS", "1h")]).await;

    for key in [Some("a"), Some("a"), None] {
        let mut request = stand_ins.request("free", Method::POST, "/process").json(&json!({"text": "a"}));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        ask(request).await.unwrap();
    }

    let arrivals = stand_ins.arrivals("free").await;
    let seen: Vec<_> = arrivals.iter().map(|arrival| (&arrival["key"], &arrival["status"])).collect();
    let (a, ok) = (json!("a"), json!(200));
    assert_eq!(seen, [(&a, &ok), (&a, &ok), (&Value::Null, &json!(429))]);
    let times: Vec<u64> = arrivals.iter().map(|arrival| arrival["at"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let now = chrono::Utc::now().timestamp_micros().cast_unsigned();
    assert!(times[0] <= now && now - times[0] < 3_600_000_000, "{times:?}: no time of day");
    assert_eq!(stand_ins.stats("free").await["repeated"], 1);
    assert!(stand_ins.arrivals("paid").await.is_empty());
}

#[tokio::test]
async fn a_provider_fails_and_drops_and_waits_as_it_is_told() {
    let stand_ins = StandIns::start(&[("REQUESTS", "3"), ("BLOCK_SECONDS", "1h")]).await;

    stand_ins.control("free", &json!({"failure_rate": 1})).await;
    problem(&process(&stand_ins, "free", "a").await, 500, "told-to-fail");

    stand_ins.control("free", &json!({"failure_rate": 0, "drop_rate": 1})).await;
    let dropped = ask(stand_ins.request("free", Method::POST, "/process").json(&json!({"text": "a"}))).await;
    assert!(dropped.is_err(), "{dropped:?}");

    stand_ins.control("free", &json!({"drop_rate": 0, "latency": 0.05, "jitter": 0.05})).await;
    assert_eq!(process(&stand_ins, "free", "a").await.status, 200);

    let stats = stand_ins.stats("free").await;
    assert_eq!([&stats["accepted"], &stats["failed"], &stats["remaining"]], [2, 1, 1]);
    assert_eq!(stand_ins.get("free", "/control").await.json()["latency"], 0.05);
    assert_eq!(stand_ins.get("paid", "/control").await.json()["latency"], 0.0);
}

#[tokio::test]
async fn the_rule_is_changed_and_the_count_begun_anew_at_run_time() {
    let stand_ins = StandIns::start(&[("REQUESTS", "1"), ("BLOCK_SECONDS", "1h")]).await;
    assert_eq!(process(&stand_ins, "free", "a").await.status, 200);
    assert_eq!(process(&stand_ins, "free", "a").await.status, 429);

    stand_ins.control("free", &json!({"requests": 2, "block_seconds": 7200})).await;
    for status in [200, 200, 429] {
        assert_eq!(process(&stand_ins, "free", "a").await.status, status);
    }
    let answer = ask(stand_ins.request("free", Method::POST, "/reset")).await.unwrap();

    assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(0)));
    assert!(stand_ins.arrivals("free").await.is_empty());
    for status in [200, 200, 429] {
        assert_eq!(process(&stand_ins, "free", "a").await.status, status);
    }
}

#[tokio::test]
async fn bad_input_is_refused_in_words_and_counts_for_nothing() {
    let stand_ins = StandIns::start(&[]).await;
    let large = json!({"text": "a".repeat(1 << 20)}).to_string();
    let deep = "[".repeat(100_000);
    for (provider, method, path, body, status, code) in [
        ("free", Method::POST, "/process", "", 400, "invalid-json"),
        ("free", Method::POST, "/process", "{\"text\": \"a", 400, "invalid-json"),
        ("free", Method::POST, "/process", "{\"text\": \"\\ud800\"}", 400, "invalid-json"),
        ("free", Method::POST, "/process", &deep, 422, "invalid-body"),
        ("free", Method::POST, "/process", "{}", 422, "invalid-body"),
        ("paid", Method::POST, "/process", "{\"text\": 5}", 422, "invalid-body"),
        ("paid", Method::POST, "/process", &large, 413, "body-too-large"),
        ("paid", Method::GET, "/process", "", 405, "method-not-allowed"),
        ("paid", Method::POST, "/posts", "{}", 404, "not-found"),
        ("third-party", Method::POST, "/process", "{\"text\": \"a\"}", 404, "not-found"),
        ("third-party", Method::POST, "/posts", "[]", 422, "invalid-body"),
        (
            "third-party",
            Method::POST,
            "/posts",
            "{\"userId\": 1.5, \"title\": \"\", \"body\": \"\"}",
            422,
            "invalid-body",
        ),
        ("third-party", Method::POST, "/posts", "{\"userId\": 1, \"title\": \"\"}", 422, "invalid-body"),
        ("free", Method::PUT, "/control", "{", 400, "invalid-json"),
        ("free", Method::PUT, "/control", "{\"latencies\": 1}", 422, "invalid-body"),
        ("free", Method::PUT, "/control", "{\"latency\": -1}", 422, "invalid-control"),
        ("free", Method::PUT, "/control", "{\"failure_rate\": 2}", 422, "invalid-control"),
        ("free", Method::PUT, "/control", "{\"requests\": 0}", 422, "invalid-control"),
        ("free", Method::PUT, "/control", "{\"block_seconds\": 1e300}", 422, "invalid-control"),
        ("paid", Method::PUT, "/control", "{\"requests\": 5}", 422, "invalid-control"),
        ("free", Method::DELETE, "/control", "", 405, "method-not-allowed"),
        ("free", Method::GET, "/nothing", "", 404, "not-found"),
    ] {
        let request = stand_ins.request(provider, method, path).body(body.to_owned());
        let answer = ask(request).await.unwrap();

        problem(&answer, status, code);
        assert_eq!(answer.header("allow").is_empty(), status != 405, "{path}");
    }
    for key in ["", "a b", &"k".repeat(256), "é"] {
        let request = stand_ins.request("free", Method::POST, "/process").json(&json!({"text": "a"}));
        let answer = ask(request.header("Idempotency-Key", key)).await.unwrap();

        problem(&answer, 400, "invalid-idempotency-key");
    }

    for provider in stand_ins.names() {
        let stats = stand_ins.stats(provider).await;
        assert_eq!([&stats["accepted"], &stats["refused"], &stats["failed"]], [0, 0, 0], "{provider}");
        assert!(stand_ins.arrivals(provider).await.is_empty(), "{provider}");
    }
}

#[tokio::test]
async fn each_is_alive_and_has_docs_of_its_own() {
    let stand_ins = StandIns::start(&[]).await;
    assert_eq!(stand_ins.names(), ["free", "paid", "third-party"]);
    let settings: Vec<&str> = stand_ins.urls().iter().map(|(name, _)| *name).collect();
    assert_eq!(settings, ["FREE_URL", "PAID_URL", "THIRD_PARTY_URL"]);

    for (provider, call) in [("free", "/process"), ("paid", "/process"), ("third-party", "/posts")] {
        assert_eq!(stand_ins.get(provider, "/healthz").await.json(), json!({"status": "ok"}));
        for path in ["/", "/docs", "/docs/"] {
            let page = stand_ins.get(provider, path).await;
            assert!(page.status == 200 && page.text().contains("swagger-ui"), "{provider} {path}");
            assert!(page.header("content-security-policy").contains("default-src 'none'"));
        }
        for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
            assert_eq!(stand_ins.get(provider, &format!("/docs/{asset}")).await.status, 200, "{asset}");
        }
        let setup = stand_ins.get(provider, "/docs/swagger-initializer.js").await;
        assert!(setup.text().contains("\"/openapi.json\""), "{}", setup.text());
        let paths = stand_ins.get(provider, "/openapi.json").await.json()["paths"].clone();
        for path in [call, "/stats", "/stats/arrivals", "/control", "/reset", "/healthz", "/readyz"] {
            assert!(paths[path].is_object(), "{provider} {path}");
        }
        assert_eq!(paths.as_object().unwrap().len(), 7, "{paths}");
    }
}

#[tokio::test]
async fn a_healthcheck_finds_each_ready_whatever_it_was_told() {
    let stand_ins = StandIns::start(&[]).await;
    let folder = TempDir::new().unwrap();
    for (_, url) in stand_ins.urls() {
        let done = output(coatcheck(folder.path(), ["healthcheck", "--url", url])).await;
        assert_eq!((done.status.code(), done.stderr.len()), (Some(0), 0), "{url}");
    }

    stand_ins.control("paid", &json!({"failure_rate": 1, "latency": 600})).await;

    let (_, url) = stand_ins.urls()[1];
    assert_eq!(output(coatcheck(folder.path(), ["healthcheck", "--url", url])).await.status.code(), Some(0));
}

#[tokio::test]
async fn one_alone_starts_no_other() {
    for provider in ["free", "paid", "third-party"] {
        let stand_ins = StandIns::start_as(&["providers", provider], &[]).await;

        assert_eq!(stand_ins.names(), [provider]);
        assert_eq!(stand_ins.get(provider, "/stats").await.json()["provider"], provider);
    }
}

#[tokio::test]
async fn a_signal_ends_them() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut stand_ins = StandIns::start(&[]).await;
        assert_eq!(process(&stand_ins, "free", "a").await.status, 200);

        stand_ins.program.signal(signal);

        let status = eventually("the end of the program", async || {
            stand_ins.program.exit_status().ok_or("it still runs")
        })
        .await;
        assert_eq!((status.code(), status.signal()), (Some(0), None));
    }
}

#[tokio::test]
async fn a_wrong_setting_is_told_in_one_line_and_none_listens() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    for (name, value) in [
        ("FREE_LISTEN", "nonsense"),
        ("PAID_LISTEN", "127.0.0.1"),
        ("THIRD_PARTY_LISTEN", &taken),
        ("REQUESTS", "0"),
        ("REQUESTS", "-1"),
        ("BLOCK_SECONDS", "0"),
        ("BLOCK_SECONDS", "abc"),
        ("BLOCK_SECONDS", "1000d"),
    ] {
        let mut command = coatcheck(folder.path(), ["providers"]);
        for listen in ["FREE_LISTEN", "PAID_LISTEN", "THIRD_PARTY_LISTEN"] {
            command.env(listen, "127.0.0.1:0");
        }
        command.env(name, value);

        refused(&output(command).await, name);
    }
    refused(&output(coatcheck(folder.path(), ["providers", "nonsense"])).await, "nonsense");
}

async fn process(stand_ins: &StandIns, provider: &str, text: &str) -> Answer {
    let request = stand_ins.request(provider, Method::POST, "/process").json(&json!({"text": text}));
    ask(request).await.unwrap()
}

/// The body of a refusal, which is well made and has that status and code.
#[track_caller]
fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{}", answer.text());
    let problem = answer.json();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
    problem
}
