//! A task: its id, its states and their legal moves, its row.
//!
//! No I/O here, and nothing of a database: `store/types.rs` says how these values are stored.

use std::str::FromStr;

use database::UserId;
pub use database::{InvalidId, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kinds::{Kind, RowKind};

database::id! {
    /// The promise id: a UUIDv7, ordered by the clock to the millisecond, with 74 random bits.
    TaskId, v7
}

database::id! {
    /// The id of one life of a worker process, and the key of its lease: a process whose lease lapsed takes a new id before it claims
    /// again.
    WorkerId, v4
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted. A claim moves it on, or the end of small work; if its id was never published or got lost, the sweep publishes it.
    Pending,
    /// Claimed. Its worker moves it on; if that worker's lease lapses, the sweep makes it `Pending` again.
    Running,
    /// Ended with a result. Never changes again.
    Succeeded,
    /// Ended with an error. Never changes again.
    Failed,
    /// Ended at its owner's request. Never changes again.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Returns the status's name in the database, the API and the outcome log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the task has ended and never changes again.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Returns whether a task may go from this status to `next` in one step.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Running | Self::Succeeded | Self::Cancelled)
                | (Self::Running, Self::Pending | Self::Succeeded | Self::Failed | Self::Cancelled)
        )
    }
}

/// The text is not the name of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a status: pending, running, succeeded, failed or cancelled")]
pub struct InvalidStatus;

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(name: &str) -> Result<Self, InvalidStatus> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or(InvalidStatus)
    }
}

/// A task in its row's state, without the upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: RowKind,
    /// The current status.
    pub status: Status,
    /// The user who submitted it; `None` if it was submitted anonymously.
    pub owner: Option<UserId>,
    /// When the row was inserted.
    pub created: Time,
    /// When the last attempt was claimed.
    pub started: Option<Time>,
    /// When the task ended.
    pub finished: Option<Time>,
    /// How often the task was claimed.
    pub attempt: i64,
    /// The kind's `Input` in JSON.
    pub input: Value,
    /// The kind's `Output` in JSON, once the task has succeeded.
    pub result: Option<Value>,
    /// Why the task failed or was cancelled; while it waits for a retry, the last error.
    pub error: Option<TaskError>,
    /// When the task is retried, while it waits for that.
    pub next_attempt: Option<Time>,
    /// The ended task that this one continues.
    pub retried_from: Option<TaskId>,
    /// Whether the upload is in the blob store rather than in the row.
    pub has_blob: bool,
}

impl Task {
    /// Returns how far the task has come. Never decreases from one commit to the next, so that the older of two looks can be told: each
    /// claim increments the attempt, and an attempt goes from running to pending or to its end.
    pub(crate) fn progress(&self) -> (i64, u8) {
        let step = match self.status {
            Status::Running => 0,
            Status::Pending => 1,
            Status::Succeeded | Status::Failed | Status::Cancelled => 2,
        };
        (self.attempt, step)
    }
}

/// A pending task to publish, or that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The promise id.
    pub id: TaskId,
    /// The kind, which decides the queue.
    pub kind: Kind,
    /// How often the task had been claimed: a late mark must not touch a later attempt.
    pub attempt: i64,
}

impl Ticket {
    /// Returns the ticket of a task, if this version knows its kind.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        Some(Self { id: task.id, kind: task.kind.known()?, attempt: task.attempt })
    }
}

/// Why a task ended without a result, or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskError {
    /// A stable code for programs, such as `worker-lost`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl TaskError {
    /// Creates an error from its code and its sentence.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }

    /// Returns the error of a cancelled task.
    pub fn cancelled() -> Self {
        Self::new("cancelled", "The task was cancelled before it had ended.")
    }

    /// Returns the error of a task whose `MAX_ATTEMPTS` workers were all lost.
    pub fn worker_lost() -> Self {
        Self::new("worker-lost", "Each worker that took the task was lost before it ended.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_an_ended_task_on() {
        for ended in Status::ALL.into_iter().filter(|status| status.is_ended()) {
            for next in Status::ALL {
                assert!(!ended.may_become(next));
            }
        }
    }
}
