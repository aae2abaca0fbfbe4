//! Appending to the access log: one record or many at a time; a malformed line is rejected and leaves nothing.

use reqwest::{Method, RequestBuilder};
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::{eventually, servers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::client::{Answer, ask};
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Running, Setup, Stack, both_stacks};

const TEXT: &str = "text/plain";
const NDJSON: &str = "application/x-ndjson";

impl Stack {
    pub async fn report(&self, body: impl Into<reqwest::Body>) -> Answer {
        ask(self.http.post(self.url("/api/data")).body(body)).await.unwrap()
    }

    /// Adds a line. A well-made answer is asserted, the record returned.
    pub async fn add_record(&self, line: &str) -> Value {
        added(&self.report(json!({"log": line}).to_string()).await)
    }

    pub fn bulk_request(&self, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http.post(self.url("/api/data/bulk")).header("Content-Type", content_type).body(body)
    }

    /// Adds many lines, and gives what is said of them.
    pub async fn add_records(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Value {
        let answer = ask(self.bulk_request(content_type, body)).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// The records that a query gives, as an array.
    pub async fn records(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/data{query}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{query}");
        answer.json().as_array().expect("an array").clone()
    }

    async fn lines(&self) -> Vec<String> {
        self.records("").await.iter().map(line_of).collect()
    }
}

#[track_caller]
pub fn added(answer: &Answer) -> Value {
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (201, "application/json"),
        "{}",
        answer.text()
    );
    answer.json()
}

/// A record as the line that it was.
pub fn line_of(record: &Value) -> String {
    let log = &record["log"];
    let text = |name: &str| log[name].as_str().unwrap_or_else(|| panic!("no {name} in {record}"));
    format!("{} {} {} {}", text("ip"), text("method"), text("uri"), log["status_code"])
}

#[apply(both_stacks)]
async fn a_line_becomes_a_record(setup: Setup) {
    let stack = setup.start(&[]).await;
    for line in [
        "127.0.0.1 GET /index.html 200",
        "::1 GET / 200",
        "::ffff:1.2.3.4 get /a?b=c&d='\"\\ 100",
        "2001:DB8::1 FOO /日本/é 599",
        "1.1.1.1 !#$%&'*+-.^_`|~ /%zz 404",
        &format!("1.1.1.1 {} /{} 201", "M".repeat(32), "x".repeat(8191)),
    ] {
        let record = stack.add_record(line).await;

        assert_eq!(line_of(&record), line);
        let names: Vec<&String> = record.as_object().unwrap().keys().collect();
        assert_eq!(names, ["id", "created", "log"]);
        let id: uuid::Uuid = record["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 4);
        let created = record["created"].as_str().unwrap();
        assert!(created.len() == "2026-01-02T03:04:05.678901Z".len() && created.ends_with('Z'), "{created}");
        assert_eq!(stack.records("").await.last(), Some(&record));
    }
}

#[apply(both_stacks)]
async fn what_is_no_log_line_is_refused_and_leaves_nothing(setup: Setup) {
    let stack = setup.start(&[]).await;
    let log = |line: &str| json!({"log": line}).to_string().into_bytes();
    let good = "1.1.1.1 GET / 200";
    for (what, body) in [
        ("no body", Vec::new()),
        ("deep nesting", "[".repeat(60_000).into_bytes()),
        ("deep nesting in the log", format!("{{\"log\": {}", "{\"a\":".repeat(12_000)).into_bytes()),
        ("a key twice", format!(r#"{{"log": "{good}", "log": "{good}"}}"#).into_bytes()),
        ("another key", format!(r#"{{"log": "{good}", "id": 1}}"#).into_bytes()),
        ("no log", b"{}".to_vec()),
        ("a number", br#"{"log": 5}"#.to_vec()),
        ("a null", br#"{"log": null}"#.to_vec()),
        ("null", b"null".to_vec()),
        ("an empty array", b"[]".to_vec()),
        ("an array", format!(r#"["{good}"]"#).into_bytes()),
        ("a text", format!(r#""{good}""#).into_bytes()),
        ("a line without JSON", good.as_bytes().to_vec()),
        ("two objects", [log(good), log(good)].concat()),
        ("bytes that are no UTF-8", b"{\"log\": \"1.1.1.1 GET /\xff 200\"}".to_vec()),
        ("a lone surrogate", br#"{"log": "1.1.1.1 GET /\ud800 200"}"#.to_vec()),
        ("a NUL", br#"{"log": "1.1.1.1 GET /\u0000 200"}"#.to_vec()),
        ("a zone", log("fe80::1%eth0 GET / 200")),
        ("no address", log("999.1.1.1 GET / 200")),
        ("leading zeros", log("01.02.03.04 GET / 200")),
        ("status 99", log("1.1.1.1 GET / 99")),
        ("status 600", log("1.1.1.1 GET / 600")),
        ("status 2OO", log("1.1.1.1 GET / 2OO")),
        ("a space at the end", log("1.1.1.1 GET / 200 ")),
        ("one more field", log("1.1.1.1 GET / 200 0.1")),
        ("one field less", log("1.1.1.1 GET /")),
        ("two spaces", log("1.1.1.1  GET / 200")),
        ("a tab", log("1.1.1.1\tGET / 200")),
        ("a space in the URI", log("1.1.1.1 GET /a b 200")),
        ("a long URI", log(&format!("1.1.1.1 GET /{} 200", "x".repeat(8192)))),
        ("two lines", log("1.1.1.1 GET / 200\n1.1.1.1 GET /fake 200")),
        ("a line break in the URI", log("1.1.1.1 GET /\n1.1.1.1 GET /fake 200")),
        ("a carriage return", log("1.1.1.1 GET /\r 200")),
        ("a line separator", log("1.1.1.1 GET /\u{2028} 200")),
        ("an escape", log("1.1.1.1 GET /\u{1b}[31m 200")),
        ("a long method", log(&format!("1.1.1.1 {} / 200", "M".repeat(1000)))),
        ("a method of other signs", log("1.1.1.1 G@T / 200")),
    ] {
        println!("{what}");
        let problem = stack.report(body).await.problem(418, "invalid-log");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    assert_eq!(stack.lines().await, [] as [&str; 0]);
}

#[apply(both_stacks)]
async fn a_refusal_tells_what_is_wrong_where(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (body, place) in [
        (r#"{"log": "1.1.1.1 GET / 2OO"}"#, "at character 15"),
        (r#"{"log": "999.1.1.1 GET / 200"}"#, "at character 1"),
        ("{\n  \"log\": }", "line 2, column 10"),
    ] {
        let problem = stack.report(body).await.problem(418, "invalid-log");
        assert!(problem["detail"].as_str().unwrap().contains(place), "{problem}");
    }
}

#[apply(both_stacks)]
async fn a_body_that_is_too_large_is_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let padded = |bytes: usize| {
        let body = json!({"log": "1.1.1.1 GET / 200"}).to_string();
        let padding = " ".repeat(bytes - body.len());
        body + padding.as_str()
    };
    for bytes in [(64 << 10) + 1, 20 << 20] {
        stack.report(padded(bytes)).await.problem(413, "body-too-large");
        let pieces: Vec<std::io::Result<Vec<u8>>> =
            padded(bytes).into_bytes().chunks(10_000).map(|piece| Ok(piece.to_vec())).collect();
        let chunked = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        stack.report(chunked).await.problem(413, "body-too-large");
    }
    assert_eq!(stack.lines().await, [] as [&str; 0]);

    added(&stack.report(padded(64 << 10)).await);
}

#[apply(both_stacks)]
async fn many_lines_are_kept_and_bad_ones_told_by_their_numbers(setup: Setup) {
    let stack = setup.start(&[]).await;
    let text = b"1.1.1.1 GET /a 200\r\n\nnonsense\n1.1.1.1 GET /\xff 200\n::1 GET /b 404";
    let report = stack.add_records("text/plain; charset=utf-8", text.to_vec()).await;

    assert_eq!(report["saved"], 2, "{report}");
    assert_eq!(numbers(&report), [3, 4]);
    assert_eq!(
        report["rejected"][0]["reason"],
        "at character 1: expected an IPv4 or IPv6 address, without a zone"
    );
    let names: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(names, ["saved", "rejected"]);

    let lines = [
        r#"{"log": "1.1.1.1 GET /c 200"}"#,
        "1.1.1.1 GET /d 200",
        "",
        r#"{"log": "1.1.1.1 GET /\u2028 200"}"#,
        r#"["1.1.1.1 GET /e 200"]"#,
        &format!(r#"{{"log": "1.1.1.1 GET /{} 200"}}"#, "x".repeat(70_000)),
        r#"{"log": "1.1.1.1 GET /f 200"}"#,
    ];
    let report = stack.add_records(NDJSON, lines.join("\n")).await;

    assert_eq!((&report["saved"], numbers(&report)), (&json!(2), vec![2, 4, 5, 6]));
    let kept = ["1.1.1.1 GET /a 200", "::1 GET /b 404", "1.1.1.1 GET /c 200", "1.1.1.1 GET /f 200"];
    assert_eq!(stack.lines().await, kept);
    assert_eq!(stack.add_records(TEXT, "").await, json!({"saved": 0, "rejected": []}));
}

#[apply(both_stacks)]
async fn rejected_lines_are_listed_up_to_a_bound_and_all_counted(setup: Setup) {
    let stack = setup.start(&[]).await;
    let lines = format!("{}1.1.1.1 GET /last 200\n", "nonsense\n".repeat(1500));

    let report = stack.add_records(TEXT, lines).await;

    assert_eq!((&report["saved"], &report["unlisted"]), (&json!(1), &json!(500)));
    assert_eq!(numbers(&report), (1..=1000).collect::<Vec<_>>());
    assert_eq!(stack.lines().await, ["1.1.1.1 GET /last 200"]);
}

#[apply(both_stacks)]
async fn a_line_without_an_end_is_not_waited_for_in_memory(setup: Setup) {
    let stack = setup.start(&[]).await;
    let idle = stack.memory_kib("VmRSS");
    let endless = futures::stream::iter((0..64).map(|_| std::io::Result::Ok(vec![b'x'; 1 << 20])));
    let last = futures::stream::iter([Ok(b"\n1.1.1.1 GET / 200\n".to_vec())]);
    let body = reqwest::Body::wrap_stream(futures::StreamExt::chain(endless, last));

    let report = stack.add_records(TEXT, body).await;

    assert_eq!((&report["saved"], numbers(&report)), (&json!(1), vec![1]));
    let peak = stack.memory_kib("VmHWM");
    assert!(peak < idle + (32 << 10), "{idle} KiB when idle, up to {peak} KiB then");
}

#[apply(both_stacks)]
async fn lines_of_another_type_are_refused(setup: Setup) {
    let stack = setup.start(&[]).await;
    let line = "1.1.1.1 GET / 200\n";
    for content_type in ["application/json", "text/html", "multipart/form-data", "text/plain; charset=latin1"]
    {
        let answer = ask(stack.bulk_request(content_type, line)).await.unwrap();
        answer.problem(415, "unsupported-media-type");
    }
    let bare = ask(stack.http.post(stack.url("/api/data/bulk")).body(line)).await.unwrap();
    bare.problem(415, "unsupported-media-type");
    let packed = ask(stack.bulk_request(TEXT, line).header("Content-Encoding", "gzip")).await.unwrap();
    packed.problem(415, "unsupported-media-type");
    assert_eq!(stack.lines().await, [] as [&str; 0]);
}

#[apply(both_stacks)]
async fn of_lines_that_are_cut_short_the_whole_ones_are_kept(setup: Setup) {
    let stack = setup.start(&[]).await;
    let mut connection = TcpStream::connect(stack.address()).await.unwrap();
    let head = "POST /api/data/bulk HTTP/1.1\r\nHost: coatcheck\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n";
    let lines = "1.1.1.1 GET /a 200\n1.1.1.1 GET /b 200\n1.1.1.1 GET /c 20";
    connection.write_all(format!("{head}{lines}").as_bytes()).await.unwrap();
    eventually("what has come is kept, the rest is not waited for", async || {
        let lines = stack.lines().await;
        if lines.len() == 2 { Ok(()) } else { Err(lines) }
    })
    .await;
    connection.shutdown().await.unwrap();
    let mut end = Vec::new();
    let _ = connection.read_to_end(&mut end).await;

    let end = String::from_utf8_lossy(&end);
    assert!(
        end.is_empty() || end.contains("incomplete-upload") && end.contains("The first 2 lines"),
        "{end}"
    );
    assert_eq!(stack.lines().await, ["1.1.1.1 GET /a 200", "1.1.1.1 GET /b 200"]);
}

#[tokio::test]
async fn a_database_that_is_away_is_told_and_nothing_is_kept_by_halves() {
    let database = servers().database();
    let proxy = Proxy::to(&database).await;
    let stack = Running::of(Stack::without_worker(&[("DATABASE_URL", &proxy.url(&database))])).await;
    let first = stack.add_record("1.1.1.1 GET /first 200").await;

    proxy.pull_out();
    let line = json!({"log": "1.1.1.1 GET /lost 200"}).to_string();
    stack.report(line).await.problem(503, "database-unavailable");
    let bulk = ask(stack.bulk_request(TEXT, "1.1.1.1 GET /lost 200\n")).await.unwrap();
    let problem = bulk.problem(503, "database-unavailable");
    assert_eq!(problem["detail"], "The first 0 lines were dealt with.");
    for path in ["/api/data", "/api/data/stats"] {
        let answer = stack.get(path).await;
        answer.problem(503, "database-unavailable");
        assert!(!answer.header("retry-after").is_empty());
    }
    proxy.put_in();

    let records = eventually("the database is back", async || {
        let answer = stack.get("/api/data").await;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer) }
    });
    assert_eq!(records.await, json!([first]));
    stack.add_record("1.1.1.1 GET /second 200").await;
}

#[apply(both_stacks)]
async fn methods_that_are_not_taken_are_told_which_are(setup: Setup) {
    let stack = setup.start(&[]).await;
    for (path, method, allow) in [
        ("/api/data", Method::DELETE, "GET, HEAD, POST"),
        ("/api/data/bulk", Method::GET, "POST"),
        ("/api/data/stats", Method::POST, "GET, HEAD"),
    ] {
        let answer = stack.ask(method, path).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allow);
    }
}

fn numbers(report: &Value) -> Vec<u64> {
    let rejected = report["rejected"].as_array().unwrap().iter();
    rejected.map(|rejected| rejected["line"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn what_the_database_could_not_commit_is_not_answered_with_201() {
    let stack = Stack::without_worker(&[]);
    let (_, database) = stack.database_url().unwrap().rsplit_once('/').unwrap();
    stack.sql(&format!("ALTER DATABASE {database} SET lc_messages = 'de_DE.UTF-8'"));
    let stack = Running::of(stack).await;
    without_a_commit_there_is_no_201(&stack).await;
}

async fn without_a_commit_there_is_no_201(stack: &Stack) {
    let before_commit = |does: &str| {
        stack.sql(&format!(
            "CREATE OR REPLACE FUNCTION before_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NULL; END $$"
        ))
    };
    before_commit("NULL");
    stack.sql(
        "CREATE CONSTRAINT TRIGGER before_commit AFTER INSERT ON records DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION before_commit()",
    );
    for (does, status, code) in [
        ("RAISE EXCEPTION 'no'", 500, "internal"),
        ("RAISE EXCEPTION USING ERRCODE = 'disk_full'", 503, "database-unavailable"),
        ("PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10)", 503, "database-unavailable"),
    ] {
        before_commit(does);

        let answer = stack.report(r#"{"log": "127.0.0.1 GET / 200"}"#).await;

        let told = (answer.status, answer.json()["code"].as_str().map(str::to_owned));
        assert_eq!(told, (status, Some(code.to_owned())), "{does}: {}", answer.text());
        assert_eq!(stack.sql("SELECT count(*) FROM records"), "0", "{does}");
    }
    before_commit("NULL");
    stack.add_record("127.0.0.1 GET / 200").await;
}
