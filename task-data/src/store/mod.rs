//! The port to the rows of tasks, leases, the feed of outcomes, its followers and retention, paused kinds, statistics, paid calls, and sent
//! rows of tables.
//!
//! The row is the truth. A row of a kind that only a newer version knows can be looked up by its id, and is otherwise left alone: no list
//! and no step of a promise includes it. Each method is one transaction and holds no protocol: `life.rs` says which method to call when,
//! and what a crash between two of them leaves. Only the database's clock is used.

mod attempts;
mod feed;
mod filter;
mod followers;
mod leases;
mod lists;
mod paid_calls;
mod pauses;
mod port;
mod postgres;
mod progress;
mod retention;
mod rows;
pub(crate) mod sqlite;
mod stats;
mod table_rows;
mod tasks;
mod types;
mod workers;

use std::sync::Arc;

use database::Database;
pub use database::{Cause, PoolUse, StoreError, Upkeep};

pub use self::feed::{Feed, FeedRange, InvalidPlace, Outcome, OutcomePage, Place};
pub use self::filter::{
    Filter, InvalidListPlace, InvalidOrder, ListOrder, ListPlace, Period, TaskCount, TaskPage,
};
pub use self::followers::{Followers, LogFollower, LogHead, LogLag};
pub use self::lists::NAME_CHARS;
pub use self::paid_calls::{PaidCalls, PaidEntry};
pub use self::pauses::{Pause, Pauses};
pub use self::port::*;
pub use self::progress::Progress;
pub use self::retention::{PruneStep, Pruned, Purge, Retention, Subject};
pub use self::stats::{Counts, Histogram, MinuteCounts, Stats, Unended, span_begins};
pub use self::table_rows::{KeptRows, PAGE_BYTES, RowFilter, TableProgress, TableRows, UnkeptRow};
pub use self::workers::{RunningTask, WorkerState, Workers};

/// All data of the tasks in the database.
pub trait Store:
    Tasks
    + Leases
    + Feed
    + Followers
    + Retention
    + PaidCalls
    + Pauses
    + Progress
    + Stats
    + TableRows
    + Workers
    + Upkeep
{
}
impl<
    T: Tasks
        + Leases
        + Feed
        + Followers
        + Retention
        + PaidCalls
        + Pauses
        + Progress
        + Stats
        + TableRows
        + Workers
        + Upkeep,
> Store for T
{
}

/// Returns the store of the tasks' rows in that database.
pub fn of(database: &Database) -> Arc<dyn Store> {
    match database {
        Database::Sqlite(sqlite) => sqlite.clone(),
        Database::Postgres(postgres) => postgres.clone(),
    }
}
