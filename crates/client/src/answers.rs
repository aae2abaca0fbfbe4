//! What the server answers, as far as the client reads it. Fields that a newer server adds are ignored, and only those that the client can't
//! do without must be there.

use std::borrow::Cow;
use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use uuid::Uuid;

/// An answer, and its JSON as it was sent: fields keep their order, and numbers their text.
#[derive(Debug, Clone, PartialEq)]
pub struct AsSent<T> {
    json: Value,
    read: T,
}

impl<T> AsSent<T> {
    /// Returns the JSON as the server sent it.
    pub const fn json(&self) -> &Value {
        &self.json
    }
}

impl<T> Deref for AsSent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.read
    }
}

impl<'de, T: de::DeserializeOwned> Deserialize<'de> for AsSent<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        let read = T::deserialize(&json).map_err(de::Error::custom)?;
        Ok(Self { json, read })
    }
}

/// A time as the server writes it: RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Time(String);

impl Time {
    /// Returns the server's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the time; `None` if the text is not one.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        Some(DateTime::parse_from_rfc3339(&self.0).ok()?.to_utc())
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Accepted, and not begun.
    Pending,
    /// Being worked on.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended at its owner's request.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Returns the status's name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the status with that name; `None` if it is unknown here, as a newer server's may be.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns whether the task has ended and never changes again.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// One unit of accepted work.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Task {
    /// The ticket.
    pub id: Uuid,
    /// Its kind. A newer server may have kinds that are unknown here.
    pub kind: Option<String>,
    /// The name of its status. A newer server may have one that is unknown here.
    #[serde(rename = "status")]
    pub status_name: Option<String>,
    /// When it was accepted.
    pub created: Option<Time>,
    /// When its last attempt began.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// The number of its attempts so far.
    pub attempt: Option<i64>,
    /// When it is tried again, while it waits for that.
    pub next_attempt: Option<Time>,
    /// The ended task that it does again.
    pub retried_from: Option<Uuid>,
    /// The input as it was handed in.
    #[serde(default)]
    pub input: Input,
    /// The result, once it has succeeded.
    pub result: Option<AsSent<Output>>,
    /// Why it failed or was cancelled, or the last failure while it waits for another try.
    pub error: Option<TaskError>,
}

impl Task {
    /// Returns where it stands, if the client knows that status.
    pub fn status(&self) -> Option<Status> {
        Status::of(self.status_name.as_deref()?)
    }
}

/// The input of a task: of each kind the parts that the client shows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Input {
    /// The name of the file.
    pub filename: Option<String>,
    /// The length of the file in bytes.
    pub size: Option<u64>,
    /// The text of a message.
    pub text: Option<String>,
}

/// The result of a task: of each kind the parts that the client shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Output {
    /// The digest of a file, in hex.
    pub md5: Option<String>,
}

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TaskError {
    /// A word for programs.
    pub code: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
}

/// A page of tasks, newest first.
#[derive(Debug, Deserialize)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<AsSent<Task>>,
    /// The value of `after` for the next page; `None` on the last one.
    pub next: Option<String>,
    /// The number of tasks of the whole list, if it was asked for and all were counted.
    pub total: Option<u64>,
    /// The least number of them, if it was asked for and not all were counted.
    pub total_at_least: Option<u64>,
}

/// How a task ended.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// The outcome's place among all outcomes.
    pub cursor: String,
    /// The ticket.
    pub id: Uuid,
    /// The task's kind.
    pub kind: Option<String>,
    /// The name of its last status.
    pub status: Option<String>,
    /// When it ended.
    pub finished: Option<Time>,
    /// The outcome log's words for it; `None` if only a newer version of the service knows them.
    pub detail: Option<String>,
}

/// Outcomes, oldest first.
#[derive(Debug, Deserialize)]
pub struct OutcomeList {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
    /// The value of `after` for those that follow.
    pub next: String,
}

/// A record to add.
#[derive(Debug, Serialize)]
pub struct NewRecord<'l> {
    /// The request that someone served: `{IP} {METHOD} {URI} {STATUS}`.
    pub log: &'l str,
}

/// The server's record of a line.
#[derive(Debug, Deserialize)]
pub struct Added {
    /// The record's id.
    pub id: Uuid,
    /// When it was added, as the server writes it.
    pub created: String,
}

/// A record of the access log.
#[derive(Debug, Deserialize)]
pub struct Record<'j> {
    /// The record's id.
    pub id: Uuid,
    /// When it was added.
    pub created: DateTime<Utc>,
    /// The request that was reported.
    #[serde(borrow)]
    pub log: Log<'j>,
}

/// A reported request.
#[derive(Debug, Deserialize)]
pub struct Log<'j> {
    /// The address of who made it.
    #[serde(borrow)]
    pub ip: Cow<'j, str>,
    /// Its method.
    #[serde(borrow)]
    pub method: Cow<'j, str>,
    /// Its URI.
    #[serde(borrow)]
    pub uri: Cow<'j, str>,
    /// The status of its response.
    pub status_code: u16,
}

impl<'j> Record<'j> {
    /// Reads a record; `None` if the JSON is not one.
    pub fn from_json(json: &'j str) -> Option<Self> {
        read(json)
    }
}

/// The state of a program, part by part; a stand-in for a provider has no parts.
#[derive(Debug, Deserialize)]
pub struct Readiness {
    /// Whether requests should come there: `ready`, `unready` or `draining`.
    pub status: String,
    database: Option<String>,
    queue: Option<String>,
    blobs: Option<String>,
    disk: Option<String>,
}

impl Readiness {
    /// Returns the parts and the state of each: `ok`, `low` or `unavailable`.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { status: _, database, queue, blobs, disk } = self;
        let parts = [("database", database), ("queue", queue), ("blobs", blobs), ("disk", disk)];
        parts.into_iter().filter_map(|(part, state)| Some((part, state.as_deref()?)))
    }
}

/// The API's description of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    pub info: Info,
}

/// The description's part about the API as a whole.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    pub version: String,
}

/// A problem (RFC 9457), as the server or a proxy before it tells it.
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    /// A word for programs.
    pub code: Option<String>,
    /// Its meaning, for people.
    pub title: Option<String>,
    /// Details of this very case.
    pub detail: Option<String>,
}

pub(crate) const IDEMPOTENCY_MISMATCH: &str = "idempotency-mismatch";
pub(crate) const INVALID_ID: &str = "invalid-id";
pub(crate) const NOT_FOUND: &str = "not-found";
pub(crate) const RECORD_EXPIRED: &str = "record-expired";
pub(crate) const RECORD_NOT_FOUND: &str = "record-not-found";
pub(crate) const TASK_ENDED: &str = "task-ended";
pub(crate) const TASK_NOT_FOUND: &str = "task-not-found";

/// The codes of problems that the client tells apart.
pub const CODES: [&str; 7] = [
    IDEMPOTENCY_MISMATCH,
    INVALID_ID,
    NOT_FOUND,
    RECORD_EXPIRED,
    RECORD_NOT_FOUND,
    TASK_ENDED,
    TASK_NOT_FOUND,
];

/// Reads an answer; `None` if the text is not one.
pub(crate) fn read<'j, T: Deserialize<'j>>(text: &'j str) -> Option<T> {
    // Derived code would accept an array for a struct.
    text.trim_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_json() {
        let json = r#"{"md5":"a","size":1.50,"b":null,"a":123456789012345678901234567890}"#;

        let output: AsSent<Output> = read(json).unwrap();

        assert_eq!((output.md5.as_deref(), output.json().to_string().as_str()), (Some("a"), json));
        assert!(read::<AsSent<Output>>(r#"["a"]"#).is_none());
    }

    #[test]
    fn of_a_task_only_its_id_must_be_there() {
        let task: Task = read(r#"{"id":"0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d","status":"frozen"}"#).unwrap();

        assert_eq!(
            (task.status_name.as_deref(), task.status(), &task.input),
            (Some("frozen"), None, &Input::default())
        );
        assert!(read::<Task>(r#"{"status":"pending"}"#).is_none());
    }
}
