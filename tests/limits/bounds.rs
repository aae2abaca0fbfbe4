//! Memory and connections have bounds in bytes, whatever comes and goes and however many ask at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use rstest_reuse::apply;
use serde_json::{Value, json};
use test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::kit::client::ask;
use crate::kit::people::as_bearer;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};
use crate::uploads::memory::memory_kib;

/// The most memory that a process may need while the worst of all requests come at once.
const MOST_KIB: u64 = 256 << 10;
/// How long they come, unless `COATCHECK_BOUNDS_SECONDS` says it.
const SECONDS: u64 = 20;
/// Each is larger than what is read of a table at a time.
const TABLE_ROWS: usize = 4;
/// Records that are counted at once, over and over.
const RECORDS: usize = 500_000;

#[apply(embedded)]
async fn every_route_has_its_bounds_in_the_guarantees(setup: Setup) {
    let stack = setup.start(&[]).await;
    let guarantees =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../GUARANTEES.md")).unwrap();
    let (_, table) = guarantees.split_once("### Bounds in bytes").unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let mut told = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
        told.extend(cells[0].split(", ").map(|route| route.trim_matches('`').to_owned()));
    }
    let description = stack.get("/openapi.json").await.json();
    let mut routes = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        routes.extend(
            operations.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())),
        );
    }
    assert_eq!(told, routes);
}

/// On both stacks side by side: they take the time once, and each has its own processes.
#[tokio::test]
async fn memory_has_a_bound_while_the_worst_of_all_comes_at_once() {
    // So that wrong log-ins come from many addresses, and are not all refused unread; and that the table never ends.
    // And so that no worker on so busy a machine loses its lease of 2 s, and with it the table, again and again.
    let settings = [("TRUSTED_PROXIES", "127.0.0.0/8"), ("LEASE_SECONDS", "60")];
    let (embedded, distributed) =
        tokio::join!(Setup::Embedded.start(&settings), Setup::Distributed.start(&settings));
    tokio::join!(worst(embedded.clone()), worst(distributed.clone()));
}

/// Asks until it is answered so: a machine that is too busy to tell how full its disk is says 503.
async fn accepted(what: &str, status: u16, request: impl Fn() -> RequestBuilder) {
    eventually(what, async || {
        let answer = ask(request()).await.unwrap();
        if answer.status == status { Ok(()) } else { Err(answer.text().to_owned()) }
    })
    .await;
}

async fn worst(stack: Arc<Stack>) {
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    // Cells that are six times as long in JSON.
    let cell = "\u{1}".repeat(1 << 20);
    let row = format!("1,{cell},{cell}\n");
    let file = format!("userId,title,body\n{}", row.repeat(TABLE_ROWS));
    let form = reqwest::multipart::Form::new()
        .part("file", reqwest::multipart::Part::bytes(file.into_bytes()).file_name("a.csv"));
    let table = ask(stack.request(Method::POST, "/api/v1/tables").multipart(form)).await.unwrap();
    let table = table.json()["id"].as_str().unwrap().to_owned();
    let text = "\u{e9}".repeat(30_000);
    for _ in 0..60 {
        let body = json!({"text": text, "provider": "free"}).to_string();
        accepted("a message", 202, || {
            as_bearer(stack.request(Method::POST, "/api/v1/messages"), &token).body(body.clone())
        })
        .await;
    }
    let long = "x".repeat(8000);
    let bulk: String = (0..2000).map(|number| format!("1.1.1.1 GET /{long}{number} 200\n")).collect();
    accepted("records", 201, || {
        let lines = stack.request(Method::POST, "/api/data/bulk").header("Content-Type", "text/plain");
        lines.body(bulk.clone())
    })
    .await;

    let seconds = std::env::var("COATCHECK_BOUNDS_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    let rows = format!("/api/v1/tables/{table}/rows?format=");
    let mut silent = Vec::new();
    for form in ["json", "ndjson", "csv"] {
        silent.extend([format!("{rows}{form}"), format!("{rows}{form}")]);
    }
    silent.extend(vec!["/api/v1/tasks?limit=1000".to_owned(); 8]);
    silent.extend(vec!["/api/data".to_owned(); 8]);
    let mut standing = Vec::new();
    for path in &silent {
        standing.push(asked_in_silence(&stack, path).await);
    }
    for _ in 0..32 {
        standing.push(slow_upload(&stack, "127.0.0.1").await);
    }
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        let log_ins = join_all((0..30).map(|guess| {
            let guess = json!({"username": format!("nobody-{round}-{guess}"), "password": "wrong password"});
            let request = stack.request(Method::POST, "/api/v1/session").body(guess.to_string());
            let from = format!("203.0.{}.{}", round / 256, round % 256);
            async move { ask(request.header("X-Forwarded-For", from)).await.unwrap().status }
        }));
        let stats = join_all((0..12).map(|day| {
            let path = format!("/api/data/stats?date_from=20{day:02}-01-01");
            let stack = stack.clone();
            async move { stack.get(&path).await.status }
        }));
        let large_type = ask(stack.put_request("a", "abc").header("Content-Type", "x".repeat(100_000)));
        let (log_ins, stats, large_type, ready) =
            tokio::join!(log_ins, stats, large_type, stack.get("/readyz"));
        // 408: a machine so busy that requests are seconds on their way.
        assert!(log_ins.iter().all(|status| matches!(status, 401 | 408 | 429 | 503)), "{log_ins:?}");
        assert!(stats.iter().all(|status| matches!(status, 200 | 408 | 503)), "{stats:?}");
        assert!(matches!(large_type.unwrap().status, 408 | 415));
        // 503: so busy that a row is not written within 2 s.
        assert!(matches!(ready.status, 200 | 408 | 503), "{} {}", ready.status, ready.text());
        for pid in stack.pids() {
            let now = memory_kib(pid, "VmRSS");
            assert!(now < MOST_KIB, "{now} KiB");
        }
    }
    for pid in stack.pids() {
        let most = memory_kib(pid, "VmHWM");
        println!("{most} KiB");
        assert!(most < MOST_KIB, "{most} KiB");
    }
    drop(standing);
    let whole: Value = stack.get(&format!("{rows}json")).await.json();
    assert_eq!(whole.as_array().unwrap().len(), TABLE_ROWS);
    // Not shown when it differs: a terminal would not survive it.
    assert!(whole[TABLE_ROWS - 1]["input"]["body"].as_str() == Some(&*cell), "{}", stack.task(&table).await);
}

#[apply(both_stacks)]
async fn slow_uploads_of_one_client_keep_no_other_out(setup: Setup) {
    let stack = setup.start(&[]).await;
    // As many as all slots: those beyond their client's share wait, and are refused.
    let mut standing = Vec::new();
    for place in 0..64 {
        let mut upload = slow_upload(&stack, "127.0.0.1").await;
        standing.push(tokio::spawn(async move {
            // Every other one sends what is enough while there are places, each second, for as long as it may.
            let piece = vec![b'x'; 1200];
            while place % 2 == 0 && upload.write_all(&piece).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let mut answer = String::new();
            let _ = upload.read_to_string(&mut answer).await;
            answer
        }));
    }
    let own_host = stack.address().rsplit_once(':').unwrap().0.to_owned();

    let mut other = connected_from(&stack, &own_host).await;
    let body = vec![b'x'; 100_000];
    let head = format!(
        "PUT /api/v1/md5/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    other.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");

    // And its own next one gets in, for those that are slow lose their places.
    eventually("a place for who is not slow", async || {
        let mut own = connected_from(&stack, "127.0.0.1").await;
        own.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut answer = String::new();
        let _ = own.read_to_string(&mut answer).await;
        if answer.starts_with("HTTP/1.1 202 ") { Ok(()) } else { Err(answer) }
    })
    .await;
    // It is those that bring little who made room, each by an answer that says so.
    let (ended, rest): (Vec<_>, Vec<_>) =
        standing.into_iter().partition(tokio::task::JoinHandle::is_finished);
    rest.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(!ended.is_empty());
    for answer in join_all(ended).await {
        let answer = answer.unwrap();
        let is_refused = ["HTTP/1.1 408 ", "HTTP/1.1 503 "].iter().any(|status| answer.starts_with(status));
        assert!(is_refused || answer.is_empty(), "{answer}");
    }
}

#[apply(embedded)]
async fn bodies_of_one_client_do_not_fill_the_memory(setup: Setup) {
    let stack = setup.start(&[]).await;
    let head = "POST /api/data/bulk HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/plain\r\n";
    let lines = "1.1.1.1 GET /a 200\n".repeat(2000);
    let mut standing = Vec::new();
    for _ in 0..64 {
        let mut held = connected_from(&stack, "127.0.0.1").await;
        // More is to come, and never does.
        let request = format!("{head}Content-Length: 1000000\r\n\r\n{lines}");
        held.write_all(request.as_bytes()).await.unwrap();
        standing.push(async move {
            let mut answer = String::new();
            let _ = held.read_to_string(&mut answer).await;
            answer
        });
    }
    let own_host = stack.address().rsplit_once(':').unwrap().0.to_owned();
    let mut other = connected_from(&stack, &own_host).await;
    let request = format!("{head}Content-Length: {}\r\n\r\n{lines}", lines.len());
    other.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let answers = join_all(standing).await;
    let refused = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503 ")).count();
    assert!(refused >= 32, "{refused}: {answers:?}");
}

#[apply(both_stacks)]
async fn counts_of_many_records_keep_nobody_out(setup: Setup) {
    let stack = setup.start(&[]).await;
    stack.sql(&if stack.is_distributed() {
        format!(
            "INSERT INTO records (id, created, ip, method, uri, status_code)
             SELECT lpad(to_hex(n), 32, '0')::uuid, now(), '10.0.0.' || n % 100, 'GET', '/' || n % 1000, 200
             FROM generate_series(1, {RECORDS}) AS n"
        )
    } else {
        format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {RECORDS})
             INSERT INTO records (id, created, ip, method, uri, status_code)
             SELECT CAST(printf('%016d', n) AS BLOB), strftime('%s', 'now') * 1000000, '10.0.0.' || n % 100,
                    'GET', '/' || n % 1000, 200
             FROM numbers"
        )
    });
    // Each asks for something else, so that none is told what another was.
    let counts = join_all((1..=12).map(|day| {
        let path = format!("/api/data/stats?date_from=2020-01-{day:02}");
        let stack = stack.clone();
        async move { stack.get(&path).await }
    }));
    let counts = tokio::spawn(counts);
    let mut looks = 0;
    while looks == 0 || !counts.is_finished() {
        let (ready, upload) = tokio::join!(stack.get("/readyz"), stack.put("abc"));
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert!(!upload.is_empty());
        looks += 1;
    }
    let counts = counts.await.unwrap();
    let counted: Vec<_> = counts.iter().filter(|count| count.status == 200).collect();
    assert!(counts.iter().all(|count| matches!(count.status, 200 | 503)), "{counts:?}");
    assert!(counted.iter().all(|count| count.json()["requests"] == RECORDS), "{counted:?}");
    assert!(!counted.is_empty(), "{counts:?}");
}

/// A request whose answer is never read.
async fn asked_in_silence(stack: &Arc<Stack>, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut connection = socket.connect(stack.address().parse().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// An upload that needs a slot, and of which nothing comes.
async fn slow_upload(stack: &Arc<Stack>, from: &str) -> TcpStream {
    let mut connection = connected_from(stack, from).await;
    let head = "PUT /api/v1/md5/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

async fn connected_from(stack: &Arc<Stack>, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(stack.address().parse().unwrap()).await.unwrap()
}
