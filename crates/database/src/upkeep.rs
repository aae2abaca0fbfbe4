//! The database as a part that may fail: its clock, whether it takes writes, its free space, and its end.

use async_trait::async_trait;
use diesel::prelude::*;

use crate::pace::Took;
use crate::schema::readiness;
use crate::types::SqlTime;
use crate::{StoreError, Time};

/// Watches over the database and closes it.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Returns the database's time.
    async fn now(&self) -> Result<Time, StoreError>;

    /// Commits a change to a row that exists only for this. Succeeds only if the database takes writes.
    async fn try_write(&self) -> Result<(), StoreError>;

    /// Returns the free bytes of the disk that has the database; `None` if that is another machine's.
    async fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// Returns the bytes that the database has on its disk.
    async fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Gives up to so many free pages of the database back to the disk. Returns what that took, if there is more to give back.
    async fn give_space_back(&self, pages: i64) -> Result<Option<Took>, StoreError>;

    /// Commits the writes that were sent and closes the connections. Every later call fails.
    async fn close(&self) -> Result<(), StoreError>;
}

/// The row that readiness checks write, as of that time.
#[derive(Clone, Copy, Insertable, AsChangeset)]
#[diesel(table_name = readiness)]
pub(crate) struct ReadinessRow {
    id: i32,
    at: SqlTime,
}

impl ReadinessRow {
    pub fn new(now: SqlTime) -> Self {
        Self { id: 1, at: now }
    }
}
