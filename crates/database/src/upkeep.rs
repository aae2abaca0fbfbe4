//! The database as a part that may fail: its clock, whether it takes writes, how much room it has, and its end.

use async_trait::async_trait;
use diesel::prelude::*;

use crate::schema::readiness;
use crate::types::SqlTime;
use crate::{StoreError, Time};

/// Watching over the database and closing it.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// The database's clock.
    async fn now(&self) -> Result<Time, StoreError>;

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
pub(crate) struct ReadinessRow {
    id: i32,
    at: SqlTime,
}

impl ReadinessRow {
    pub fn new(now: SqlTime) -> Self {
        Self { id: 1, at: now }
    }
}
