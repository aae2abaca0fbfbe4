//! The ledger of what is paid for: a row for each request to the paid provider, written before it is sent.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use diesel::dsl::{auto_type, delete, exists, select};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::StoreError;
use super::schema::{paid_calls, tasks};
use super::tasks::stands;
use super::types::{SqlTime, SqlUuid};
use crate::task::{Status, TaskId, Time};

/// Requests to the paid provider.
#[async_trait]
pub trait PaidCalls: Send + Sync {
    /// Writes down that a running task is about to be sent to the paid provider: because the free one is blocked, for as long
    /// as that at least, or because it was asked for. `false`: the attempt was superseded, and nothing is to be sent. May
    /// be repeated.
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<bool, StoreError>;

    /// Takes back what was written down of a call that is not made after all.
    async fn withdraw_paid_call(&self, id: TaskId, attempt: i64) -> Result<(), StoreError>;
}

/// The row of an attempt goes.
#[auto_type]
pub fn withdraw(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    delete(paid_calls::table).filter(paid_calls::task.eq(id)).filter(paid_calls::attempt.eq(attempt))
}

/// Whether the task runs in that attempt.
#[auto_type]
pub fn runs(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let task: runs_in = runs_in(id, attempt, is_running);
    select(exists(task))
}

#[auto_type]
fn runs_in(id: SqlUuid, attempt: i64, is_running: SqlLiteral<Bool>) -> _ {
    tasks::table.filter(tasks::id.eq(id)).filter(tasks::attempt.eq(attempt)).filter(is_running)
}

/// A row to insert.
#[derive(Insertable)]
#[diesel(table_name = paid_calls)]
pub struct NewRow {
    task: SqlUuid,
    attempt: i64,
    at: SqlTime,
    free_blocked_until: Option<SqlTime>,
}

impl NewRow {
    /// The row of a call that is made now.
    pub fn new(id: TaskId, attempt: i64, now: Time, free_opens_in: Option<Duration>) -> Self {
        let opens = |after| now.0.checked_add_signed(TimeDelta::from_std(after).ok()?).map(SqlTime);
        Self {
            task: id.into(),
            attempt,
            at: SqlTime(now.0),
            free_blocked_until: free_opens_in.and_then(opens),
        }
    }
}
