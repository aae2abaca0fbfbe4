//! The ledger of paid calls: a row for each request to the paid provider, written before the request is sent.

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

/// The outcome of recording a paid call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaidEntry {
    /// The call is recorded, and may be made.
    Recorded,
    /// The task's owner does not have the right `paid` any more.
    NotAllowed,
    /// The attempt was superseded; nothing must be sent.
    Superseded,
}

/// Requests to the paid provider.
#[async_trait]
pub trait PaidCalls: Send + Sync {
    /// Records that a running task is about to be sent to the paid provider: because the free one is blocked, for at least that long, or
    /// because the client chose the paid one. Records nothing, and nothing must be sent, if the task's owner may not use the paid provider
    /// now, or the attempt was superseded. May be repeated.
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<PaidEntry, StoreError>;

    /// Deletes the record of a call that was not made after all.
    async fn withdraw_paid_call(&self, id: TaskId, attempt: i64) -> Result<(), StoreError>;
}

/// Deletes the row of an attempt.
#[auto_type]
pub fn withdraw(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    delete(paid_calls::table).filter(paid_calls::task.eq(id)).filter(paid_calls::attempt.eq(attempt))
}

/// Selects whether the task runs in that attempt.
#[auto_type]
pub fn runs(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let task: runs_in = runs_in(id, attempt, is_running);
    select(exists(task))
}

/// Selects whether the task runs in that attempt, and whether its owner may use the paid provider.
#[auto_type]
pub fn may_be_paid(id: TaskId, attempt: i64) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let task: runs_in = runs_in(id, attempt, is_running);
    let owner: has_right = has_right(id);
    select((exists(task), exists(owner)))
}

impl From<(bool, bool)> for PaidEntry {
    /// Converts the two values that `may_be_paid` selects.
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
    /// Creates the row of a call that is made now.
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
