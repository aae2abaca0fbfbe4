//! How far a running task has come, for kinds that go on there after a crash: its part of the port.

use async_trait::async_trait;
use database::StoreError;
use database::schema::progress;
use database::types::SqlUuid;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use serde_json::Value;

use crate::task::TaskId;

/// The progress of tasks.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Returns the state that was kept last; `None` if none was.
    async fn progress(&self, id: TaskId) -> Result<Option<Value>, StoreError>;

    /// Keeps a state, and returns whether it did: not if the task does not run in that attempt.
    async fn keep_progress(&self, id: TaskId, attempt: i64, state: Value) -> Result<bool, StoreError>;
}

/// Selects the state that was kept.
#[auto_type]
pub fn kept(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    progress::table.filter(progress::task.eq(id)).select(progress::state)
}
