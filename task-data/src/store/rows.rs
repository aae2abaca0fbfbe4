//! Rows of tasks as queries accept and return them, and the next state of a row whose attempt is over.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use database::UserId;
use database::schema::tasks;
use database::types::{SqlJson, SqlTime, SqlUuid};
use diesel::prelude::*;
use program::Backoff;

use super::port::{Claim, Held, Keyed, KindStats, Moved, NewTask, Payload, Rules};
use super::types::SqlStatus;
use crate::idempotency::{Idempotency, OwnedKey};
use crate::kinds::{Kind, RowKind, UnknownKind};
use crate::task::{Status, Task, TaskError, TaskId, Ticket, Time};

/// A task's row without its upload.
#[derive(Queryable)]
pub struct TaskRow {
    id: SqlUuid,
    kind: String,
    status: SqlStatus,
    owner: Option<SqlUuid>,
    created: SqlTime,
    started: Option<SqlTime>,
    finished: Option<SqlTime>,
    attempt: i64,
    input: SqlJson,
    result: Option<SqlJson>,
    error_code: Option<String>,
    error_detail: Option<String>,
    blob_check: Option<i64>,
    next_attempt: Option<SqlTime>,
    retried_from: Option<SqlUuid>,
}

impl TaskRow {
    pub fn kind(&self) -> RowKind {
        self.kind.clone().into()
    }

    pub fn status(&self) -> Status {
        self.status.0
    }

    pub fn attempt(&self) -> i64 {
        self.attempt
    }
}

/// Converts rows to tasks.
pub fn into_tasks(rows: Vec<TaskRow>) -> Vec<Task> {
    rows.into_iter().map(Task::from).collect()
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        // A row that an earlier version has moved on may still have the time of its next attempt.
        let waits = row.status.0 == Status::Pending && row.error_code.is_some();
        Self {
            id: row.id.into(),
            kind: row.kind.into(),
            status: row.status.0,
            owner: row.owner.map(|owner| UserId(owner.0)),
            created: row.created.into(),
            started: row.started.map(Time::from),
            finished: row.finished.map(Time::from),
            attempt: row.attempt,
            input: row.input.0,
            result: row.result.map(|json| json.0),
            error: row.error_code.map(|code| TaskError::new(code, row.error_detail.unwrap_or_default())),
            has_blob: row.blob_check.is_some(),
            next_attempt: row.next_attempt.filter(|_| waits).map(Time::from),
            retried_from: row.retried_from.map(TaskId::from),
        }
    }
}

pub type TaskColumns = (
    tasks::id,
    tasks::kind,
    tasks::status,
    tasks::owner,
    tasks::created,
    tasks::started,
    tasks::finished,
    tasks::attempt,
    tasks::input,
    tasks::result,
    tasks::error_code,
    tasks::error_detail,
    tasks::blob_check,
    tasks::next_attempt,
    tasks::retried_from,
);

/// The columns of a [`TaskRow`], in its order.
pub const TASK_COLUMNS: TaskColumns = (
    tasks::id,
    tasks::kind,
    tasks::status,
    tasks::owner,
    tasks::created,
    tasks::started,
    tasks::finished,
    tasks::attempt,
    tasks::input,
    tasks::result,
    tasks::error_code,
    tasks::error_detail,
    tasks::blob_check,
    tasks::next_attempt,
    tasks::retried_from,
);

/// A row to insert.
#[derive(Insertable)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
pub struct NewTaskRow {
    id: SqlUuid,
    kind: &'static str,
    status: SqlStatus,
    owner: Option<SqlUuid>,
    idempotency_key: Option<String>,
    content_sha256: Option<Vec<u8>>,
    created: SqlTime,
    input: SqlJson,
    content: Option<Vec<u8>>,
    blob_check: Option<i64>,
    sweep_at: SqlTime,
    retried_from: Option<SqlUuid>,
}

impl NewTaskRow {
    /// Creates the row of a task that is created now.
    pub fn new(new: NewTask, now: Time, sweep_at: Time) -> Self {
        let (content, blob_check) = match new.payload {
            Payload::None => (None, None),
            Payload::Inline(bytes) => (Some(bytes), None),
            Payload::Blob { check, .. } => (None, Some(check)),
        };
        let (idempotency_key, content_sha256) = idempotency_columns(new.idempotency);
        Self {
            id: new.id.into(),
            kind: new.kind.name(),
            status: SqlStatus(Status::Pending),
            owner: new.owner.map(|owner| SqlUuid(owner.0)),
            idempotency_key,
            content_sha256,
            created: SqlTime(now.0),
            input: SqlJson(new.input),
            content,
            blob_check,
            sweep_at: SqlTime(sweep_at.0),
            retried_from: new.retried_from.map(SqlUuid::from),
        }
    }
}

/// Returns the values of the two columns.
pub fn idempotency_columns(idempotency: Option<Idempotency>) -> (Option<String>, Option<Vec<u8>>) {
    idempotency.map(|Idempotency { key, content_sha256 }| (key.to_string(), content_sha256.to_vec())).unzip()
}

/// A task's row with its idempotency key and the SHA-256 of its content.
pub type KeyedRow = (Option<String>, Option<Vec<u8>>, TaskRow);

/// Converts rows to the tasks that these keys belong to.
pub fn into_keyed(rows: Vec<KeyedRow>, keys: &[OwnedKey]) -> Vec<Keyed> {
    let keys: HashSet<&OwnedKey> = keys.iter().collect();
    let mut keyed = Vec::with_capacity(rows.len());
    for (key, sha256, row) in rows {
        let key = key.and_then(|key| key.parse().ok());
        let sha256 = sha256.and_then(|sha256| sha256.try_into().ok());
        // The insert sets both or neither; a row that lacks one has no key.
        if let (Some(key), Some(content_sha256)) = (key, sha256) {
            let keyed_task = Keyed { idempotency: Idempotency { key, content_sha256 }, task: row.into() };
            if keys.contains(&keyed_task.owned_key()) {
                keyed.push(keyed_task);
            }
        }
    }
    keyed
}

/// A claimed row.
#[derive(Queryable)]
pub struct ClaimRow {
    id: SqlUuid,
    kind: String,
    attempt: i64,
    tries: i32,
    created: SqlTime,
    started: Option<SqlTime>,
    input: SqlJson,
    content: Option<Vec<u8>>,
    blob_check: Option<i64>,
}

impl TryFrom<ClaimRow> for Claim {
    type Error = UnknownKind;

    fn try_from(row: ClaimRow) -> Result<Self, UnknownKind> {
        Ok(Self {
            id: row.id.into(),
            kind: row.kind.parse()?,
            status: Status::Running,
            attempt: row.attempt,
            tries: row.tries,
            waited: row.started.and_then(|at| (at.0 - row.created.0).to_std().ok()).unwrap_or_default(),
            at: Instant::now(),
            input: row.input.0,
            content: row.content,
            blob_check: row.blob_check,
        })
    }
}

/// A pending row that was only read, and the database's time.
pub type SmallRow = (ClaimRow, SqlTime);

/// Converts rows to what their ends need.
pub fn into_small(rows: Vec<SmallRow>) -> Result<Vec<Claim>, UnknownKind> {
    let small = |(row, now): SmallRow| {
        let row = ClaimRow { attempt: row.attempt + 1, started: Some(now), ..row };
        Ok(Claim { status: Status::Pending, ..row.try_into()? })
    };
    rows.into_iter().map(small).collect()
}

pub type ClaimColumns = (
    tasks::id,
    tasks::kind,
    tasks::attempt,
    tasks::tries,
    tasks::created,
    tasks::started,
    tasks::input,
    tasks::content,
    tasks::blob_check,
);

/// The columns of a [`ClaimRow`], in its order.
pub const CLAIM_COLUMNS: ClaimColumns = (
    tasks::id,
    tasks::kind,
    tasks::attempt,
    tasks::tries,
    tasks::created,
    tasks::started,
    tasks::input,
    tasks::content,
    tasks::blob_check,
);

/// The row of a task to publish: id, kind, attempt.
pub type TicketRow = (SqlUuid, String, i64);

impl TryFrom<TicketRow> for Ticket {
    type Error = UnknownKind;

    fn try_from((id, kind, attempt): TicketRow) -> Result<Self, UnknownKind> {
        Ok(Self { id: id.into(), kind: kind.parse()?, attempt })
    }
}

impl From<(SqlUuid, i64, bool)> for Held {
    fn from((id, attempt, cancel_requested): (SqlUuid, i64, bool)) -> Self {
        Self { id: id.into(), attempt, cancel_requested }
    }
}

/// The columns of a running row that decide its next state.
#[derive(Debug, Clone, PartialEq, Queryable)]
pub struct RunningRow {
    pub id: SqlUuid,
    pub kind: String,
    pub attempt: i64,
    pub tries: i32,
    pub cancel_requested: bool,
    pub worker: Option<SqlUuid>,
    pub started: Option<SqlTime>,
}

pub type RunningColumns = (
    tasks::id,
    tasks::kind,
    tasks::attempt,
    tasks::tries,
    tasks::cancel_requested,
    tasks::worker,
    tasks::started,
);
/// The columns of a [`RunningRow`], in its order.
pub const RUNNING_COLUMNS: RunningColumns = (
    tasks::id,
    tasks::kind,
    tasks::attempt,
    tasks::tries,
    tasks::cancel_requested,
    tasks::worker,
    tasks::started,
);

/// The next state of a task whose attempt is over without an end.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// `pending` again, with that many charged attempts, and the error or reason to wait.
    Again { tries: i32, error: Option<TaskError> },
    /// Ended with that status and error.
    Ended { status: Status, error: TaskError },
}

impl RunningRow {
    /// Returns the next state: a request to cancel comes first, then the limit on attempts.
    pub fn next(&self, charge: Option<TaskError>, waits_for: Option<TaskError>, rules: Rules) -> Next {
        let tries = self.tries + i32::from(charge.is_some());
        match charge {
            _ if self.cancel_requested => {
                Next::Ended { status: Status::Cancelled, error: TaskError::cancelled() }
            }
            Some(error) if tries >= rules.max_attempts => Next::Ended { status: Status::Failed, error },
            charge => Next::Again { tries, error: charge.or(waits_for) },
        }
    }

    /// Returns the task in its next state.
    pub fn moved(&self, next: Next) -> Moved {
        let (status, error) = match next {
            Next::Again { .. } => (Status::Pending, None),
            Next::Ended { status, error } => (status, Some(error)),
        };
        Moved { id: self.id.into(), kind: self.kind.clone().into(), attempt: self.attempt, status, error }
    }

    /// Returns how many seconds a task of a lost worker rests: none the first time, then longer and longer, so that a task that kills its
    /// workers separates from its neighbours.
    pub fn rest_after_loss(&self) -> f64 {
        u32::try_from(self.tries)
            .ok()
            .and_then(|tries| tries.checked_sub(1))
            .map_or(0.0, |again| Backoff::TASK.delay(again).as_secs_f64())
    }
}

/// The row of `tasks::stats`.
pub type StatsRow = (i64, i64, Option<SqlTime>);

impl KindStats {
    /// Combines the rows of both statuses at the database's time.
    pub(super) fn from_rows(kind: Kind, pending: StatsRow, running: StatsRow, now: Time) -> Self {
        let (count, published, oldest) = pending;
        let age = oldest.as_ref().and_then(|oldest| (now.0 - oldest.0).to_std().ok());
        Self {
            kind,
            pending: count,
            unpublished: count - published,
            running: running.0,
            oldest: oldest.map(Time::from),
            oldest_pending: age.unwrap_or_default(),
        }
    }
}

/// Sums the counts of each name.
pub fn summed(counts: Vec<(String, i64)>) -> Vec<(String, i64)> {
    let mut sums = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_insert(0) += count;
    }
    sums.into_iter().collect()
}
