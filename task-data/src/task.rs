//! What a task is: its id, its states and their legal moves, its row.
//!
//! No I/O here, and nothing of a database: how these values are stored is `store/types.rs`'s business.

use std::str::FromStr;

use database::UserId;
pub use database::{InvalidId, Time};
use serde::Serialize;
use serde_json::Value;

use crate::kinds::{Kind, RowKind};

database::id! {
    /// The promise id: a UUIDv7, ordered by the clock to the millisecond, with 74 random bits.
    TaskId, v7
}

database::id! {
    /// One life of one worker process, and the key of its lease: a process whose lease lapsed takes a new id before it claims again.
    WorkerId, v4
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted. Moved on by a claim; if its id was never published or got lost, the sweep publishes it.
    Pending,
    /// Claimed. Moved on by its worker; if that worker's lease lapses, back to `Pending` by the sweep.
    Running,
    /// Ended, with a result. Nothing moves it on.
    Succeeded,
    /// Ended, with an error. Nothing moves it on.
    Failed,
    /// Ended at its owner's wish. Nothing moves it on.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word for it in the database, the API and the outcome log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task has ended: it never changes again.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a task may go from here to `next` in one step.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Pending, Self::Running | Self::Cancelled)
                | (Self::Running, Self::Pending | Self::Succeeded | Self::Failed | Self::Cancelled)
        )
    }
}

/// No status has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a status is one of pending, running, succeeded, failed, cancelled")]
pub struct InvalidStatus;

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(name: &str) -> Result<Self, InvalidStatus> {
        Self::ALL.into_iter().find(|status| status.name() == name).ok_or(InvalidStatus)
    }
}

/// A task as its row stands, without the upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The promise id.
    pub id: TaskId,
    /// What sort of work it is.
    pub kind: RowKind,
    /// Where it stands.
    pub status: Status,
    /// Who has handed it in, if he was logged in.
    pub owner: Option<UserId>,
    /// When it was recorded.
    pub created: Time,
    /// When the last attempt was claimed.
    pub started: Option<Time>,
    /// When it ended.
    pub finished: Option<Time>,
    /// How often it was claimed.
    pub attempt: i64,
    /// What to work on, as its kind's `Input` in JSON.
    pub input: Value,
    /// What came of it, as its kind's `Output` in JSON.
    pub result: Option<Value>,
    /// Why it failed or was cancelled; while it waits for another try, what went wrong last.
    pub error: Option<TaskError>,
    /// When it is tried again, while it waits for that.
    pub next_attempt: Option<Time>,
    /// The ended task that it takes up again.
    pub retried_from: Option<TaskId>,
    /// Whether its upload lies in the blob store rather than in the row.
    pub has_blob: bool,
    /// Whether its line is in the outcome log.
    pub is_logged: bool,
}

impl Task {
    /// Whether a blob of its own has to be there: until its end, or for ever where those of ended tasks are kept.
    pub(crate) fn needs_blob(&self, keep_uploads: bool) -> bool {
        keep_uploads || !self.status.is_ended()
    }

    /// How far it has come. Never goes back from one commit to the next, so that of two looks the older can be told:
    /// each claim counts an attempt up, and an attempt goes from running to pending or to its end.
    pub(crate) fn progress(&self) -> (i64, u8) {
        let step = match self.status {
            Status::Running => 0,
            Status::Pending => 1,
            Status::Succeeded | Status::Failed | Status::Cancelled => 2,
        };
        (self.attempt, step)
    }
}

/// A pending task that is to be, or was, published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The promise id.
    pub id: TaskId,
    /// Which kind's queue it goes to.
    pub kind: Kind,
    /// How often the task had been claimed: a mark that comes late must not touch a later attempt.
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
    /// A stable word for programs, such as `worker-lost`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl TaskError {
    /// An error of that code, told in these words.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }

    /// What a cancelled task carries.
    pub fn cancelled() -> Self {
        Self::new("cancelled", "The task was cancelled before it had ended.")
    }

    /// What a task carries that ended `MAX_ATTEMPTS` workers.
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
