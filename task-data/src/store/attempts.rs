//! The attempts of a task: those that went wrong have rows of their own, the last one is in the task's row; and the tasks that do it again.

use database::schema::{attempts, tasks};
use database::types::{SqlTime, SqlUuid, now};
use diesel::dsl::{auto_type, insert_into, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::port::{Attempt, Retry};
use super::rows::RunningRow;
use crate::task::{Status, TaskError, TaskId, Time, WorkerId};

/// Inserts the attempt of a running row that ends now, with the error that is charged for it.
#[auto_type]
pub fn record(row: &RunningRow, error: &TaskError) -> _ {
    let id: SqlUuid = row.id;
    let attempt: i64 = row.attempt;
    let worker: Option<SqlUuid> = row.worker;
    let started: Option<SqlTime> = row.started;
    let code: String = error.code.clone();
    let detail: String = error.detail.clone();
    insert_into(attempts::table).values((
        attempts::task.eq(id),
        attempts::attempt.eq(attempt),
        attempts::worker.eq(worker),
        attempts::started.eq(started),
        attempts::ended.eq(now()),
        attempts::error_code.eq(code),
        attempts::error_detail.eq(detail),
    ))
}

/// Selects the recorded attempts of a task, first one first.
#[auto_type]
pub fn recorded(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    attempts::table.filter(attempts::task.eq(id)).order(attempts::attempt)
}

type LastColumns =
    (tasks::attempt, tasks::worker, tasks::started, tasks::finished, tasks::error_code, tasks::error_detail);

/// Selects the attempt that a task's row tells of: the one that runs, or that has ended it.
#[auto_type]
pub fn last(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let columns: LastColumns = (
        tasks::attempt,
        tasks::worker,
        tasks::started,
        tasks::finished,
        tasks::error_code,
        tasks::error_detail,
    );
    tasks::table.filter(tasks::id.eq(id)).filter(tasks::attempt.gt(0_i64)).select((tasks::status, columns))
}

/// The most retries of a task that are told of.
const RETRIES: i64 = 10;

type RetryColumns = (tasks::id, tasks::status, tasks::finished);

/// Selects the newest tasks that do a task again, newest first.
#[auto_type]
pub fn retries(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let columns: RetryColumns = (tasks::id, tasks::status, tasks::finished);
    let most: i64 = RETRIES;
    // In a form that the primary key has not: along it, most of the table would be read for a task without a retry.
    let newest: SqlLiteral<Bool> = sql("CAST(tasks.id AS text) DESC");
    tasks::table.filter(tasks::retried_from.eq(id)).order(newest).limit(most).select(columns)
}

/// A row of [`retries`].
pub type RetryRow = (SqlUuid, super::types::SqlStatus, Option<SqlTime>);

/// Returns the retries.
pub fn into_retries(rows: Vec<RetryRow>) -> Vec<Retry> {
    let retry = |(id, status, finished): RetryRow| Retry {
        id: TaskId::from(id),
        status: status.0,
        finished: finished.map(Time::from),
    };
    rows.into_iter().map(retry).collect()
}

/// A row of [`recorded`]: all columns.
pub type RecordedRow = (SqlUuid, i64, Option<SqlUuid>, Option<SqlTime>, SqlTime, String, String);

/// A row of [`last`].
pub type LastRow = (
    super::types::SqlStatus,
    (i64, Option<SqlUuid>, Option<SqlTime>, Option<SqlTime>, Option<String>, Option<String>),
);

/// Returns the attempts, first one first.
pub fn into_attempts(recorded: Vec<RecordedRow>, last: Option<LastRow>) -> Vec<Attempt> {
    let attempt =
        |number, worker: Option<SqlUuid>, started: Option<SqlTime>, ended: Option<SqlTime>, error| {
            let (started, ended) = (started.map(Time::from), ended.map(Time::from));
            Attempt { number, worker: worker.map(|id| WorkerId(id.0)), started, ended, error }
        };
    let mut attempts: Vec<Attempt> = recorded
        .into_iter()
        .map(|(_, number, worker, started, ended, code, detail)| {
            attempt(number, worker, started, Some(ended), Some(TaskError { code, detail }))
        })
        .collect();
    if let Some((status, (number, worker, started, finished, code, detail))) = last
        // A task that waits has put its last attempt behind it; what was charged for one is recorded.
        && status.0 != Status::Pending
        && attempts.last().is_none_or(|attempt| attempt.number < number)
    {
        let error = code.map(|code| TaskError { code, detail: detail.unwrap_or_default() });
        attempts.push(attempt(number, worker, started, finished, error));
    }
    attempts
}
