//! Queries on leases. Only the database's clock is asked.

use diesel::dsl::{auto_type, delete, insert_into, update};
use diesel::prelude::*;

use super::schema::{tasks, workers};
use super::tasks::now;
use super::types::{SqlStatus, SqlTime, SqlUuid, now_plus};
use crate::task::{Status, WorkerId};

/// A new lease of so many seconds.
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

/// The lease lasts so many seconds from now on.
#[auto_type]
pub fn extend(worker: WorkerId, seconds: f64) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    let now: now = now();
    update(workers::table)
        .filter(workers::id.eq(id))
        .set((workers::seen_at.eq(now), workers::lease_until.eq(now_plus(seconds))))
}

/// The worker's lease ends.
#[auto_type]
pub fn retire(worker: WorkerId) -> _ {
    let id: SqlUuid = SqlUuid(worker.0);
    delete(workers::table).filter(workers::id.eq(id))
}

/// Leases that lapsed end.
#[auto_type]
pub fn end_lapsed() -> _ {
    let now: now = now();
    delete(workers::table).filter(workers::lease_until.le(now))
}

/// All leases end.
#[auto_type]
pub fn end_all() -> _ {
    delete(workers::table)
}

/// Every pending task is due now and counts as never published.
#[auto_type]
pub fn all_due() -> _ {
    let pending: SqlStatus = SqlStatus(Status::Pending);
    let never: Option<SqlTime> = None;
    let now: now = now();
    update(tasks::table)
        .filter(tasks::status.eq(pending))
        .set((tasks::published_at.eq(never), tasks::sweep_at.eq(now)))
}
