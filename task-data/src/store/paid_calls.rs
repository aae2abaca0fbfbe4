//! The ledger of what is paid for: a row for each request to the paid provider, written before it is sent.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use database::StoreError;
use database::schema::{paid_calls, tasks, user_rights, users};
use database::types::{SqlTime, SqlUuid};
use diesel::dsl::{auto_type, delete, exists, select};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::tasks::stands;
use crate::task::{Status, TaskId, Time};

/// What came of writing a call down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaidEntry {
    /// It is written down, and may be made.
    Recorded,
    /// The task's owner has the right `paid` no longer.
    NotAllowed,
    /// The attempt was superseded, and nothing is to be sent.
    Superseded,
}

/// Requests to the paid provider.
#[async_trait]
pub trait PaidCalls: Send + Sync {
    /// Writes down that a running task is about to be sent to the paid provider: because the free one is blocked, for as long
    /// as that at least, or because it was asked for. Nothing is written, and nothing is to be sent, where the task's owner may not
    /// have it sent now, or the attempt was superseded. May be repeated.
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<PaidEntry, StoreError>;

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

/// Whether the task runs in that attempt, and whether its owner may have it sent to the paid provider.
#[auto_type]
pub fn may_be_paid(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let task: runs_in = runs_in(id, attempt, is_running);
    let owner: has_right = has_right(id);
    select((exists(task), exists(owner)))
}

impl From<(bool, bool)> for PaidEntry {
    /// What `may_be_paid` comes to.
    fn from(found: (bool, bool)) -> Self {
        match found {
            (true, true) => Self::Recorded,
            (true, false) => Self::NotAllowed,
            (false, _) => Self::Superseded,
        }
    }
}

/// The right without which no task may use the paid provider.
const PAID: &str = "paid";

#[auto_type]
fn has_right(id: SqlUuid) -> _ {
    let paid: &'static str = PAID;
    tasks::table
        .inner_join(users::table.on(tasks::owner.eq(users::id.nullable())))
        .inner_join(user_rights::table.on(user_rights::user_id.eq(users::id)))
        .filter(tasks::id.eq(id))
        .filter(users::disabled.is_null())
        .filter(user_rights::right_name.eq(paid))
}

#[auto_type]
fn runs_in(id: SqlUuid, attempt: i64, is_running: SqlLiteral<Bool>) -> _ {
    tasks::table.filter(tasks::id.eq(id)).filter(tasks::attempt.eq(attempt)).filter(is_running)
}

/// A row to insert.
#[derive(Insertable)]
#[diesel(table_name = paid_calls)]
pub struct NewPaidCall {
    task: SqlUuid,
    attempt: i64,
    at: SqlTime,
    free_blocked_until: Option<SqlTime>,
}

impl NewPaidCall {
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
