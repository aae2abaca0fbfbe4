//! Queries on tasks, written once for each database: values that name no database until they are run.

use std::collections::BTreeMap;

use database::schema::{tasks, workers};
use database::types::{SqlJson, SqlTime, SqlUuid, first_time, now_plus, sql_ids};
use database::{UserId, now};
use diesel::dsl::{CountStar, Eq, auto_type, count, count_star, exists, min, not, select, sql, update};
use diesel::expression::{SqlLiteral, UncheckedBind};
use diesel::helper_types::{self, AsExprOf};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use serde_json::Value;

use super::port::{Rules, Upload};
use super::rows::{CLAIM_COLUMNS, ClaimColumns, RUNNING_COLUMNS, RunningColumns, TASK_COLUMNS, TaskColumns};
use super::types::SqlStatus;
use crate::idempotency::OwnedKey;
use crate::kinds::Kind;
use crate::task::{Status, TaskError, TaskId, Ticket, WorkerId};

/// Selects tasks by their ids.
#[auto_type]
pub fn by_ids(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let columns: TaskColumns = TASK_COLUMNS;
    tasks::table.filter(tasks::id.eq_any(ids)).select(columns)
}

type KeyedColumns = (tasks::idempotency_key, tasks::content_sha256, TaskColumns);

/// Selects tasks by their idempotency keys, of these owners or of anonymous clients; the caller compares the owners.
#[auto_type]
pub fn by_keys(keys: &[OwnedKey]) -> _ {
    let owners: Vec<SqlUuid> = owners_of(keys);
    let keys: Vec<String> = key_texts(keys);
    let columns: KeyedColumns = (tasks::idempotency_key, tasks::content_sha256, TASK_COLUMNS);
    tasks::table
        .filter(tasks::idempotency_key.eq_any(keys))
        .filter(tasks::owner.is_null().or(tasks::owner.eq_any(owners).assume_not_null()))
        .select(columns)
}

fn owners_of(keys: &[OwnedKey]) -> Vec<SqlUuid> {
    keys.iter().filter_map(|key| key.owner).map(|owner| SqlUuid(owner.0)).collect()
}

fn key_texts(keys: &[OwnedKey]) -> Vec<String> {
    keys.iter().map(|key| key.key.to_string()).collect()
}

/// Compares the status in the words of the index that has only tasks of that status.
pub(super) fn in_status(status: Status) -> SqlLiteral<Bool> {
    sql(&format!("tasks.status = '{}'", status.name()))
}

/// Compares the status of a task whose id is known, in words that match no index: if few tasks had that status when the statement was
/// planned, the database would read all of those for the one, however many they have become.
pub(super) fn stands(status: Status) -> SqlLiteral<Bool> {
    sql(&format!("CAST(tasks.status AS text) = '{}'", status.name()))
}

/// Compares the kind with those that this version knows. Each statement that changes rows by their ids, without having read them, includes
/// it: a row of a newer version then neither holds up the others nor is changed.
pub(super) fn is_known() -> SqlLiteral<Bool> {
    sql(&format!("tasks.kind IN ('{}')", Kind::ALL.map(Kind::name).join("', '")))
}

/// Compares the kind with those that are paused. Exact only where statements follow each other, as in SQLite.
pub const IS_NOT_PAUSED: &str = "NOT EXISTS (SELECT 1 FROM pauses WHERE pauses.kind = tasks.kind)";

/// Selects those of the tasks that a claim would take, were their kind not paused.
#[auto_type]
pub fn claimable(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    let is_known: SqlLiteral<Bool> = is_known();
    tasks::table
        .filter(tasks::id.eq_any(ids))
        .filter(is_pending)
        .filter(is_known)
        .filter(tasks::cancel_requested.eq(false))
        .select(tasks::id)
}

/// Claims pending tasks for the worker, if its lease is live.
#[auto_type]
pub fn claim(worker: WorkerId) -> _ {
    let worker: SqlUuid = SqlUuid(worker.0);
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    let is_known: SqlLiteral<Bool> = is_known();
    let running: SqlStatus = SqlStatus(Status::Running);
    let now: now = now();
    let lease: live_lease = live_lease(worker);
    let (no_code, no_detail): (Option<String>, Option<String>) = (None, None);
    let never: Option<SqlTime> = None;
    let published_at: first_time<tasks::published_at, helper_types::Nullable<now>> =
        first_time(tasks::published_at, now.nullable());
    let columns: ClaimColumns = CLAIM_COLUMNS;
    update(tasks::table)
        .filter(is_pending)
        .filter(is_known)
        .filter(tasks::cancel_requested.eq(false))
        .filter(exists(lease))
        .set((
            tasks::status.eq(running),
            tasks::attempt.eq(tasks::attempt + 1_i64),
            tasks::worker.eq(worker),
            tasks::started.eq(now.nullable()),
            // A task that is claimed soon is never marked as published: the claim proves that it was.
            tasks::published_at.eq(published_at),
            // The error is cleared: what the task waited for is over.
            tasks::error_code.eq(no_code),
            tasks::error_detail.eq(no_detail),
            tasks::next_attempt.eq(never),
        ))
        .returning(columns)
}

type SmallColumns = (ClaimColumns, now);

/// Selects those of these tasks that may be done without a claim: no worker has had them.
#[auto_type]
pub fn small(ids: &[TaskId], bytes: i64) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let kind: &'static str = Kind::Md5.name();
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    let is_small: UncheckedBind<SqlLiteral<Bool>, AsExprOf<i64, BigInt>> = is_small(bytes);
    let columns: SmallColumns = (CLAIM_COLUMNS, now());
    tasks::table
        .filter(tasks::id.eq_any(ids))
        .filter(tasks::kind.eq(kind))
        .filter(is_pending)
        .filter(tasks::attempt.eq(0_i64))
        .filter(tasks::cancel_requested.eq(false))
        .filter(is_small)
        .select(columns)
}

/// Compares the length of the upload in the row.
fn is_small(bytes: i64) -> UncheckedBind<SqlLiteral<Bool>, AsExprOf<i64, BigInt>> {
    sql::<Bool>("octet_length(content) <= ").bind::<BigInt, _>(bytes)
}

/// Selects the worker's row while its lease is live.
#[auto_type]
pub fn live_lease(worker: SqlUuid) -> _ {
    let now: now = now();
    workers::table.filter(workers::id.eq(worker)).filter(workers::lease_until.gt(now))
}

/// Selects the running rows of these tasks.
#[auto_type]
pub fn running(ids: &[TaskId]) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let columns: RunningColumns = RUNNING_COLUMNS;
    tasks::table.filter(tasks::id.eq_any(ids)).filter(is_running).select(columns)
}

/// Selects the running rows that no worker holds.
#[auto_type]
pub fn lost() -> _ {
    let is_running: SqlLiteral<Bool> = in_status(Status::Running);
    let is_known: SqlLiteral<Bool> = is_known();
    let columns: RunningColumns = RUNNING_COLUMNS;
    tasks::table
        .filter(is_running)
        .filter(is_known)
        .filter(not(exists(workers::table.filter(workers::id.nullable().eq(tasks::worker)))))
        .select(columns)
}

/// Selects the worker's running rows that were claimed over `seconds` ago or are to be cancelled.
#[auto_type]
pub fn held(worker: WorkerId, seconds: f64) -> _ {
    let worker: SqlUuid = SqlUuid(worker.0);
    let is_running: SqlLiteral<Bool> = in_status(Status::Running);
    let ago: f64 = -seconds;
    tasks::table
        .filter(is_running)
        .filter(tasks::worker.eq(worker))
        .filter(
            tasks::cancel_requested
                .eq(true)
                .or(tasks::started.lt(now_plus(ago).nullable()).assume_not_null()),
        )
        .select((tasks::id, tasks::attempt, tasks::cancel_requested))
}

/// Makes a task that runs in that attempt `pending`, due in so many seconds, with the reason that it waits for.
#[auto_type]
pub fn release(id: TaskId, attempt: i64, tries: i32, error: Option<TaskError>, seconds: f64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let no_worker: Option<SqlUuid> = None;
    let never: Option<SqlTime> = None;
    let code: Option<String> = error.as_ref().map(|error| error.code.clone());
    let detail: Option<String> = error.map(|error| error.detail);
    update(tasks::table).filter(tasks::id.eq(id)).filter(tasks::attempt.eq(attempt)).filter(is_running).set((
        tasks::status.eq(pending),
        tasks::tries.eq(tries),
        tasks::worker.eq(no_worker),
        tasks::published_at.eq(never),
        tasks::sweep_at.eq(now_plus(seconds)),
        tasks::error_code.eq(code),
        tasks::error_detail.eq(detail),
        tasks::next_attempt.eq(now_plus(seconds).nullable()),
    ))
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEnd {
    /// The status that the task must have before.
    pub from: Status,
    /// Whether the attempt that ends begins here too, because nothing claimed it: [`Tasks::small`](super::Tasks::small).
    pub is_whole_attempt: bool,
    pub status: Status,
    pub result: Option<Value>,
    pub error: Option<TaskError>,
}

type AttemptBegins = Option<(Eq<tasks::attempt, i64>, Eq<tasks::started, helper_types::Nullable<now>>)>;
type ContentGoes = Option<Eq<tasks::content, Option<Vec<u8>>>>;

/// Ends a task that has the status given, and the attempt, or the one before if this is a whole one, which begins here: so its kind must not
/// be paused.
#[auto_type]
pub fn end(id: TaskId, attempt: i64, end: TaskEnd, rules: Rules) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let before: i64 = attempt - i64::from(end.is_whole_attempt);
    let begins: AttemptBegins = attempt_begins(attempt, &end);
    let is_to_end: SqlLiteral<Bool> = is_to_end(&end);
    let status: SqlStatus = SqlStatus(end.status);
    let content: ContentGoes = content_goes(rules, end.status);
    let result: Option<SqlJson> = end.result.map(SqlJson);
    let code: Option<String> = end.error.as_ref().map(|error| error.code.clone());
    let detail: Option<String> = end.error.map(|error| error.detail);
    let no_worker: Option<SqlUuid> = None;
    let never: Option<SqlTime> = None;
    let now: now = now();
    update(tasks::table).filter(tasks::id.eq(id)).filter(tasks::attempt.eq(before)).filter(is_to_end).set((
        tasks::status.eq(status),
        begins,
        tasks::result.eq(result),
        tasks::error_code.eq(code),
        tasks::error_detail.eq(detail),
        tasks::finished.eq(now.nullable()),
        // For readers and the version before: see the migration of the feed.
        tasks::logged_at.eq(now.nullable()),
        tasks::worker.eq(no_worker),
        tasks::next_attempt.eq(never),
        content,
    ))
}

fn attempt_begins(attempt: i64, end: &TaskEnd) -> AttemptBegins {
    end.is_whole_attempt.then(|| (tasks::attempt.eq(attempt), tasks::started.eq(now().nullable())))
}

fn is_to_end(end: &TaskEnd) -> SqlLiteral<Bool> {
    let may_begin = if end.is_whole_attempt {
        format!(" AND NOT cancel_requested AND {IS_NOT_PAUSED}")
    } else {
        String::new()
    };
    sql(&format!("CAST(tasks.status AS text) = '{}'{may_begin}", end.from.name()))
}

fn content_goes(rules: Rules, status: Status) -> ContentGoes {
    (!rules.keep_uploads.keeps(status)).then(|| tasks::content.eq(None))
}

/// Selects the upload of a task.
#[auto_type]
pub fn upload(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    tasks::table.filter(tasks::id.eq(id)).select((tasks::content, tasks::blob_check))
}

/// A row of [`upload`].
pub type UploadRow = (Option<Vec<u8>>, Option<i64>);

/// Returns the upload in that row.
pub fn into_upload((content, check): UploadRow) -> Option<Upload> {
    content.map(Upload::Inline).or(check.map(|check| Upload::Blob { check }))
}

/// Records that a running task is to be cancelled.
#[auto_type]
pub fn request_cancel(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    update(tasks::table).filter(tasks::id.eq(id)).filter(is_running).set(tasks::cancel_requested.eq(true))
}

/// Published tasks are due again only after this many seconds, a hundred years, when no client waits for them. Until then the index of due
/// tasks shows in which order tasks were published.
const NEVER: f64 = 100.0 * 365.25 * 86_400.0;

/// Groups the ids of these tickets by their attempt.
pub fn by_attempt(tickets: Vec<Ticket>) -> BTreeMap<i64, Vec<TaskId>> {
    let mut ids: BTreeMap<i64, Vec<TaskId>> = BTreeMap::new();
    for Ticket { id, attempt, .. } in tickets {
        ids.entry(attempt).or_default().push(id);
    }
    ids
}

/// Marks tasks that are pending in that attempt as published, and not due any more.
#[auto_type]
pub fn mark_published(attempt: i64) -> _ {
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    let now: now = now();
    let never: f64 = NEVER;
    update(tasks::table)
        .filter(is_pending)
        .filter(tasks::attempt.eq(attempt))
        .set((tasks::published_at.eq(now.nullable()), tasks::sweep_at.eq(now_plus(never))))
}

/// Selects pending tasks whose sweep is due, longest due first.
#[auto_type]
pub fn due(limit: i64) -> _ {
    let is_pending: SqlLiteral<Bool> = in_status(Status::Pending);
    let is_known: SqlLiteral<Bool> = is_known();
    let now: now = now();
    // A clock in a subselect is read once, so that an index serves the comparison.
    let now_once: diesel::dsl::select<now> = select(now);
    tasks::table
        .filter(is_pending)
        .filter(is_known)
        .filter(tasks::sweep_at.nullable().le(now_once.single_value()))
        .order(tasks::sweep_at)
        .limit(limit)
        .select((tasks::id, tasks::kind, tasks::attempt))
}

/// Selects pending tasks of a kind that are due, or that were published over `seconds` ago.
#[auto_type]
pub fn unqueued(kind: Kind, limit: i64, seconds: f64) -> _ {
    let kind: &'static str = kind.name();
    let is_pending: SqlLiteral<Bool> = in_status(Status::Pending);
    let ago: f64 = -seconds;
    let now: now = now();
    let is_due = tasks::sweep_at.le(now);
    let was_published = tasks::published_at.lt(now_plus(ago).nullable()).assume_not_null();
    tasks::table
        .filter(is_pending)
        .filter(tasks::kind.eq(kind))
        .filter(is_due.or(was_published))
        .order(tasks::sweep_at)
        .limit(limit)
        .select(tasks::id)
}

/// Makes the pending ones of these tasks due in so many seconds.
#[auto_type]
pub fn due_in(ids: &[TaskId], seconds: f64) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    update(tasks::table)
        .filter(tasks::id.eq_any(ids))
        .filter(is_pending)
        .set(tasks::sweep_at.eq(now_plus(seconds)))
}

/// Counts the pending tasks.
#[auto_type]
pub fn pending() -> _ {
    let is_pending: SqlLiteral<Bool> = in_status(Status::Pending);
    tasks::table.filter(is_pending).count()
}

type HoldingsColumns = (SqlLiteral<BigInt>, SqlLiteral<BigInt>);

/// Counts the owner's pending tasks, and sums the bytes of all that have not ended. A task without an upload counts the length of its text.
#[auto_type]
pub fn holdings(owner: UserId) -> _ {
    let owner: SqlUuid = SqlUuid(owner.0);
    let columns: HoldingsColumns = holdings_columns();
    tasks::table.filter(tasks::owner.eq(owner)).filter(tasks::finished.is_null()).select(columns)
}

fn holdings_columns() -> HoldingsColumns {
    let pending = sql("count(CASE WHEN status = 'pending' THEN 1 END)");
    // A task without an upload counts the length of its text.
    let bytes = sql(
        "CAST(coalesce(sum(coalesce(CAST(input ->> 'size' AS bigint), octet_length(input ->> 'text'))), 0) AS bigint)",
    );
    (pending, bytes)
}

/// Selects pending tasks of a kind that were published over `seconds` ago, first published first.
#[auto_type]
pub fn published_before(kind: Kind, seconds: f64, limit: i64) -> _ {
    let kind: &'static str = kind.name();
    let is_pending: SqlLiteral<Bool> = in_status(Status::Pending);
    let ago: f64 = -seconds;
    // In the index, published tasks lie between these times; before them lie tasks that rest until their next attempt.
    let (rests_until, due_in): (f64, f64) = (NEVER / 2.0, NEVER - seconds);
    let due_after: diesel::dsl::select<now_plus<f64>> = select(now_plus(rests_until));
    let due_before: diesel::dsl::select<now_plus<f64>> = select(now_plus(due_in));
    tasks::table
        .filter(tasks::kind.eq(kind))
        .filter(is_pending)
        .filter(tasks::sweep_at.nullable().gt(due_after.single_value()))
        .filter(tasks::sweep_at.nullable().le(due_before.single_value()))
        .filter(tasks::published_at.lt(now_plus(ago).nullable()).assume_not_null())
        .order(tasks::sweep_at)
        .limit(limit)
        .select((tasks::id, tasks::kind, tasks::attempt))
}

type StatsColumns = (CountStar, count<tasks::published_at>, helper_types::min<tasks::created>);

/// Counts the tasks of a kind with that status and the published ones among them, and selects the time of the oldest.
#[auto_type]
pub fn stats(kind: Kind, status: Status) -> _ {
    let kind: &'static str = kind.name();
    let stands_there: SqlLiteral<Bool> = in_status(status);
    let columns: StatsColumns = (count_star(), count(tasks::published_at), min(tasks::created));
    tasks::table.filter(stands_there).filter(tasks::kind.eq(kind)).select(columns)
}

type NewerColumns = (tasks::kind, CountStar);

/// Counts the tasks with that status, for each kind that only a newer version knows.
#[auto_type]
pub fn newer_kinds(status: Status) -> _ {
    let stands_there: SqlLiteral<Bool> = in_status(status);
    let is_known: SqlLiteral<Bool> = is_known();
    let columns: NewerColumns = (tasks::kind, count_star());
    tasks::table.filter(stands_there).filter(not(is_known)).group_by(tasks::kind).select(columns)
}
