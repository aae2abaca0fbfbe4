//! The port to the tasks' rows: its traits and their types.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::{PoolUse, StoreError, UserId};
use serde_json::Value;

use super::filter::{Filter, ListPlace, TaskCount, TaskPage};
use crate::idempotency::{Idempotency, OwnedKey};
use crate::kinds::{Kind, RowKind, UnknownKind};
use crate::task::{Status, Task, TaskError, TaskId, Ticket, Time, WorkerId};

/// The rules by which attempts and uploads end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The number of charged attempts after which a task fails; at least 1.
    pub max_attempts: i32,
    /// Which uploads are kept.
    pub keep_uploads: KeepUploads,
}

/// The tasks whose uploads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepUploads {
    /// Those that have not ended.
    OfUnended,
    /// Also those that have failed, for a while, so that they can be retried.
    OfFailed,
    /// All.
    OfAll,
}

impl KeepUploads {
    /// Returns whether the upload of a task with that status is kept.
    pub fn keeps(self, status: Status) -> bool {
        match self {
            Self::OfUnended => !status.is_ended(),
            Self::OfFailed => !status.is_ended() || status == Status::Failed,
            Self::OfAll => true,
        }
    }
}

/// A task to insert.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: Kind,
    /// The user who submitted it; `None` if it was submitted anonymously.
    pub owner: Option<UserId>,
    /// The kind's `Input` in JSON.
    pub input: Value,
    /// The payload, and the place where it is kept.
    pub payload: Payload,
    /// The idempotency key and content hash, if the client sent a key.
    pub idempotency: Option<Idempotency>,
    /// The ended task that this one continues.
    pub retried_from: Option<TaskId>,
}

impl NewTask {
    /// Returns the idempotency key in its owner's namespace, if there is a key.
    pub fn owned_key(&self) -> Option<OwnedKey> {
        let key = self.idempotency.as_ref()?.key.clone();
        Some(OwnedKey { key, owner: self.owner })
    }

    /// Returns the task that it becomes at that time.
    pub(crate) fn made(self, created: Time) -> Task {
        Task {
            id: self.id,
            kind: self.kind.into(),
            status: Status::Pending,
            owner: self.owner,
            created,
            started: None,
            finished: None,
            attempt: 0,
            input: self.input,
            result: None,
            error: None,
            has_blob: matches!(self.payload, Payload::Blob { .. }),
            next_attempt: None,
            retried_from: self.retried_from,
        }
    }
}

/// A task that an idempotency key belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed {
    /// The key, in its owner's namespace, and the hash of the content first sent under it.
    pub idempotency: Idempotency,
    /// The task.
    pub task: Task,
}

impl Keyed {
    /// Returns the key in its owner's namespace.
    pub fn owned_key(&self) -> OwnedKey {
        OwnedKey { key: self.idempotency.key.clone(), owner: self.task.owner }
    }
}

/// The place of a recorded upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// No upload: the input is complete without one.
    None,
    /// In the row.
    Inline(Vec<u8>),
    /// In the blob store, durable.
    Blob {
        /// XXH3 of the bytes.
        check: i64,
        /// The database's time before the blob was made durable. 30 s later the row is rejected: a process that slept must not promise
        /// bytes that the orphan sweep may have removed meanwhile.
        since: Time,
    },
}

/// The upload of a task that may have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// In the row.
    Inline(Vec<u8>),
    /// In the blob store, if it was not deleted there.
    Blob {
        /// XXH3 of the bytes.
        check: i64,
    },
}

/// How long after [`Payload::Blob::since`] a row with a blob is accepted.
pub const BLOB_IS_FRESH: Duration = Duration::from_secs(30);

/// An attempt of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its number: 1 for the first.
    pub number: i64,
    /// The worker that had it, as far as the row knows it: the end of a task forgets the worker of its last attempt.
    pub worker: Option<WorkerId>,
    /// When it began.
    pub started: Option<Time>,
    /// When it ended; `None` while it runs.
    pub ended: Option<Time>,
    /// Why it did not succeed; `None` if it did, or runs.
    pub error: Option<TaskError>,
}

/// A task that does an ended one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The ticket.
    pub id: TaskId,
    /// Its status.
    pub status: Status,
    /// When it ended.
    pub finished: Option<Time>,
}

/// The right to finish one attempt of one task, with all that the work needs.
///
/// Holding it proves nothing later: [`Tasks::complete`] checks `attempt` and `status` again. Of small work nothing is claimed, only read.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: Kind,
    /// The status until the task's end: `Running`, or `Pending` if the task was only read.
    pub status: Status,
    /// The attempt: 1 for the first. Each claim increments it, or the end of a task that was only read, so that a late writer can be
    /// detected.
    pub attempt: i64,
    /// The number of attempts charged so far.
    pub tries: i32,
    /// The age of the task when it was claimed or read, by the database's clock.
    pub waited: Duration,
    /// When the task was claimed or read, by this process's clock.
    pub at: Instant,
    /// The kind's `Input` in JSON.
    pub input: Value,
    /// The upload, if it travels in the row.
    pub content: Option<Vec<u8>>,
    /// XXH3 of the upload, if it is in the blob store.
    pub blob_check: Option<i64>,
}

/// The outcome of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The tasks claimed. Another worker has the missing ones, or they have ended, or wait.
    pub claimed: Vec<Claim>,
    /// The tasks that are still pending although the lease was live: their kind is paused, or was when the claim looked. None if any task
    /// was claimed.
    pub waiting: Vec<TaskId>,
    /// Whether this worker's lease was live. If not, nothing was claimed: register again, then claim again.
    pub lease_is_live: bool,
}

/// The final outcome of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The promise id.
    pub id: TaskId,
    /// The status that the task must have before: `Running`, or `Pending` if it was only read.
    pub from: Status,
    /// The attempt that did the work.
    pub attempt: i64,
    /// The kind's `Output` in JSON, or the reason for the failure.
    pub outcome: Result<Value, TaskError>,
}

/// An attempt that ended without ending its task.
#[derive(Debug, Clone, PartialEq)]
pub struct HandBack {
    /// The promise id.
    pub id: TaskId,
    /// The attempt to give up.
    pub attempt: i64,
    /// The time after which the task may be retried.
    pub after: Duration,
    /// The transient error to charge; `None` charges nothing (a stop, a wait).
    pub charge: Option<TaskError>,
    /// Tells people what the task waits for, if nothing is charged.
    pub waits_for: Option<TaskError>,
}

/// A task whose attempt is over, in its new state.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: RowKind,
    /// The attempt that is over.
    pub attempt: i64,
    /// The new status: pending, or an end.
    pub status: Status,
    /// The error, if the task has ended.
    pub error: Option<TaskError>,
}

impl Moved {
    /// Returns those of the tasks that have ended.
    pub(super) fn ended(moved: &[Self]) -> Vec<TaskId> {
        moved.iter().filter(|moved| moved.status.is_ended()).map(|moved| moved.id).collect()
    }
}

impl From<Task> for Moved {
    fn from(Task { id, kind, attempt, status, error, .. }: Task) -> Self {
        Self { id, kind, attempt, status, error }
    }
}

/// A running task that its worker should check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The promise id.
    pub id: TaskId,
    /// The attempt that runs.
    pub attempt: i64,
    /// Whether the owner wants it cancelled.
    pub cancel_requested: bool,
}

/// A heartbeat of a worker that has its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The running tasks of this worker that were claimed over 10 s ago or whose owners want them cancelled.
    pub held: Vec<Held>,
    /// Whether the worker is to take nothing more.
    pub is_draining: bool,
}

/// The outcome of a request to cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancel {
    /// The task is cancelled, or is running and the request is recorded.
    Accepted(Task),
    /// The task had ended before.
    Ended(Task),
    /// The task is of a kind that only a newer version knows; nothing was changed.
    Newer(Task),
    /// The task does not exist.
    Unknown,
}

/// The most bytes of tasks in a page: enough for a thousand md5 tasks, however long their file names are.
pub const LIST_BYTES: i64 = 2 << 20;

/// The load of an owner's tasks that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// The number of pending tasks.
    pub pending: i64,
    /// Bytes of the uploads and texts of pending and running tasks.
    pub bytes: i64,
}

/// Counts of a kind's tasks that have not ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KindStats {
    /// The kind.
    pub kind: Kind,
    /// The number of pending tasks.
    pub pending: i64,
    /// The number of pending tasks that are not on the queue.
    pub unpublished: i64,
    /// The number of running tasks.
    pub running: i64,
    /// When the oldest pending task was inserted, if one is pending.
    pub oldest: Option<Time>,
    /// The age of the oldest pending task; zero if none is pending.
    pub oldest_pending: Duration,
}

/// Rows of tasks.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Inserts the rows as `pending`, with the sweep due in `grace`; skips a row whose id or idempotency key exists already. Returns the
    /// tasks that now exist under these ids, in any order: a missing one was too late ([`BLOB_IS_FRESH`]), or its key belongs to another
    /// task.
    async fn insert(&self, new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError>;

    /// Returns those of the tasks that exist, in any order.
    async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError>;

    /// Returns the tasks that these idempotency keys belong to, in any order.
    async fn keyed(&self, keys: Vec<OwnedKey>) -> Result<Vec<Keyed>, StoreError>;

    /// Lists tasks by filter: up to `limit`, and up to [`LIST_BYTES`] but at least one. Looks at a bounded number of rows: a page may have
    /// fewer tasks, also none, where others lie between.
    async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError>;

    /// Counts the tasks that pass a filter, up to `most`, without regard to its place and limit. Looks at a bounded number of rows.
    async fn count(&self, filter: Filter, most: i64) -> Result<TaskCount, StoreError>;

    /// Counts the tasks of a list among the next so many rows on its way, from the filter's place on. Returns the place where the count goes
    /// on, if there are more rows.
    async fn count_on(&self, filter: Filter, rows: i64) -> Result<(i64, Option<ListPlace>), StoreError>;

    /// Marks tickets as published, and their tasks as not due, where the task is still pending in the ticket's attempt.
    async fn mark_published(&self, tickets: Vec<Ticket>) -> Result<(), StoreError>;

    /// Claims those of the tasks, all of one kind, that are pending, if the worker's lease is live and the kind is not paused.
    async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError>;

    /// Returns those of the tasks that may be done without a claim, to be ended from `Pending`: pending tasks of kind md5 that were never
    /// claimed, with up to `bytes` of content in their rows.
    async fn small(&self, ids: Vec<TaskId>, bytes: i64) -> Result<Vec<Claim>, StoreError>;

    /// Ends tasks: those that are running in the given attempt, or, to be ended from `Pending`, those that are pending after the attempt
    /// before it and not to be cancelled, and whose kind is not paused; the attempt is counted then. Returns those that it has ended: the
    /// others were fenced, or their kind is paused.
    async fn complete(&self, completions: Vec<Completion>, rules: Rules) -> Result<Vec<TaskId>, StoreError>;

    /// Makes running tasks `pending` again, or `cancelled` if that was requested, or `failed` with the charged error when their attempts
    /// are used up. Returns each in its new state, without the fenced ones.
    async fn hand_back(&self, returns: Vec<HandBack>, rules: Rules) -> Result<Vec<Moved>, StoreError>;

    /// Cancels a pending task; records the request on a running one.
    async fn cancel(&self, id: TaskId, rules: Rules) -> Result<Cancel, StoreError>;

    /// Takes up to `limit` pending tasks whose sweep is due; each is due again after `repeat` unless it is marked.
    async fn due(&self, limit: i64, repeat: Duration) -> Result<Vec<Ticket>, StoreError>;

    /// Returns pending tasks of a kind that are due, or that were published over `published_ago` ago, longest due first: the tasks that a
    /// worker claims while the queue is away.
    async fn unqueued(
        &self,
        kind: Kind,
        limit: i64,
        published_ago: Duration,
    ) -> Result<Vec<TaskId>, StoreError>;

    /// Makes pending tasks due now: the sweep took them, but the queue did not confirm them.
    async fn due_again(&self, ids: Vec<TaskId>) -> Result<(), StoreError>;

    /// Returns the attempts of a task, first one first: those that were charged or lost, and the one that runs or has ended it.
    async fn attempts(&self, id: TaskId) -> Result<Vec<Attempt>, StoreError>;

    /// Returns the tasks that do a task again, newest first, at most 10.
    async fn retries(&self, id: TaskId) -> Result<Vec<Retry>, StoreError>;

    /// Returns the upload of a task, if it had one that is still kept in its row, or was kept in the blob store.
    async fn upload(&self, id: TaskId) -> Result<Option<Upload>, StoreError>;

    /// Counts the pending tasks.
    async fn pending(&self) -> Result<i64, StoreError>;

    /// Counts the owner's tasks that have not ended, and their bytes. Reads each of them.
    async fn holdings(&self, owner: UserId) -> Result<Holdings, StoreError>;

    /// Returns up to `limit` published tasks of a kind that have waited for over `ago`, first published first.
    async fn published_before(
        &self,
        kind: Kind,
        ago: Duration,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError>;

    /// Counts the tasks of a kind that have not ended. Reads all of them: call it rarely.
    async fn stats(&self, kind: Kind) -> Result<KindStats, StoreError>;

    /// Returns the names of kinds that only a newer version knows, each with the number of its tasks that have not ended or have no line.
    /// Reads all tasks that have not ended: call it rarely.
    async fn newer_kinds(&self) -> Result<Vec<(String, i64)>, StoreError>;

    /// Returns how the connections are used.
    fn pool_use(&self) -> PoolUse;
}

/// The leases of worker processes, and their tasks.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Registers a worker with a lease of that length; leaves an existing one alone.
    async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError>;

    /// Extends the lease; `None` if it is gone (the sweep took it: all its tasks are lost).
    async fn beat(&self, worker: WorkerId, lease: Duration) -> Result<Option<Beat>, StoreError>;

    /// Ends the lease.
    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// Deletes lapsed leases and moves on running tasks without a lease: to `pending` (due now the first time, later with a growing delay),
    /// or `cancelled` if that was requested, or `failed` when their attempts are used up. Returns each in its new state.
    async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError>;

    /// Ends every lease and makes every pending task due now: for the one process of an embedded stack, when it starts and its queue is
    /// empty.
    async fn begin_alone(&self) -> Result<(), StoreError>;

    /// Returns those of the tasks that nothing moves on, in any order: running without a lease or under one that lapsed over `lapsed` ago,
    /// or pending with a sweep that was due over `overdue` ago.
    async fn stuck(
        &self,
        ids: Vec<TaskId>,
        lapsed: Duration,
        overdue: Duration,
    ) -> Result<Vec<TaskId>, StoreError>;

    /// Counts the live leases.
    async fn live_leases(&self) -> Result<i64, StoreError>;
}

impl From<UnknownKind> for StoreError {
    fn from(error: UnknownKind) -> Self {
        Self::Internal(Arc::new(error))
    }
}
