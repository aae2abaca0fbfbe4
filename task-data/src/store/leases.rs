//! Queries on leases. They use only the database's clock.

use database::now;
use database::schema::{tasks, workers};
use database::types::{SqlTime, SqlUuid, now_plus, sql_ids};
use diesel::dsl::{auto_type, delete, exists, insert_into, not, update};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::tasks::{in_status, stands};
use crate::task::{Status, TaskId, WorkerId};

/// Inserts a lease of so many seconds.
#[auto_type]
pub fn register(worker: WorkerId, name: String, seconds: f64) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    let now: now = now();
    insert_into(workers::table).values((
        workers::id.eq(id),
        workers::name.eq(name),
        workers::seen_at.eq(now),
        workers::lease_until.eq(now_plus(seconds)),
    ))
}

/// Extends the lease to so many seconds from now. Returns whether the worker is to take nothing more.
#[auto_type]
pub fn extend(worker: WorkerId, seconds: f64) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    let now: now = now();
    update(workers::table)
        .filter(workers::id.eq(id))
        .set((workers::seen_at.eq(now), workers::lease_until.eq(now_plus(seconds))))
        .returning(workers::draining)
}

/// Records whether the worker is to take nothing more.
#[auto_type]
pub fn drain(worker: WorkerId, is_draining: bool) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    update(workers::table).filter(workers::id.eq(id)).set(workers::draining.eq(is_draining))
}

/// Ends the worker's lease.
#[auto_type]
pub fn retire(worker: WorkerId) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    delete(workers::table).filter(workers::id.eq(id))
}

/// Ends lapsed leases.
#[auto_type]
pub fn end_lapsed() -> _ {
    let now: now = now();
    delete(workers::table).filter(workers::lease_until.le(now))
}

/// Ends all leases.
#[auto_type]
pub fn end_all() -> _ {
    delete(workers::table)
}

/// Makes every pending task due now, and marks it as never published.
#[auto_type]
pub fn all_due() -> _ {
    let is_pending: SqlLiteral<Bool> = in_status(Status::Pending);
    let never: Option<SqlTime> = None;
    let now: now = now();
    update(tasks::table).filter(is_pending).set((tasks::published_at.eq(never), tasks::sweep_at.eq(now)))
}

/// Counts the live leases.
#[auto_type]
pub fn live() -> _ {
    let now: now = now();
    workers::table.filter(workers::lease_until.gt(now)).count()
}

/// Selects those of the tasks that run without a lease, or under one that lapsed over `lapsed` seconds ago.
#[auto_type]
pub fn unheld(ids: &[TaskId], lapsed: f64) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let is_running: SqlLiteral<Bool> = stands(Status::Running);
    let ago: f64 = -lapsed;
    let holder = workers::table
        .filter(workers::id.nullable().eq(tasks::worker))
        .filter(workers::lease_until.gt(now_plus(ago)));
    tasks::table
        .filter(tasks::id.eq_any(ids))
        .filter(is_running)
        .filter(not(exists(holder)))
        .select(tasks::id)
}

/// Selects those of the tasks that are pending and whose sweep was due over `overdue` seconds ago.
#[auto_type]
pub fn overdue(ids: &[TaskId], overdue: f64) -> _ {
    let ids: Vec<SqlUuid> = sql_ids(ids);
    let is_pending: SqlLiteral<Bool> = stands(Status::Pending);
    let ago: f64 = -overdue;
    tasks::table
        .filter(tasks::id.eq_any(ids))
        .filter(is_pending)
        .filter(tasks::sweep_at.lt(now_plus(ago)))
        .select(tasks::id)
}
