//! The database as a part that may fail: whether it takes writes, how much room it has, and its end.

use async_trait::async_trait;
use diesel::prelude::*;

use super::StoreError;
use super::schema::readiness;
use super::types::SqlTime;

/// Watching over the database and closing it.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Commits a change to a row that exists for this alone. Succeeds only if the database takes writes.
    async fn try_write(&self) -> Result<(), StoreError>;

    /// Returns the free bytes of the disk that the database lies on; `None` if that is another machine's.
    async fn free_bytes(&self) -> Result<Option<u64>, StoreError>;

    /// Commits what was sent and closes the connections. Every later call fails.
    async fn close(&self) -> Result<(), StoreError>;
}

/// The one row, as of that time.
#[derive(Clone, Copy, Insertable, AsChangeset)]
#[diesel(table_name = readiness)]
pub(super) struct ReadinessRow {
    id: i32,
    at: SqlTime,
}

impl ReadinessRow {
    pub fn new(now: SqlTime) -> Self {
        Self { id: 1, at: now }
    }
}
