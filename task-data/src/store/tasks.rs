//! Queries on tasks, written once for each database: values that name no database until they are run.

use diesel::dsl::{Eq, auto_type, exists, not, select, update};
use diesel::prelude::*;
use serde_json::Value;

use super::schema::{tasks, workers};
use super::types::{SqlJson, SqlStatus, SqlTime, SqlUuid, now_plus, sql_ids};
use super::{Claim, Due, Held, NewTask, Rules, Ticket, Upload};
use crate::backoff::Backoff;
use crate::kinds::{Kind, UnknownKind};
use crate::task::{Status, Task, TaskError, TaskId, Time, WorkerId};

/// A task's row without its upload.
#[derive(Queryable)]
pub struct TaskRow {
    id: SqlUuid,
    kind: String,
    status: SqlStatus,
    created: SqlTime,
    started: Option<SqlTime>,
    finished: Option<SqlTime>,
    attempt: i64,
    input: SqlJson,
    result: Option<SqlJson>,
    error_code: Option<String>,
    error_detail: Option<String>,
    blob_check: Option<i64>,
    logged_at: Option<SqlTime>,
}

impl TryFrom<TaskRow> for Task {
    type Error = UnknownKind;

    fn try_from(row: TaskRow) -> Result<Self, UnknownKind> {
        Ok(Self {
            id: row.id.into(),
            kind: row.kind.parse()?,
            status: row.status.0,
            created: row.created.into(),
            started: row.started.map(Time::from),
            finished: row.finished.map(Time::from),
            attempt: row.attempt,
            input: row.input.0,
            result: row.result.map(|json| json.0),
            error: row.error_code.map(|code| TaskError::new(code, row.error_detail.unwrap_or_default())),
            has_blob: row.blob_check.is_some(),
            is_logged: row.logged_at.is_some(),
        })
    }
}

pub type TaskColumns = (
    tasks::id,
    tasks::kind,
    tasks::status,
    tasks::created,
    tasks::started,
    tasks::finished,
    tasks::attempt,
    tasks::input,
    tasks::result,
    tasks::error_code,
    tasks::error_detail,
    tasks::blob_check,
    tasks::logged_at,
);

/// The columns of a [`TaskRow`], in its order.
pub const TASK_COLUMNS: TaskColumns = (
    tasks::id,
    tasks::kind,
    tasks::status,
    tasks::created,
    tasks::started,
    tasks::finished,
    tasks::attempt,
    tasks::input,
    tasks::result,
    tasks::error_code,
    tasks::error_detail,
    tasks::blob_check,
    tasks::logged_at,
);

/// A row to insert.
#[derive(Insertable)]
#[diesel(table_name = tasks, treat_none_as_default_value = false)]
pub struct NewRow {
    id: SqlUuid,
    kind: &'static str,
    status: SqlStatus,
    created: SqlTime,
    input: SqlJson,
    content: Option<Vec<u8>>,
    blob_check: Option<i64>,
    sweep_at: SqlTime,
}

impl NewRow {
    /// The row of a task that is created now.
    pub fn new(new: NewTask, now: Time, sweep_at: Time) -> Self {
        let (content, blob_check) = match new.upload {
            Upload::Inline(bytes) => (Some(bytes), None),
            Upload::Blob { check, .. } => (None, Some(check)),
        };
        Self {
            id: new.id.into(),
            kind: new.kind.name(),
            status: SqlStatus(Status::Pending),
            created: SqlTime(now.0),
            input: SqlJson(new.input),
            content,
            blob_check,
            sweep_at: SqlTime(sweep_at.0),
        }
    }
}

/// What a claim gives.
#[derive(Queryable)]
pub struct ClaimRow {
    id: SqlUuid,
    kind: String,
    attempt: i64,
    tries: i32,
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
            attempt: row.attempt,
            tries: row.tries,
            input: row.input.0,
            content: row.content,
            blob_check: row.blob_check,
        })
    }
}

type ClaimColumns =
    (tasks::id, tasks::kind, tasks::attempt, tasks::tries, tasks::input, tasks::content, tasks::blob_check);

const CLAIM_COLUMNS: ClaimColumns =
    (tasks::id, tasks::kind, tasks::attempt, tasks::tries, tasks::input, tasks::content, tasks::blob_check);

/// What the sweep takes.
pub type DueRow = (SqlUuid, String, i64, Option<SqlTime>);

impl TryFrom<DueRow> for Due {
    type Error = UnknownKind;

    fn try_from((id, kind, attempt, published_at): DueRow) -> Result<Self, UnknownKind> {
        let ticket = Ticket { id: id.into(), kind: kind.parse()?, attempt };
        Ok(Self { ticket, published: published_at.is_some() })
    }
}

impl From<(SqlUuid, i64, bool)> for Held {
    fn from((id, attempt, cancel_requested): (SqlUuid, i64, bool)) -> Self {
        Self { id: id.into(), attempt, cancel_requested }
    }
}

/// Tasks by their ids.
#[auto_type]
pub fn by_ids(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let columns: TaskColumns = TASK_COLUMNS;
    tasks::table.filter(tasks::id.eq_any(ids)).select(columns)
}

/// The database's clock, now.
#[auto_type]
pub fn now() -> _ {
    let seconds: f64 = 0.0;
    now_plus(seconds)
}

/// The pending ones of these tasks become the worker's, if its lease is live.
#[auto_type]
pub fn claim(ids: &[TaskId], worker: WorkerId) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let worker: SqlUuid = SqlUuid(worker.0);
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let running: SqlStatus = SqlStatus(Status::Running);
    let now: now = now();
    let lease: live_lease = live_lease(worker);
    let columns: ClaimColumns = CLAIM_COLUMNS;
    update(tasks::table)
        .filter(tasks::id.eq_any(ids))
        .filter(tasks::status.eq(pending))
        .filter(tasks::cancel_requested.eq(false))
        .filter(exists(lease))
        .set((
            tasks::status.eq(running),
            tasks::attempt.eq(tasks::attempt + 1_i64),
            tasks::worker.eq(worker),
            tasks::started.eq(now.nullable()),
        ))
        .returning(columns)
}

/// The worker's row, while its lease is live.
#[auto_type]
pub fn live_lease(worker: SqlUuid) -> _ {
    let now: now = now();
    workers::table.filter(workers::id.eq(worker)).filter(workers::lease_until.gt(now))
}

/// What a running row says when its attempt is over.
#[derive(Debug, Clone, PartialEq, Queryable)]
pub struct RunningRow {
    pub id: SqlUuid,
    pub attempt: i64,
    pub tries: i32,
    pub cancel_requested: bool,
}

type RunningColumns = (tasks::id, tasks::attempt, tasks::tries, tasks::cancel_requested);
const RUNNING_COLUMNS: RunningColumns = (tasks::id, tasks::attempt, tasks::tries, tasks::cancel_requested);

/// Where a task goes whose attempt is over without an end.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Back to `pending`, with so many tries.
    Again { tries: i32 },
    /// It has ended like that.
    Ended { status: Status, error: TaskError },
}

impl RunningRow {
    /// A wish to cancel goes first; then the bound on tries.
    pub fn next(&self, charge: Option<TaskError>, rules: Rules) -> Next {
        let tries = self.tries + i32::from(charge.is_some());
        match charge {
            _ if self.cancel_requested => {
                Next::Ended { status: Status::Cancelled, error: TaskError::cancelled() }
            }
            Some(error) if tries >= rules.max_attempts => Next::Ended { status: Status::Failed, error },
            _ => Next::Again { tries },
        }
    }

    /// How many seconds a task rests whose worker was lost: not at all the first time, then longer and longer,
    /// so that a task which ends its workers parts from its neighbours.
    pub fn rest_after_loss(&self) -> f64 {
        u32::try_from(self.tries)
            .ok()
            .and_then(|tries| tries.checked_sub(1))
            .map_or(0.0, |again| Backoff::TASK.delay(again).as_secs_f64())
    }
}

/// The running rows of these tasks.
#[auto_type]
pub fn running(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let running: SqlStatus = SqlStatus(Status::Running);
    let columns: RunningColumns = RUNNING_COLUMNS;
    tasks::table.filter(tasks::id.eq_any(ids)).filter(tasks::status.eq(running)).select(columns)
}

/// The running rows that no worker holds.
#[auto_type]
pub fn lost() -> _ {
    let running: SqlStatus = SqlStatus(Status::Running);
    let columns: RunningColumns = RUNNING_COLUMNS;
    tasks::table
        .filter(tasks::status.eq(running))
        .filter(not(exists(workers::table.filter(workers::id.nullable().eq(tasks::worker)))))
        .select(columns)
}

/// The worker's running rows that want cancelling or were claimed over `seconds` ago.
#[auto_type]
pub fn held(worker: WorkerId, seconds: f64) -> _ {
    let worker: SqlUuid = SqlUuid(worker.0);
    let running: SqlStatus = SqlStatus(Status::Running);
    let ago: f64 = -seconds;
    tasks::table
        .filter(tasks::status.eq(running))
        .filter(tasks::worker.eq(worker))
        .filter(
            tasks::cancel_requested
                .eq(true)
                .or(tasks::started.lt(now_plus(ago).nullable()).assume_not_null()),
        )
        .select((tasks::id, tasks::attempt, tasks::cancel_requested))
}

/// Running, in that attempt: to `pending`, due in so many seconds.
#[auto_type]
pub fn release(id: TaskId, attempt: i64, tries: i32, seconds: f64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let running: SqlStatus = SqlStatus(Status::Running);
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let nobody: Option<SqlUuid> = None;
    let never: Option<SqlTime> = None;
    update(tasks::table)
        .filter(tasks::id.eq(id))
        .filter(tasks::attempt.eq(attempt))
        .filter(tasks::status.eq(running))
        .set((
            tasks::status.eq(pending),
            tasks::tries.eq(tries),
            tasks::worker.eq(nobody),
            tasks::published_at.eq(never),
            tasks::sweep_at.eq(now_plus(seconds)),
        ))
}

/// How a task ends.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Where it must stand for that.
    pub from: Status,
    pub status: Status,
    pub result: Option<Value>,
    pub error: Option<TaskError>,
}

type ContentGoes = Option<Eq<tasks::content, Option<Vec<u8>>>>;

/// In that attempt and state: ended.
#[auto_type]
pub fn end(id: TaskId, attempt: i64, end: End, rules: Rules) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let from: SqlStatus = SqlStatus(end.from);
    let status: SqlStatus = SqlStatus(end.status);
    let result: Option<SqlJson> = end.result.map(SqlJson);
    let code: Option<String> = end.error.as_ref().map(|error| error.code.clone());
    let detail: Option<String> = end.error.map(|error| error.detail);
    let nobody: Option<SqlUuid> = None;
    let content: ContentGoes = content_goes(rules);
    let now: now = now();
    update(tasks::table)
        .filter(tasks::id.eq(id))
        .filter(tasks::attempt.eq(attempt))
        .filter(tasks::status.eq(from))
        .set((
            tasks::status.eq(status),
            tasks::result.eq(result),
            tasks::error_code.eq(code),
            tasks::error_detail.eq(detail),
            tasks::finished.eq(now.nullable()),
            tasks::worker.eq(nobody),
            content,
        ))
}

fn content_goes(rules: Rules) -> ContentGoes {
    (!rules.keep_uploads).then(|| tasks::content.eq(None))
}

/// A running task's owner wants it cancelled.
#[auto_type]
pub fn request_cancel(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let running: SqlStatus = SqlStatus(Status::Running);
    update(tasks::table)
        .filter(tasks::id.eq(id))
        .filter(tasks::status.eq(running))
        .set(tasks::cancel_requested.eq(true))
}

/// Published in that attempt, the sweep due again in so many seconds.
#[auto_type]
pub fn mark_published(ids: &[TaskId], attempt: i64, seconds: f64) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let now: now = now();
    update(tasks::table)
        .filter(tasks::id.eq_any(ids))
        .filter(tasks::status.eq(pending))
        .filter(tasks::attempt.eq(attempt))
        .set((tasks::published_at.eq(now.nullable()), tasks::sweep_at.eq(now_plus(seconds))))
}

/// Pending tasks whose sweep is due, the longest due first.
#[auto_type]
pub fn due(limit: i64) -> _ {
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let now: now = now();
    // The clock in a subselect is read once, and so an index serves the comparison.
    let now_once: diesel::dsl::select<now> = select(now);
    tasks::table
        .filter(tasks::status.eq(pending))
        .filter(tasks::sweep_at.nullable().le(now_once.single_value()))
        .order(tasks::sweep_at)
        .limit(limit)
        .select((tasks::id, tasks::kind, tasks::attempt, tasks::published_at))
}

/// The sweep has taken these: due again in so many seconds.
#[auto_type]
pub fn postpone(ids: Vec<SqlUuid>, seconds: f64) -> _ {
    update(tasks::table).filter(tasks::id.eq_any(ids)).set(tasks::sweep_at.eq(now_plus(seconds)))
}

/// How many are pending.
#[auto_type]
pub fn pending() -> _ {
    let pending: SqlStatus = SqlStatus(Status::Pending);
    tasks::table.filter(tasks::status.eq(pending)).count()
}

/// How many of a kind are pending and published.
#[auto_type]
pub fn published_pending(kind: Kind) -> _ {
    let kind: &'static str = kind.name();
    let pending: SqlStatus = SqlStatus(Status::Pending);
    tasks::table
        .filter(tasks::kind.eq(kind))
        .filter(tasks::status.eq(pending))
        .filter(tasks::published_at.is_not_null())
        .count()
}
