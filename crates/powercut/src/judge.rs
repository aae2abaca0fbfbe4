//! Starts the program on the disks after a cut, and compares every earlier answer with its present state.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cut::{Cut, Device, Disks};
use crate::error::{Outcome, Trouble};
use crate::load::{md5_of, text};
use crate::product::{Client, Places, Product};
use crate::record::{Lane, mount, places};
use crate::recording::{Event, Recording};
use crate::rig::{DEADLINE, end_of, until};

/// The findings after a cut.
#[derive(Debug, Default)]
pub struct Verdict {
    /// A sentence for each violation.
    pub found: Vec<String>,
    /// The number of checked items of each sort.
    pub looked_at: BTreeMap<&'static str, u64>,
}

/// Returns the path of the program's output after a cut of a recording.
pub fn said(lane: &Lane, name: &str) -> PathBuf {
    lane.world.scratch.join(format!("{name}.said"))
}

impl Verdict {
    fn look(&mut self, what: &'static str) {
        *self.looked_at.entry(what).or_default() += 1;
    }

    fn find(&mut self, what: impl Into<String>) {
        self.found.push(what.into());
    }
}

/// The answers before a cut, and facts about tasks from the whole recording.
struct Known<'recording> {
    before: Vec<&'recording Event>,
    digests: HashMap<&'recording str, &'recording str>,
    tables: HashMap<&'recording str, u64>,
    cancelled: HashSet<&'recording str>,
}

impl<'recording> Known<'recording> {
    fn of(recording: &'recording Recording, cut: &Cut) -> Self {
        let events = || recording.events.iter().map(|noted| &noted.event);
        let digests = events().filter_map(|event| match event {
            Event::Promise { id, md5, .. } => Some((id.as_str(), md5.as_str())),
            _ => None,
        });
        let tables = events().filter_map(|event| match event {
            Event::Table { id, rows } => Some((id.as_str(), *rows)),
            _ => None,
        });
        let cancelled = events().filter_map(|event| match event {
            Event::Cancel { id } => Some(id.as_str()),
            _ => None,
        });
        let before = recording.events.iter().filter(|noted| noted.sequence <= cut.at);
        Self {
            before: before.map(|noted| &noted.event).collect(),
            digests: digests.collect(),
            tables: tables.collect(),
            cancelled: cancelled.collect(),
        }
    }
}

/// Judges a cut. Every failure of the program, including a failed start, is in the verdict.
///
/// # Errors
/// If the disks can't be mounted or the place can't be cleared: a file system that does not survive its own recovery, or the harness.
pub async fn judge(lane: &Lane, recording: &Recording, cut: &Cut, disks: &Disks) -> Outcome<Verdict> {
    let run = &recording.run;
    let places = places(&run.name, run.plan.disks);
    let loops = match cut.device {
        Device::Same => &lane.loops[..2],
        Device::Changed => &lane.loops[2..],
    };
    let mounts = mount(&run.plan, &places, &disks.images, loops).await?;
    age(&places.data().join("blobs"))?;
    let said = said(lane, &run.name);
    let _ = fs::remove_file(&said);
    let mut product = Product::new(&lane.replays, run.plan.stack, places.clone(), said, Vec::new());
    let mut verdict = Verdict::default();
    let known = Known::of(recording, cut);
    if let Err(error) = examine(&mut product, &places, &known, &mut verdict).await {
        let words = end_of(&product.said, 1500);
        verdict.find(format!(
            "the program did not become ready or finish: {error}\n      its last output: {words}"
        ));
    }
    product.cut().await?;
    for mount in mounts {
        mount.end().await?;
    }
    Ok(verdict)
}

/// Makes files two hours older, as if the machine had been off for that long: orphans are then old enough to be removed.
fn age(folder: &Path) -> Outcome<()> {
    for path in files_under(folder) {
        let file = File::options().write(true).open(path)?;
        let time = file.metadata()?.modified()?;
        file.set_modified(time.checked_sub(Duration::from_secs(7200)).unwrap_or(time))?;
    }
    Ok(())
}

/// Returns the files under a folder; empty if the folder does not exist.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files
}

async fn examine(
    product: &mut Product,
    places: &Places,
    known: &Known<'_>,
    verdict: &mut Verdict,
) -> Outcome<()> {
    product.start().await?;
    let client = product.ready(DEADLINE).await?;
    // Tasks that change their status between two looks are found by one of them.
    until("the end of all tasks", DEADLINE, async || {
        for status in ["pending", "running"] {
            let page = client.get(&format!("/api/v1/tasks?limit=1&status={status}")).await?;
            if let Some(task) = page["tasks"].get(0) {
                return Ok(Err(task.to_string()));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    let fresh = upload(&client, verdict).await?;
    let tasks = until("the end of all tasks", DEADLINE, async || {
        let tasks = all_tasks(&client).await?;
        let waiting = tasks.values().find(|task| task["finished"].is_null()).map(Value::to_string);
        Ok(waiting.map_or(Ok(tasks), Err))
    })
    .await?;

    look_at_tasks(known, &tasks, &fresh, verdict);
    look_at_keys(&client, known, verdict).await?;
    look_at_records(&client, known, verdict).await?;
    look_at_users(&client, known, verdict).await?;

    product.stop(Signal::SIGTERM).await?;
    let (is_clean, words) = product.verify().await?;
    if !is_clean {
        verdict.find(format!("verify: {words}"));
    }
    look_at_lines(places, tasks.values(), verdict)?;
    for path in files_under(&places.data().join("blobs")) {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let status = tasks.get(&id).map_or("no", |task| task["status"].as_str().unwrap_or_default());
        verdict.find(format!("an upload remains, of {status} task: {}", path.display()));
    }
    Ok(())
}

/// Submits a new upload and waits for its end. Returns its id.
async fn upload(client: &Client, verdict: &mut Verdict) -> Outcome<String> {
    let body = vec![b'a'; 50_000];
    let headers = [("content-type", "application/octet-stream")];
    let (status, answer) = client.ask(Method::PUT, "/api/v1/md5/new", &headers, body.clone()).await?;
    if status != 202 {
        let answer = String::from_utf8_lossy(&answer);
        return Err(Trouble::new(format!("a new upload was answered {status} {answer}")));
    }
    let task: Value = serde_json::from_slice(&answer)?;
    let id = text(&task, "id")?.to_owned();
    let task = client.get(&format!("/api/v1/tasks/{id}?wait=30")).await?;
    verdict.look("new uploads");
    if task["result"]["md5"].as_str() != Some(&md5_of(&body)) {
        verdict.find(format!("a new upload became {task}"));
    }
    Ok(id)
}

async fn all_tasks(client: &Client) -> Outcome<HashMap<String, Value>> {
    let mut tasks = HashMap::new();
    let mut after = String::new();
    loop {
        let mut page = client.get(&format!("/api/v1/tasks?limit=1000{after}")).await?;
        let Value::Array(list) = page["tasks"].take() else {
            return Err(Trouble::new(format!("expected a list of tasks, got {page}")));
        };
        for task in list {
            tasks.insert(text(&task, "id")?.to_owned(), task);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(tasks),
        }
    }
}

fn look_at_tasks(known: &Known<'_>, tasks: &HashMap<String, Value>, fresh: &str, verdict: &mut Verdict) {
    for event in &known.before {
        match event {
            Event::Promise { id, .. } | Event::Table { id, .. } => {
                verdict.look("tickets");
                if !tasks.contains_key(id) {
                    verdict.find(format!("LOST: {event:?}"));
                }
            }
            Event::Seen { task } => {
                verdict.look("ends seen");
                let now = task["id"].as_str().and_then(|id| tasks.get(id));
                if now != Some(task) {
                    verdict.find(format!("CHANGED: {task} is now {now:?}"));
                }
            }
            Event::Wrong { detail } => verdict.find(detail.clone()),
            _ => (),
        }
    }
    for (id, task) in tasks.iter().filter(|(id, _)| *id != fresh) {
        let id = id.as_str();
        let digest = known.digests.get(id).map(|md5| json!({ "md5": md5 }));
        let table = known.tables.get(id).map(|rows| json!({ "rows": rows, "failed": 0 }));
        let is_right = match task["status"].as_str() {
            Some("succeeded") => digest.or(table).is_none_or(|result| task["result"] == result),
            Some("cancelled") => known.cancelled.contains(id),
            _ => false,
        };
        if !is_right {
            verdict.find(format!("WRONG: {task}, of {:?}", known.digests.get(id)));
        }
    }
}

/// Checks that each key that was answered is known: its use for different content must be rejected.
async fn look_at_keys(client: &Client, known: &Known<'_>, verdict: &mut Verdict) -> Outcome<()> {
    let keys = known.before.iter().rev().filter_map(|event| match event {
        Event::Promise { key: Some(key), .. } => Some(key),
        _ => None,
    });
    for key in keys.take(3) {
        verdict.look("keys");
        let headers = [("content-type", "application/octet-stream"), ("idempotency-key", key)];
        let (status, answer) = client.ask(Method::PUT, "/api/v1/md5/other", &headers, "other").await?;
        if status != 422 {
            let answer = String::from_utf8_lossy(&answer);
            verdict.find(format!("LOST: the key {key} with other content was answered {status} {answer}"));
        }
    }
    Ok(())
}

async fn look_at_records(client: &Client, known: &Known<'_>, verdict: &mut Verdict) -> Outcome<()> {
    let lines = [("accept", "application/x-ndjson")];
    let (_, answer) = client.ask(Method::GET, "/api/data", &lines, "").await?;
    let answer = String::from_utf8_lossy(&answer);
    let records = answer.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let ids = records.iter().filter_map(|record| record["id"].as_str()).collect::<HashSet<_>>();
    for event in &known.before {
        if let Event::Record { id } = event {
            verdict.look("records");
            if !ids.contains(id.as_str()) {
                verdict.find(format!("LOST: {event:?}"));
            }
        }
    }
    Ok(())
}

/// Checks that users can log in. Passwords are slow to verify, so only the latest users do.
async fn look_at_users(client: &Client, known: &Known<'_>, verdict: &mut Verdict) -> Outcome<()> {
    let users = known.before.iter().rev().filter_map(|event| match event {
        Event::User { username, password } => Some((username, password)),
        _ => None,
    });
    for (username, password) in users.take(2) {
        verdict.look("users");
        let body = json!({ "username": username, "password": password }).to_string();
        let as_json = [("content-type", "application/json")];
        let (status, _) = client.ask(Method::POST, "/api/v1/session", &as_json, body).await?;
        if status != 200 {
            verdict.find(format!("LOST: user {username} can't log in: {status}"));
        }
    }
    Ok(())
}

/// Checks that each task has exactly one line, and that no other line exists.
fn look_at_lines<'tasks>(
    places: &Places,
    tasks: impl Iterator<Item = &'tasks Value>,
    verdict: &mut Verdict,
) -> Outcome<()> {
    let mut lines = HashMap::<String, Vec<String>>::new();
    for path in fs::read_dir(places.data())?.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with("outcomes.log") || name.ends_with(".lock") {
            continue;
        }
        let bytes = fs::read(&path)?;
        if bytes.last().is_some_and(|byte| *byte != b'\n') {
            verdict.find(format!("LINES: {name} ends within a line"));
        }
        for line in String::from_utf8_lossy(&bytes).lines() {
            lines.entry(line.to_owned()).or_default().push(name.clone());
        }
    }
    for task in tasks {
        verdict.look("lines");
        let line = line_of(task);
        let at = lines.remove(&line).unwrap_or_default();
        if at.len() != 1 {
            verdict.find(format!("LINES: {} times, in {at:?}: {line}", at.len()));
        }
    }
    for (line, at) in lines {
        verdict
            .find(format!("LINES: of no task, in {at:?}: {:?}", line.chars().take(200).collect::<String>()));
    }
    Ok(())
}

/// Returns the line of an ended task, in the documented form.
fn line_of(task: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, status) = (word(&task["kind"]), word(&task["status"]));
    let detail = match (status.as_str(), kind.as_str()) {
        ("succeeded", "table") => {
            format!("rows={} failed={}", task["result"]["rows"], task["result"]["failed"])
        }
        ("succeeded", _) => word(&task["result"]["md5"]),
        ("failed", _) => word(&task["error"]["code"]),
        _ => "-".to_owned(),
    };
    format!("{} {} {kind} {status} {detail}", word(&task["finished"]), word(&task["id"]))
}
