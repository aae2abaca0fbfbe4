//! Bad input, from a table: each request gets what it deserves, however it comes, and leaves nothing.

use std::fs;
use std::net::SocketAddrV4;
use std::sync::Arc;

use rstest_reuse::apply;
use serde_json::Value;
use test_kit::{BELOW, Case, Cases, DEADLINE, Outcome, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::kit::client::{Answer, ask, whole_answer};
use crate::kit::stack::{Setup, Stack, both_stacks};

const GOOD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// How a request comes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Fresh,
    Kept,
    Behind,
}

#[apply(both_stacks)]
async fn each_is_told_and_leaves_nothing(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "3MB")]).await;
    let mut desk = Desk::open(stack.clone()).await;
    let (task, record) = (desk.newest_task.clone(), desk.newest_record.clone());
    let cases = Cases::of([("task", &task), ("record", &record), ("cookie", &stack.cookie().await)]);
    let mut failures = Vec::new();
    let mut descriptors = None;

    for way in [Way::Fresh, Way::Kept, Way::Behind] {
        for case in &cases.cases {
            let bytes = cases.bytes(case);
            if let Err(failure) = desk.judge(case, bytes, way).await {
                failures.push(format!("{} ({way:?}): {failure}", case.name));
            }
        }
        // By now the server has opened everything that it opens once.
        let before = descriptors.get_or_insert_with(|| desk.descriptors());
        eventually("no descriptor of a request left", async || match desk.descriptors() {
            now if now.len() <= before.len() => Ok(()),
            now => Err((before.clone(), now)),
        })
        .await;
    }

    assert!(failures.is_empty(), "{} of them:\n{}", failures.len(), failures.join("\n"));
    desk.nothing_but_what_was_promised().await;
}

/// A stack, and what is known to be in it.
struct Desk {
    stack: Arc<Stack>,
    /// Keeps no connection open.
    http: reqwest::Client,
    newest_task: String,
    newest_record: String,
    rows: usize,
}

impl Desk {
    async fn open(stack: Arc<Stack>) -> Self {
        let http = crate::kit::client::http().pool_max_idle_per_host(0).build().unwrap();
        let task = stack.put("abc").await;
        stack.until(&task, "succeeded").await;
        let log = serde_json::json!({"log": "127.0.0.1 GET / 200"});
        let record = stack.post_json("/api/data", &log).await.json()["id"].as_str().unwrap().to_owned();
        Self { stack, http, newest_task: task, newest_record: record, rows: 2 }
    }

    /// Sends a request and looks at its answer, and at what it has left.
    async fn judge(&mut self, case: &Case, bytes: Vec<u8>, way: Way) -> Result<(), String> {
        let answer = exchange(&self.stack.address(), &bytes, case.ends, way).await?;
        let rows = self.new_rows().await;
        self.rows += rows;
        self.stack.until_no_blobs().await;
        let Some(answer) = answer else {
            return case.judge(&Outcome { status: 0, head: "", body: b"", code: None, rows });
        };
        let is_problem = answer.status >= 400 && !answer.body.is_empty();
        let code = is_problem.then(|| answer.json()["code"].as_str().unwrap_or_default().to_owned());
        let lines = answer.headers.iter();
        let head: String =
            lines.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
        let (status, body) = (answer.status, &answer.body);
        case.judge(&Outcome { status, head: &head, body, code: code.as_deref(), rows })?;
        if let Some(code) = code {
            answer.problem(status, &code);
        }
        Ok(())
    }

    /// How many tasks and records there are that were not there before.
    async fn new_rows(&mut self) -> usize {
        let page = self.get("/api/v1/tasks?limit=5").await;
        let tasks = page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap());
        let tasks: Vec<_> = tasks.take_while(|id| *id != self.newest_task).map(str::to_owned).collect();
        let records = self.get(&format!("/api/data?id={}", self.newest_record)).await;
        let records = records.as_array().unwrap();
        if let Some(newest) = tasks.first() {
            self.newest_task.clone_from(newest);
        }
        if let Some(newest) = records.last() {
            self.newest_record = newest["id"].as_str().unwrap().to_owned();
        }
        tasks.len() + records.len()
    }

    async fn get(&self, path: &str) -> Value {
        ask(self.http.get(self.stack.url(path))).await.unwrap().json()
    }

    /// Returns the open client connections and files of the process that answers. Connections to servers are left out, because their number
    /// depends on how many were needed at once.
    fn descriptors(&self) -> Vec<String> {
        let process = format!("/proc/{}", self.stack.pid());
        let address: SocketAddrV4 = self.stack.address().parse().unwrap();
        let local = format!("{:08X}:{:04X}", u32::from(*address.ip()).swap_bytes(), address.port());
        let connections = fs::read_to_string(format!("{process}/net/tcp")).unwrap();
        let of_clients: Vec<String> = connections
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields[1] == local)
            .map(|fields| format!("socket:[{}]", fields[9]))
            .collect();
        let open = fs::read_dir(format!("{process}/fd")).unwrap();
        // One may be closed while they are looked at.
        let open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        let open = open.map(|target| target.to_string_lossy().into_owned());
        open.filter(|target| !target.starts_with("socket:") || of_clients.contains(target)).collect()
    }

    async fn nothing_but_what_was_promised(&self) {
        let rows = "SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM records) + (SELECT count(*) FROM users)";
        assert_eq!(self.stack.sql(rows), self.rows.to_string());
        for task in self.stack.tasks("").await {
            self.stack.until(task["id"].as_str().unwrap(), "succeeded").await;
        }
        self.stack.until_no_blobs().await;
        assert_eq!(self.stack.get("/healthz").await.status, 200);
    }
}

/// Sends bytes and reads what is answered; nothing, if the connection ends. What follows is judged here: either the
/// connection ends without another word, or it serves the next request.
async fn exchange(address: &str, bytes: &[u8], ends: bool, way: Way) -> Result<Option<Answer>, String> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let mut came = Vec::new();
    if let Way::Kept = way {
        connection.write_all(GOOD).await.unwrap();
        is_good(next_answer(&mut connection, &mut came).await)?;
    }
    let bytes = if let Way::Behind = way { [GOOD, bytes].concat() } else { bytes.to_vec() };
    let (mut reader, mut writer) = connection.into_split();
    let write = async move {
        // A server that has refused what it saw need not read the rest.
        let _ = writer.write_all(&bytes).await;
        if ends {
            let _ = writer.shutdown().await;
        }
        writer
    };
    let read = async {
        if let Way::Behind = way {
            is_good(next_answer(&mut reader, &mut came).await)?;
        }
        Ok::<_, String>(next_answer(&mut reader, &mut came).await)
    };
    let (mut writer, answer) = tokio::join!(write, read);
    let Some(answer) = answer? else { return Ok(None) };

    let is_below = answer.body.is_empty() && BELOW.contains(&answer.status);
    let is_over = ends || is_below || answer.header("connection") == "close";
    if !is_over {
        let _ = writer.write_all(LAST).await;
    }
    let _ = writer.shutdown().await;
    if !is_over {
        is_good(next_answer(&mut reader, &mut came).await)?;
    }
    // A request in the same write may be rejected by itself, but is never served.
    while let Some(more) = next_answer(&mut reader, &mut came).await {
        if !is_over || more.status < 400 {
            return Err(format!("another answer: {more:?}"));
        }
    }
    Ok(Some(answer))
}

fn is_good(answer: Option<Answer>) -> Result<(), String> {
    match answer {
        Some(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("the good request beside it: {other:?}")),
    }
}

/// The next answer; `None` at the connection's end. `came` holds what was read and not taken.
async fn next_answer(reader: &mut (impl AsyncReadExt + Unpin), came: &mut Vec<u8>) -> Option<Answer> {
    let read = async {
        loop {
            if let Some((answer, length)) = whole_answer(came) {
                came.drain(..length);
                match answer.status {
                    100 => continue,
                    _ => return Some(answer),
                }
            }
            let mut chunk = [0; 4096];
            match reader.read(&mut chunk).await {
                Ok(read @ 1..) => came.extend(&chunk[..read]),
                _ => return None,
            }
        }
    };
    timeout(DEADLINE, read).await.expect("the server doesn't answer")
}
