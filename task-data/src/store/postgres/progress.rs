//! Progress of running tasks in PostgreSQL.

use async_trait::async_trait;
use database::postgres::answer;
use database::types::{JsonType, SqlJson, SqlUuid, UuidType};
use database::{Postgres, Prepared};
use diesel::sql_types::BigInt;
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::super::StoreError;
use super::super::progress::{Progress, kept};
use crate::task::TaskId;

#[async_trait]
impl Progress for Postgres {
    async fn progress(&self, id: TaskId) -> Result<Option<Value>, StoreError> {
        let mut connection = self.get().await?;
        let state = async { kept(id).get_result::<SqlJson>(&mut connection).await.optional() };
        Ok(answer(state).await?.map(|state| state.0))
    }

    async fn keep_progress(&self, id: TaskId, attempt: i64, state: Value) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        // The row's lock keeps the task in its attempt until the commit.
        let keep = sql_query(
            "WITH running AS (SELECT id FROM tasks WHERE id = $1 AND attempt = $2 AND CAST(status AS text) = 'running' FOR SHARE) \
             INSERT INTO progress (task, state) SELECT id, $3 FROM running \
             ON CONFLICT (task) DO UPDATE SET state = excluded.state",
        )
        .bind::<UuidType, _>(SqlUuid(id.0))
        .bind::<BigInt, _>(attempt)
        .bind::<JsonType, _>(SqlJson(state));
        Ok(answer(Prepared(keep).execute(&mut connection)).await? > 0)
    }
}
