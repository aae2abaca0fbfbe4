//! HAProxy with the configuration of the deployment, before a real API: what one client can take of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::{fs, io};

use futures::future::join_all;
use reqwest::Method;
use rstest_reuse::apply;
use serde_json::Value;
use tempfile::TempDir;
use test_kit::{DEADLINE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::kit::client::{Answer, accepted, ask, whole_answer};
use crate::kit::program::Program;
use crate::kit::stack::{Setup, Stack, embedded, own_host};

/// The address whose word counts, as that of a proxy that speaks TLS does.
const EDGE: &str = "127.0.0.9";
/// Not that of the look whether it serves, which keeps a connection.
const SOURCE: &str = "127.0.0.3";

/// Soon, for what takes a minute otherwise.
const IMPATIENT: [(&str, &str); 2] =
    [("timeout client 1m", "timeout client 1s"), (" tcp-ut 1m", " tcp-ut 1s")];
const FEW_CONNECTIONS: [(&str, &str); 2] =
    [("conn_cur gt 1000", "conn_cur gt 4"), ("conn_cur gt 1100", "conn_cur gt 6")];

#[apply(embedded)]
async fn a_client_that_stands_still_loses_its_connection_and_one_that_waits_does_not(setup: Setup) {
    let stack = setup.start(&[]).await;
    let line = format!("1.1.1.1 GET /{} 200\n", "x".repeat(8000));
    let lines = stack.request(Method::POST, "/api/data/bulk").header("Content-Type", "text/plain");
    assert_eq!(ask(lines.body(line.repeat(4000))).await.unwrap().status, 201);
    // Nobody sends it on: it stays.
    let table = stack.request(Method::POST, "/api/v1/tables").multipart(
        reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::text("userId,title,body\n1,a,b\n").file_name("a.csv")),
    );
    let table = accepted(&ask(table).await.unwrap());
    let haproxy = Haproxy::before(&stack, &IMPATIENT).await;

    let mut silent = haproxy.connection(SOURCE).await;
    silent.write_all(b"GET /api/data HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let halves = ["Content-Length: 1000000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"];
    join_all(halves.map(async |half| {
        let mut connection = haproxy.connection(SOURCE).await;
        let head = format!("PUT /api/v1/md5/begun HTTP/1.1\r\nHost: a\r\n{half}");
        connection.write_all(head.as_bytes()).await.unwrap();
        until_its_end(connection).await;
    }))
    .await;
    eventually("the end of who reads nothing", async || {
        silent.write_all(b"x").await.err().ok_or("it is held")
    })
    .await;

    let mut waiting = haproxy.connection(SOURCE).await;
    let head = format!("GET /api/v1/tables/{table}?wait=3 HTTP/1.1\r\nHost: a\r\n\r\n");
    waiting.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(first_answer(&mut waiting).await.status, 200);
}

#[apply(embedded)]
async fn an_address_has_a_bound_on_its_connections_and_is_told_so(setup: Setup) {
    let stack = setup.start(&[]).await;
    let haproxy = Haproxy::before(&stack, &FEW_CONNECTIONS).await;
    let get = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = haproxy.connection(SOURCE).await;
        connection.write_all(get).await.unwrap();
        assert_eq!(first_answer(&mut connection).await.status, 200);
        held.push(connection);
    }

    let mut refused = haproxy.connection(SOURCE).await;
    refused.write_all(get).await.unwrap();
    let answer = until_its_end(refused).await.to_lowercase();
    for told in ["http/1.1 429 ", "content-type: application/problem+json", "\"code\":\"too-many-requests\""]
    {
        assert!(answer.contains(told), "{answer}");
    }
    // Connections beyond the next two are closed without an answer.
    let told = [haproxy.connection(SOURCE).await, haproxy.connection(SOURCE).await];
    if let Ok(closed) = haproxy.connect(SOURCE).await {
        until_its_end(closed).await;
    }

    // Others are not counted with it, and one that speaks for many is not counted.
    for (address, connections) in [("127.0.0.2", 1), (EDGE, 10)] {
        for _ in 0..connections {
            let mut other = haproxy.connection(address).await;
            other.write_all(get).await.unwrap();
            assert_eq!(first_answer(&mut other).await.status, 200, "{address}");
            held.push(other);
        }
    }

    held.truncate(3);
    drop(told);
    eventually("a connection once another was closed", async || {
        let mut read = [0; 12];
        if let Ok(mut again) = haproxy.connect(SOURCE).await {
            let _ = again.write_all(get).await;
            let _ = again.read_exact(&mut read).await;
        }
        if &read == b"HTTP/1.1 200" { Ok(()) } else { Err(read) }
    })
    .await;
}

#[apply(embedded)]
async fn a_body_has_one_bound_whether_or_not_its_length_is_told(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "1MiB")]).await;
    let haproxy = Haproxy::before(&stack, &[]).await;
    let piece = vec![b'x'; 0x1000];
    let chunk = [b"1000\r\n", &*piece, b"\r\n"].concat();
    for (head, piece) in [("Content-Length: 1000000000000", piece), ("Transfer-Encoding: chunked", chunk)] {
        let (mut reader, mut writer) = haproxy.connection(SOURCE).await.into_split();
        let head = format!("PUT /api/v1/md5/endless HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
        let sending = async {
            writer.write_all(head.as_bytes()).await.unwrap();
            // It never ends by itself.
            while writer.write_all(&piece).await.is_ok() {}
        };
        let mut answer = Vec::new();
        let reading = async {
            let _ = reader.read_to_end(&mut answer).await;
        };
        timeout(DEADLINE, async { tokio::join!(sending, reading) }).await.expect("it is read without end");
        let (answer, _) = whole_answer(&answer).unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("upload-too-large")));
    }
    assert_eq!(stack.get("/api/v1/tasks").await.json()["tasks"], Value::Array(Vec::new()));
}

#[apply(embedded)]
async fn only_a_proxy_before_it_says_where_a_request_comes_from(setup: Setup) {
    let stack = setup.start(&[("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let haproxy = Haproxy::before(&stack, &[]).await;
    for (address, is_believed) in [(SOURCE, false), (EDGE, true)] {
        let mut connection = haproxy.connection(address).await;
        let told = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.1\r\n";
        let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = first_answer(&mut connection).await;
        assert_eq!(answer.status, 200, "{address}");
        assert_eq!(answer.headers.contains_key("strict-transport-security"), is_believed, "{address}");
    }
}

/// HAProxy with `deployment/haproxy.cfg`.
struct Haproxy {
    _program: Program,
    _folder: TempDir,
    address: SocketAddr,
}

impl Haproxy {
    /// Starts it before a stack, with these parts of its configuration replaced, and waits until it passes requests on.
    async fn before(stack: &Arc<Stack>, changes: &[(&str, &str)]) -> Self {
        let deployment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployment");
        let problems = deployment.join("problems").canonicalize().unwrap();
        let host = own_host();
        let mut configuration = fs::read_to_string(deployment.join("haproxy.cfg")).unwrap();
        let (_, template) = configuration.split_once("\n    server-template api ").unwrap();
        let template = format!("server-template api {}", template.lines().next().unwrap());
        let here = [
            ("/etc/haproxy/problems", problems.to_str().unwrap()),
            ("bind :", &format!("bind {host}:")),
            (&*template, &format!("server api {} check inter 1s", stack.address())),
        ];
        for (found, replacement) in here.iter().chain(changes) {
            assert!(configuration.contains(found), "{found}");
            configuration = configuration.replace(found, replacement);
        }
        let folder = TempDir::with_prefix("coatcheck-test-").unwrap();
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.arg("-db").arg("-f").arg(&file).env_clear().env("EDGE_PROXIES", EDGE);
        let program = Program::start(command, folder.path());
        let haproxy =
            Self { _program: program, _folder: folder, address: format!("{host}:9000").parse().unwrap() };
        eventually("an API behind the proxy", async || {
            let url = format!("http://{}/readyz", haproxy.address);
            match ask(stack.http.get(url)).await {
                Ok(answer) if answer.status == 200 => Ok(()),
                otherwise => Err(format!("{otherwise:?}")),
            }
        })
        .await;
        haproxy
    }

    /// A new connection from that address, whose client reads little ahead.
    async fn connection(&self, from: &str) -> TcpStream {
        self.connect(from).await.unwrap()
    }

    /// The same, where it may be closed at once.
    async fn connect(&self, from: &str) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.bind(format!("{from}:0").parse().unwrap())?;
        socket.connect(self.address).await
    }
}

/// The first answer on a connection that may stay.
async fn first_answer(connection: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let answer = async {
        loop {
            if let Some((answer, _)) = whole_answer(&bytes) {
                return answer;
            }
            let read = connection.read_buf(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{:?}", String::from_utf8_lossy(&bytes));
        }
    };
    timeout(DEADLINE, answer).await.expect("no answer")
}

/// Reads until the end of the connection.
async fn until_its_end(mut connection: TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, connection.read_to_end(&mut rest)).await.expect("the connection is held");
    String::from_utf8_lossy(&rest).into_owned()
}
