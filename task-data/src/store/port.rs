//! What the port to the tasks' rows takes and gives, and its traits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::{PoolUse, StoreError, UserId};
use serde_json::Value;
use shared_log::Head;

use crate::idempotency::{Idempotency, OwnedKey};
use crate::kinds::md5::Md5Digest;
use crate::kinds::{Kind, RowKind, UnknownKind};
use crate::task::{Status, Task, TaskError, TaskId, Ticket, Time, WorkerId};

/// What decides how attempts and uploads end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Tries after which a task fails; at least 1.
    pub max_attempts: i32,
    /// Whether the uploads of ended tasks stay.
    pub keep_uploads: bool,
}

/// A row to be.
#[derive(Debug, Clone)]
pub struct NewTask {
    /// The promise id.
    pub id: TaskId,
    /// What sort of work it is.
    pub kind: Kind,
    /// Who has handed it in, if he was logged in.
    pub owner: Option<UserId>,
    /// Its kind's `Input` in JSON.
    pub input: Value,
    /// Where the upload is.
    pub payload: Payload,
    /// What makes a repetition of it the same task, if its client has said so.
    pub idempotency: Option<Idempotency>,
    /// The ended task that it takes up again.
    pub retried_from: Option<TaskId>,
}

impl NewTask {
    /// Its idempotency key, if it has one.
    pub fn owned_key(&self) -> Option<OwnedKey> {
        let key = self.idempotency.as_ref()?.key.clone();
        Some(OwnedKey { key, owner: self.owner })
    }

    /// The task that it has become.
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
            is_logged: false,
        }
    }
}

/// A task that an idempotency key stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed {
    /// The key, which is its owner's alone, and the content that first came under it.
    pub idempotency: Idempotency,
    /// What was made of it.
    pub task: Task,
}

impl Keyed {
    /// The key that stands for it.
    pub fn owned_key(&self) -> OwnedKey {
        OwnedKey { key: self.idempotency.key.clone(), owner: self.task.owner }
    }
}

/// Where a recorded upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// There is none: the input is all.
    None,
    /// In the row.
    Inline(Vec<u8>),
    /// In the blob store, durable.
    Blob {
        /// XXH3 of the bytes.
        check: i64,
        /// The database's time before the blob was made durable. 30 s later the row is refused: a process that
        /// slept must not promise bytes that the orphan sweep may have taken meanwhile.
        since: Time,
    },
}

/// How long after [`Payload::Blob::since`] a row with a blob is still taken.
pub const BLOB_IS_FRESH: Duration = Duration::from_secs(30);

/// The right to finish one attempt of one task, with all that the work needs.
///
/// Holding it proves nothing later: [`Tasks::complete`] checks `attempt` and `status` again.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The promise id.
    pub id: TaskId,
    /// What sort of work it is.
    pub kind: Kind,
    /// 1 for the first attempt; goes up at every claim and never down, so a late writer can be told.
    pub attempt: i64,
    /// How many attempts ended badly so far.
    pub tries: i32,
    /// How long the task had been there when it was claimed, by the database's clock.
    pub waited: Duration,
    /// When it was claimed, by this process's.
    pub at: Instant,
    /// Its kind's `Input` in JSON.
    pub input: Value,
    /// The upload, if it travels in the row.
    pub content: Option<Vec<u8>>,
    /// XXH3 of the upload, if it lies in the blob store.
    pub blob_check: Option<i64>,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The tasks that are now ours. An id that is missing is someone else's, or has ended.
    pub claimed: Vec<Claim>,
    /// Whether our own lease was live. If not, nothing was claimed: register anew, then claim again.
    pub lease_is_live: bool,
}

/// How an attempt ended for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The promise id.
    pub id: TaskId,
    /// The attempt that did it.
    pub attempt: i64,
    /// The kind's `Output` in JSON, or why there is none.
    pub outcome: Result<Value, TaskError>,
}

/// An attempt that ended without an end for the task.
#[derive(Debug, Clone, PartialEq)]
pub struct HandBack {
    /// The promise id.
    pub id: TaskId,
    /// The attempt that is given up.
    pub attempt: i64,
    /// From when on the task may be tried again.
    pub after: Duration,
    /// The transient error that is charged as a try; `None` costs nothing (a stop, a wait).
    pub charge: Option<TaskError>,
    /// Tells people what the task waits for, where nothing is charged.
    pub waits_for: Option<TaskError>,
}

/// A task whose attempt is over, as it stands since.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The promise id.
    pub id: TaskId,
    /// What sort of work it is.
    pub kind: RowKind,
    /// The attempt that is over.
    pub attempt: i64,
    /// Pending again, or an end.
    pub status: Status,
    /// Why it has ended, if it has.
    pub error: Option<TaskError>,
}

impl From<Task> for Moved {
    fn from(Task { id, kind, attempt, status, error, .. }: Task) -> Self {
        Self { id, kind, attempt, status, error }
    }
}

/// A running task that its worker should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The promise id.
    pub id: TaskId,
    /// The attempt that runs.
    pub attempt: i64,
    /// Whether its owner wants it cancelled.
    pub cancel_requested: bool,
}

/// What came of a wish to cancel.
#[derive(Debug, Clone, PartialEq)]
pub enum Cancel {
    /// It stands; the task is cancelled, or running with the wish noted.
    Accepted(Task),
    /// The task had ended before.
    Ended(Task),
    /// The task is of a kind that only a newer version knows; nothing was changed.
    Newer(Task),
    /// There is no such task.
    Unknown,
}

/// Which tasks to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of that kind.
    pub kind: Option<Kind>,
    /// Only those that stand there.
    pub status: Option<Status>,
    /// Only those of kind md5 whose result is that digest.
    pub digest: Option<Md5Digest>,
    /// Only those of that owner.
    pub owner: Option<UserId>,
    /// Only those older than this one.
    pub after: Option<TaskId>,
    /// Also those of kinds that only a newer version knows.
    pub with_newer: bool,
    /// At most so many.
    pub limit: i64,
}

/// Bytes of tasks that are listed at a time: for a thousand md5 tasks, whatever their names are.
pub const LIST_BYTES: i64 = 2 << 20;

/// Tasks that were listed.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// What an owner's tasks that have not ended come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// How many are pending.
    pub pending: i64,
    /// Bytes of their uploads and texts, of those that are running too.
    pub bytes: i64,
}

/// What the rows say of a kind's tasks that have not ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KindStats {
    /// Which kind.
    pub kind: Kind,
    /// How many are pending.
    pub pending: i64,
    /// How many of those are not on the queue.
    pub unpublished: i64,
    /// How many are running.
    pub running: i64,
    /// Age of the oldest pending one; zero without any.
    pub oldest_pending: Duration,
}

/// Rows of tasks.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Inserts the rows, `pending`, the sweep due in `grace`; a row whose id or idempotency key is there already is
    /// left alone. Gives the tasks that now stand under these ids, in any order: a missing one was too late
    /// ([`BLOB_IS_FRESH`]), or its key is another task's.
    async fn insert(&self, new: Vec<NewTask>, grace: Duration) -> Result<Vec<Task>, StoreError>;

    /// Those of the tasks that exist, in any order.
    async fn find(&self, ids: Vec<TaskId>) -> Result<Vec<Task>, StoreError>;

    /// What stands under these idempotency keys, in any order.
    async fn keyed(&self, keys: Vec<OwnedKey>) -> Result<Vec<Keyed>, StoreError>;

    /// Tasks by filter, newest first: at most so many, and at most [`LIST_BYTES`] or one.
    async fn list(&self, filter: Filter) -> Result<TaskPage, StoreError>;

    /// Marks tickets as published, and their tasks as not due any more, where they are still pending in the ticket's attempt.
    async fn mark_published(&self, tickets: Vec<Ticket>) -> Result<(), StoreError>;

    /// Takes those of the tasks that are pending, if the worker's lease is live.
    async fn claim(&self, ids: Vec<TaskId>, worker: WorkerId) -> Result<Claims, StoreError>;

    /// Ends tasks that are running in the attempts named. Gives those that it has ended: the others were fenced.
    async fn complete(&self, completions: Vec<Completion>, rules: Rules) -> Result<Vec<TaskId>, StoreError>;

    /// Gives running tasks back: to `pending`, or to `cancelled` if that was wished, or to `failed` with the
    /// charged error at the bound of tries. Gives each as it stands now, fenced ones left out.
    async fn hand_back(&self, returns: Vec<HandBack>, rules: Rules) -> Result<Vec<Moved>, StoreError>;

    /// Cancels a pending task; notes the wish on a running one.
    async fn cancel(&self, id: TaskId, rules: Rules) -> Result<Cancel, StoreError>;

    /// Takes up to `limit` pending tasks whose sweep is due, each due again after `repeat` unless it is marked.
    async fn due(&self, limit: i64, repeat: Duration) -> Result<Vec<Ticket>, StoreError>;

    /// Pending tasks of a kind whose sweep is due or that were published over `published_ago` ago, the longest due
    /// first: what a worker takes while the queue is away.
    async fn unqueued(
        &self,
        kind: Kind,
        limit: i64,
        published_ago: Duration,
    ) -> Result<Vec<TaskId>, StoreError>;

    /// Makes pending tasks due now: the sweep has taken them, and the queue did not.
    async fn due_again(&self, ids: Vec<TaskId>) -> Result<(), StoreError>;

    /// How many tasks are pending.
    async fn pending(&self) -> Result<i64, StoreError>;

    /// What the owner's tasks come to that have not ended. Looks at each of them.
    async fn holdings(&self, owner: UserId) -> Result<Holdings, StoreError>;

    /// Published tasks of a kind that wait since over `ago`, those first that were published first, at most `limit` of them.
    async fn published_before(
        &self,
        kind: Kind,
        ago: Duration,
        limit: i64,
    ) -> Result<Vec<Ticket>, StoreError>;

    /// What the rows of a kind say. Counts all that have not ended: not to be asked often.
    async fn stats(&self, kind: Kind) -> Result<KindStats, StoreError>;

    /// The names of kinds that only a newer version knows, each with how many of its tasks have not ended or have no line.
    /// Looks at all that have not ended: not to be asked often.
    async fn newer_kinds(&self) -> Result<Vec<(String, i64)>, StoreError>;

    /// How the connections are used.
    fn pool_use(&self) -> PoolUse;
}

/// The leases of worker processes, and what they hold.
#[async_trait]
pub trait Leases: Send + Sync {
    /// A new worker with a lease of that length; one that is there already is left alone.
    async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError>;

    /// Extends the lease; `None` if it is gone (the sweep took it: all work is lost). Gives the running tasks
    /// of this worker that its owner wants cancelled, or that were claimed over 10 s ago.
    async fn beat(&self, worker: WorkerId, lease: Duration) -> Result<Option<Vec<Held>>, StoreError>;

    /// Ends the lease.
    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// Deletes lapsed leases and returns running tasks without a lease: `pending` (due now the first time,
    /// later ones backed off), or `cancelled` if that was wished, or `failed` at the bound of tries. Gives
    /// each as it stands now.
    async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError>;

    /// Ends every lease and makes every pending task due now: for the one process of an embedded stack, when it
    /// starts and its queue is empty.
    async fn begin_alone(&self) -> Result<(), StoreError>;

    /// Those of the tasks that nothing moves on: running under no lease or one that lapsed over `lapsed` ago, or pending with a
    /// sweep that was due over `overdue` ago. In any order.
    async fn stuck(
        &self,
        ids: Vec<TaskId>,
        lapsed: Duration,
        overdue: Duration,
    ) -> Result<Vec<TaskId>, StoreError>;

    /// How many leases are live.
    async fn live_leases(&self) -> Result<i64, StoreError>;
}

/// What the outcome log still owes, and how far it got.
#[async_trait]
pub trait Outcomes: Send + Sync {
    /// Where that log was last committed.
    async fn log_head(&self, log: String) -> Result<Option<Head>, StoreError>;

    /// Starts a new generation, if the stored one is still `seen`; `false` otherwise.
    async fn begin_log(&self, log: String, seen: Option<u32>, new: Head) -> Result<bool, StoreError>;

    /// Ended tasks without a line, oldest end first.
    async fn unlogged(&self, limit: i64) -> Result<Vec<Task>, StoreError>;

    /// Marks tasks as logged and moves the head, if it is still of this generation and not yet there; `false`
    /// if it was not moved.
    async fn commit_log(&self, log: String, written: Vec<TaskId>, head: Head) -> Result<bool, StoreError>;
}

impl From<UnknownKind> for StoreError {
    fn from(error: UnknownKind) -> Self {
        Self::Internal(Arc::new(error))
    }
}
