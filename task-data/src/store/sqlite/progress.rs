//! Progress of running tasks in SQLite.

use async_trait::async_trait;
use database::schema::progress;
use database::types::{SqlJson, SqlUuid};
use database::{Sqlite, StoreError};
use diesel::dsl::replace_into;
use diesel::prelude::*;
use serde_json::Value;

use super::super::paid_calls::runs;
use super::super::progress::{Progress, kept};
use crate::task::TaskId;

#[async_trait]
impl Progress for Sqlite {
    async fn progress(&self, id: TaskId) -> Result<Option<Value>, StoreError> {
        self.read(move |connection| {
            let state: Option<SqlJson> = kept(id).get_result(connection).optional()?;
            Ok(state.map(|state| state.0))
        })
        .await
    }

    async fn keep_progress(&self, id: TaskId, attempt: i64, state: Value) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let runs: bool = runs(id, attempt).get_result(connection)?;
            if runs {
                let row = (progress::task.eq(SqlUuid(id.0)), progress::state.eq(SqlJson(state)));
                replace_into(progress::table).values(row).execute(connection)?;
            }
            Ok(runs)
        })
        .await
    }
}
