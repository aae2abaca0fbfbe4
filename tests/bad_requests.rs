//! Bad input, from a data file: each request gets what it deserves, however it comes, and leaves nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddrV4;
use std::sync::Arc;

use rstest_reuse::apply;
use serde::Deserialize;
use serde_json::Value;
use test_kit::{DEADLINE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Answer, ask, whole_answer};
use crate::stack::{Setup, Stack, both_stacks};

const GOOD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// What is answered below the handlers, without a body.
const BELOW: [u16; 4] = [400, 408, 414, 431];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    words: BTreeMap<String, String>,
    case: Vec<Case>,
}

/// The file's head says what each of them means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    request: Option<String>,
    #[serde(default)]
    headers: String,
    #[serde(default)]
    body: String,
    raw: Option<String>,
    #[serde(default)]
    ends: bool,
    status: OneOrMany<u16>,
    code: Option<OneOrMany<String>>,
    #[serde(default)]
    rows: usize,
    has: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn all(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

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
    let cases: Cases = toml::from_str(include_str!("bad_requests.toml")).unwrap();
    let mut desk = Desk::open(stack.clone(), cases.words).await;
    let mut failures = Vec::new();
    let mut descriptors = None;

    for way in [Way::Fresh, Way::Kept, Way::Behind] {
        for case in &cases.case {
            if let Err(failure) = desk.judge(case, way).await {
                failures.push(format!("{} ({way:?}): {failure}", case.name));
            }
        }
        // Whatever a server opens once, for any of them, it has now.
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
    words: BTreeMap<String, String>,
    newest_task: String,
    newest_record: String,
    rows: usize,
}

impl Desk {
    async fn open(stack: Arc<Stack>, mut words: BTreeMap<String, String>) -> Self {
        let http = crate::client::http().pool_max_idle_per_host(0).build().unwrap();
        let task = stack.put("abc").await;
        stack.until(&task, "succeeded").await;
        let log = serde_json::json!({"log": "127.0.0.1 GET / 200"});
        let record = stack.post_json("/api/data", &log).await.json()["id"].as_str().unwrap().to_owned();
        words.insert("task".to_owned(), task.clone());
        words.insert("record".to_owned(), record.clone());
        words.insert("cookie".to_owned(), stack.cookie().await);
        Self { stack, http, words, newest_task: task, newest_record: record, rows: 2 }
    }

    /// Sends a request and looks at its answer, and at what it has left.
    async fn judge(&mut self, case: &Case, way: Way) -> Result<(), String> {
        let answer = exchange(&self.stack.address(), &self.bytes(case), case.ends, way).await?;
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let told = answer.as_ref().map(|answer| String::from_utf8_lossy(&answer.body)).unwrap_or_default();
        let told: String = told.chars().take(300).collect();

        let rows = self.new_rows().await;
        self.rows += rows;
        self.stack.until_no_blobs().await;
        if !case.status.all().contains(&status) {
            return Err(format!("{status} {told}"));
        }
        if rows != (if (200..300).contains(&status) { case.rows } else { 0 }) {
            return Err(format!("{rows} rows, {status} {told}"));
        }
        match answer {
            Some(answer) => is_as_expected(case, &answer).map_err(|what| format!("{what}: {status} {told}")),
            None => Ok(()),
        }
    }

    fn bytes(&self, case: &Case) -> Vec<u8> {
        if let Some(raw) = &case.raw {
            return written(raw, &self.words);
        }
        let body = written(&case.body, &self.words);
        let request = case.request.as_deref().expect("a request, or raw bytes");
        let head = format!(
            "{request} HTTP/1.1\r\nHost: coatcheck\r\nContent-Length: {}\r\n{}\r\n",
            body.len(),
            case.headers
        );
        [written(&head, &self.words), body].concat()
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

    /// What the process that answers has open: its clients' connections and files. Its connections to servers are left out, for there
    /// are as many as were needed at once.
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

/// A text of the file as bytes: words, then repeats and bytes.
fn written(text: &str, words: &BTreeMap<String, String>) -> Vec<u8> {
    let text = words
        .iter()
        .fold(text.to_owned(), |text, (word, meaning)| text.replace(&format!("<<{word}>>"), meaning));
    let (mut bytes, mut rest) = (Vec::new(), text.as_str());
    while let Some((before, after)) = rest.split_once("<<") {
        bytes.extend(before.as_bytes());
        let (what, after) = after.split_once(">>").expect("`<<` has its `>>`");
        match (what.strip_prefix("0x"), what.split_once('*')) {
            (Some(hex), _) => bytes.push(u8::from_str_radix(hex, 16).unwrap()),
            (None, Some((times, text))) => bytes.extend(text.repeat(times.parse().unwrap()).as_bytes()),
            (None, None) => panic!("no such word: {what}"),
        }
        rest = after;
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// Whether an answer of the right status is the right one.
fn is_as_expected(case: &Case, answer: &Answer) -> Result<(), String> {
    let head: String = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()))
        .collect();
    let text = String::from_utf8_lossy(&answer.body);
    if case.has.as_ref().is_some_and(|has| !head.contains(has) && !text.contains(has)) {
        return Err(format!("it doesn't have {:?}, {head}", case.has));
    }
    if answer.status < 400 {
        return Ok(());
    }
    let codes = case.code.as_ref().map_or(&[][..], OneOrMany::all);
    if answer.body.is_empty() {
        // A head that is too large is refused by whoever reads its end, or the most that it may have.
        let may_be_below = codes.is_empty() || case.status.all().len() > 1 || answer.status == 431;
        let is_below = may_be_below && BELOW.contains(&answer.status);
        return if is_below { Ok(()) } else { Err("no code".to_owned()) };
    }
    let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
    if !codes.contains(&code) {
        return Err(format!("the code {code}"));
    }
    answer.problem(answer.status, &code);
    Ok(())
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
    // What came in the same write may be refused by itself, but nothing of it is served.
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
