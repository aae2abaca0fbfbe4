//! Clients that load the program, and notes of the answers they get.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use md5::{Digest, Md5};
use parking_lot::{Mutex, RwLock};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::error::{Outcome, Trouble};
use crate::product::Client;
use crate::recording::{Event, Noted};
use crate::rig::Sequence;

/// The beginning of every upload that is kept as a file.
pub const BLOB_MARK: &[u8] = b"an upload that is long enough for a file of its own: ";
/// The beginning of every upload's name.
pub const NAME: &str = "upload-of-client-";
/// The size in bytes up to which an upload is kept in its row.
const INLINE: usize = 16_384;
const POOL: usize = 2 << 20;
/// In every other of these intervals one uploader works alone: the flushes of many hide a missing one.
const SPELL: Duration = Duration::from_secs(1);

/// The notes of a recording: the answers, each with the sequence number at which it had come.
pub struct Notes {
    sequence: Sequence,
    file: Mutex<BufWriter<File>>,
}

impl Notes {
    /// Begins the notes in a new file.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn new(sequence: Sequence, path: &Path) -> Outcome<Self> {
        Ok(Self { sequence, file: Mutex::new(BufWriter::new(File::create(path)?)) })
    }

    /// Records an event after it has happened.
    ///
    /// # Errors
    /// If the disks are gone.
    pub fn note(&self, event: Event) -> Outcome<()> {
        let (sequence, _) = self.sequence.look()?;
        let mut file = self.file.lock();
        serde_json::to_writer(&mut *file, &Noted { sequence, event })?;
        Ok(writeln!(file)?)
    }

    /// Returns the number of records, and how often a fault has struck.
    ///
    /// # Errors
    /// If the disks are gone.
    pub fn look(&self) -> Outcome<(u64, u64)> {
        self.sequence.look()
    }
}

/// Returns the MD5 of some bytes, in hex.
pub fn md5_of(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<Outcome<()>>,
}

struct Shared {
    name: String,
    notes: Arc<Notes>,
    client: RwLock<Client>,
    log: PathBuf,
    pool: Vec<u8>,
    has_ended: AtomicBool,
    begun: Instant,
}

impl Load {
    /// Starts that many uploaders, one client for all other calls, and one that renames the outcome log.
    pub fn start(name: &str, notes: Arc<Notes>, client: Client, log: PathBuf, uploaders: u64) -> Self {
        let mut pool = vec![0; POOL];
        Rng::with_seed(7).fill(&mut pool);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            notes,
            client: RwLock::new(client),
            log,
            pool,
            has_ended: AtomicBool::new(false),
            begun: Instant::now(),
        });
        let mut clients = JoinSet::new();
        for number in 0..uploaders {
            clients.spawn(upload(shared.clone(), number));
        }
        clients.spawn(do_all_else(shared.clone()));
        clients.spawn(rotate(shared.clone()));
        Self { shared, clients }
    }

    /// Sends later requests to another address.
    pub fn turn_to(&self, client: Client) {
        *self.shared.client.write() = client;
    }

    /// Begins no new request, and waits for those in progress; answers cut off from now on are not noted.
    ///
    /// # Errors
    /// If a client has failed.
    pub async fn stop(mut self) -> Outcome<()> {
        self.shared.has_ended.store(true, Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        Ok(())
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.has_ended.load(Relaxed)
    }

    /// Returns whether one uploader works alone now.
    fn is_quiet(&self) -> bool {
        self.begun.elapsed().as_secs() / SPELL.as_secs() % 2 == 1
    }

    fn client(&self) -> Client {
        self.client.read().clone()
    }

    fn body(&self, dice: &mut Rng) -> Vec<u8> {
        let size = match dice.u32(..100) {
            0..5 => 0,
            5..35 => dice.usize(1..300),
            35..55 => dice.usize(300..INLINE),
            55..57 => INLINE,
            57..59 => INLINE + 1,
            59..96 => dice.usize(INLINE + 1..120_000),
            _ => dice.usize(120_000..1 << 20),
        };
        let at = dice.usize(..POOL - size);
        let mut body = self.pool.get(at..at + size).unwrap_or_default().to_vec();
        if size > INLINE {
            body.splice(..BLOB_MARK.len(), BLOB_MARK.iter().copied());
        }
        body
    }

    /// Notes an unexpected answer, or a missing one, and rests a little.
    async fn note_refusal(&self, outcome: Outcome<(u16, Vec<u8>)>) -> Outcome<()> {
        let event = match outcome {
            Ok((status, answer)) => {
                let answer = String::from_utf8_lossy(&answer).chars().take(300).collect();
                Event::Refused { status, answer }
            }
            Err(error) => Event::CutOff { error: error.to_string() },
        };
        if self.goes_on() {
            self.notes.note(event)?;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    /// Notes a task that was reported as ended.
    fn note_seen(&self, answer: &(u16, Vec<u8>)) -> Outcome<()> {
        let task: Value = serde_json::from_slice(&answer.1)?;
        if answer.0 == 200 && !task["finished"].is_null() {
            self.notes.note(Event::Seen { task })?;
        }
        Ok(())
    }
}

/// Returns the text of a field.
pub fn text<'value>(value: &'value Value, field: &str) -> Outcome<&'value str> {
    value[field].as_str().ok_or_else(|| Trouble::new(format!("expected {field} in {value}")))
}

async fn upload(shared: Arc<Shared>, number: u64) -> Outcome<()> {
    let mut dice = Rng::with_seed(number);
    let mut count = 0;
    while shared.goes_on() {
        if number > 0 && shared.is_quiet() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        count += 1;
        let body = shared.body(&mut dice);
        let md5 = md5_of(&body);
        let key = (dice.u32(..5) == 0).then(|| format!("{}-{number}-{count}", shared.name));
        let mut headers = vec![("content-type", "application/octet-stream")];
        headers.extend(key.as_deref().map(|key| ("idempotency-key", key)));
        let client = shared.client();
        let path = format!("/api/v1/md5/{NAME}{number}-{count}");
        let put = || client.ask(Method::PUT, &path, &headers, body.clone());
        let answer = match put().await {
            Ok((202, answer)) => answer,
            other => {
                shared.note_refusal(other).await?;
                continue;
            }
        };
        let task: Value = serde_json::from_slice(&answer)?;
        let id = text(&task, "id")?;
        shared.notes.note(Event::Promise { id: id.to_owned(), md5, key: key.clone() })?;
        if key.is_some()
            && dice.u32(..3) == 0
            && let Ok((202, again)) = put().await
        {
            let again: Value = serde_json::from_slice(&again)?;
            if again["id"] != task["id"] {
                let detail = format!("one idempotency key, two tasks: {task} and {again}");
                shared.notes.note(Event::Wrong { detail })?;
            }
        }
        let outcome = match dice.u32(..100) {
            0..15 => {
                shared.notes.note(Event::Cancel { id: id.to_owned() })?;
                client.ask(Method::DELETE, &format!("/api/v1/tasks/{id}"), &[], "").await
            }
            15..60 => client.ask(Method::GET, &format!("/api/v1/tasks/{id}?wait=5"), &[], "").await,
            _ => continue,
        };
        match outcome {
            Ok(answer) => shared.note_seen(&answer)?,
            Err(error) => shared.note_refusal(Err(error)).await?,
        }
    }
    Ok(())
}

async fn do_all_else(shared: Arc<Shared>) -> Outcome<()> {
    let mut dice = Rng::with_seed(100);
    let mut count = 0;
    while shared.goes_on() {
        count += 1;
        let client = shared.client();
        let as_json = [("content-type", "application/json")];
        match dice.u32(..20) {
            0 => {
                let (username, password) = (format!("user-{count}"), format!("battery staple {count}"));
                let body = json!({ "username": username, "password": password }).to_string();
                match client.ask(Method::POST, "/api/v1/users", &as_json, body).await {
                    Ok((201, _)) => shared.notes.note(Event::User { username, password })?,
                    other => shared.note_refusal(other).await?,
                }
            }
            1 | 2 => {
                let rows = dice.u64(1..8);
                match client.ask(Method::POST, "/api/v1/tables", &FORM, table(rows)).await {
                    Ok((202, answer)) => {
                        let task: Value = serde_json::from_slice(&answer)?;
                        shared.notes.note(Event::Table { id: text(&task, "id")?.to_owned(), rows })?;
                    }
                    other => shared.note_refusal(other).await?,
                }
            }
            _ => {
                let body = json!({ "log": format!("127.0.0.1 GET /{count} 200") }).to_string();
                match client.ask(Method::POST, "/api/data", &as_json, body).await {
                    Ok((201, answer)) => {
                        let record: Value = serde_json::from_slice(&answer)?;
                        shared.notes.note(Event::Record { id: text(&record, "id")?.to_owned() })?;
                    }
                    other => shared.note_refusal(other).await?,
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.u64(..60))).await;
    }
    Ok(())
}

const FORM: [(&str, &str); 1] = [("content-type", "multipart/form-data; boundary=b")];

fn table(rows: u64) -> String {
    let rows = (1..=rows).map(|row| format!("{row},title {row},body {row}\n")).collect::<String>();
    let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"";
    format!("--b\r\n{head}\r\n\r\nuserId,title,body\n{rows}\r\n--b--\r\n")
}

async fn rotate(shared: Arc<Shared>) -> Outcome<()> {
    let mut dice = Rng::with_seed(200);
    let mut count = 0;
    while shared.goes_on() {
        tokio::time::sleep(Duration::from_millis(dice.u64(..1200))).await;
        if fs::metadata(&shared.log).is_ok_and(|log| log.len() > 0) {
            count += 1;
            let sibling = shared.log.with_extension(format!("log.{count}"));
            if fs::rename(&shared.log, sibling).is_ok() {
                shared.notes.note(Event::Rotated)?;
            }
        }
    }
    Ok(())
}
