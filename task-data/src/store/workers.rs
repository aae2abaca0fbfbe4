//! Worker processes as operators see them: their part of the port, and its queries.

use async_trait::async_trait;
use database::StoreError;
use database::types::{SqlTime, SqlUuid, TimeType, UuidType};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use crate::kinds::RowKind;
use crate::task::{TaskId, Time, WorkerId};

/// The most workers that are listed.
const MOST_WORKERS: i64 = 500;
/// The most running tasks that are listed of a worker.
const MOST_TASKS: i64 = 10;

/// A worker process that has a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerState {
    /// The id of its lease.
    pub id: WorkerId,
    /// Its host name and process id.
    pub name: String,
    /// When it was heard of last.
    pub seen: Time,
    /// When its lease lapses.
    pub lease_until: Time,
    /// Whether it is to take nothing more.
    pub is_draining: bool,
    /// The number of its running tasks.
    pub running: i64,
    /// The 10 of these that have run longest.
    pub tasks: Vec<RunningTask>,
}

/// A task that a worker runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningTask {
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: RowKind,
    /// When its attempt began.
    pub started: Option<Time>,
}

/// The worker processes.
#[async_trait]
pub trait Workers: Send + Sync {
    /// Returns up to 500 workers by their names, each with the tasks that have run longest.
    async fn workers(&self) -> Result<Vec<WorkerState>, StoreError>;

    /// Records whether a worker is to take nothing more, of which its next heartbeat tells it. Returns `false` if it has no lease.
    async fn drain(&self, worker: WorkerId, is_draining: bool) -> Result<bool, StoreError>;
}

/// A row of [`workers`].
#[derive(QueryableByName)]
pub(super) struct WorkerRow {
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = TimeType)]
    seen_at: SqlTime,
    #[diesel(sql_type = TimeType)]
    lease_until: SqlTime,
    #[diesel(sql_type = Bool)]
    draining: bool,
    #[diesel(sql_type = BigInt)]
    running: i64,
}

/// A row of [`running_tasks`].
#[derive(QueryableByName)]
pub(super) struct RunningTaskRow {
    #[diesel(sql_type = UuidType)]
    worker: SqlUuid,
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Nullable<TimeType>)]
    started: Option<SqlTime>,
}

/// Selects the workers, each with the number of its running tasks.
pub(super) fn workers() -> String {
    format!(
        "SELECT id, name, seen_at, lease_until, draining, coalesce(held.running, 0) AS running \
         FROM workers LEFT JOIN (SELECT worker, count(*) AS running FROM tasks WHERE tasks.status = 'running' GROUP BY worker) AS held \
             ON held.worker = workers.id \
         ORDER BY name, id LIMIT {MOST_WORKERS}"
    )
}

/// Selects the running tasks of each worker that have run longest.
pub(super) fn running_tasks() -> String {
    format!(
        "SELECT worker, id, kind, started \
         FROM (SELECT worker, id, kind, started, row_number() OVER (PARTITION BY worker ORDER BY started, id) AS place \
               FROM tasks WHERE tasks.status = 'running' AND worker IN (SELECT id FROM workers ORDER BY name, id LIMIT {MOST_WORKERS})) AS held \
         WHERE place <= {MOST_TASKS} ORDER BY worker, place"
    )
}

/// Makes workers of the rows of both queries.
pub(super) fn of_rows(workers: Vec<WorkerRow>, tasks: Vec<RunningTaskRow>) -> Vec<WorkerState> {
    let state = |row: WorkerRow| WorkerState {
        id: WorkerId(row.id.0),
        name: row.name,
        seen: row.seen_at.into(),
        lease_until: row.lease_until.into(),
        is_draining: row.draining,
        running: row.running,
        tasks: tasks.iter().filter(|task| task.worker == row.id).map(RunningTask::from).collect(),
    };
    workers.into_iter().map(state).collect()
}

impl From<&RunningTaskRow> for RunningTask {
    fn from(row: &RunningTaskRow) -> Self {
        Self { id: row.id.into(), kind: row.kind.clone().into(), started: row.started.map(Time::from) }
    }
}
