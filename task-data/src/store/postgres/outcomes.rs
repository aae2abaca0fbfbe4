//! The outcome log's ledger in PostgreSQL.

use async_trait::async_trait;
use database::Postgres;
use database::postgres::{Prepared, answer};
use database::schema::log_head;
use database::types::{UuidType, sql_ids};
use diesel::dsl::insert_into;
use diesel::sql_types::{Array, BigInt, Integer, Text};
use diesel::{OptionalExtension, sql_query};
use diesel_async::RunQueryDsl;
use shared_log::Head;

use super::super::outcomes::{self, HeadRow};
use super::super::rows::into_tasks;
use super::super::{Outcomes, StoreError};
use crate::task::{Task, TaskId};

#[async_trait]
impl Outcomes for Postgres {
    async fn log_head(&self, log: String) -> Result<Option<Head>, StoreError> {
        let mut connection = self.get().await?;
        let row = async { outcomes::head(&log).get_result::<HeadRow>(&mut connection).await.optional() };
        Ok(answer(row).await?.map(Head::from))
    }

    async fn begin_log(&self, log: String, seen: Option<u32>, new: Head) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let row = HeadRow::new(log, &new);
        let changed = match seen {
            Some(seen) => answer(outcomes::begin(seen, row).execute(&mut connection)).await?,
            None => {
                let insert = insert_into(log_head::table).values(row).on_conflict(log_head::log).do_nothing();
                answer(insert.execute(&mut connection)).await?
            }
        };
        Ok(changed > 0)
    }

    async fn unlogged(&self, limit: i64) -> Result<Vec<Task>, StoreError> {
        let mut connection = self.get().await?;
        Ok(into_tasks(answer(outcomes::unlogged(limit).load(&mut connection)).await?))
    }

    async fn commit_log(&self, log: String, written: Vec<TaskId>, head: Head) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        let HeadRow { log, generation, dev, ino, committed, tail_check } = HeadRow::new(log, &head);
        let commit = sql_query(
            "WITH marked AS (UPDATE tasks SET logged_at = now_plus(0) WHERE id = ANY($1) AND logged_at IS NULL) \
             UPDATE log_head SET dev = $4, ino = $5, committed = $6, tail_check = $7 \
             WHERE log = $2 AND generation = $3 AND committed < $6",
        )
        .bind::<Array<UuidType>, _>(sql_ids(&written))
        .bind::<Text, _>(log)
        .bind::<Integer, _>(generation)
        .bind::<BigInt, _>(dev)
        .bind::<BigInt, _>(ino)
        .bind::<BigInt, _>(committed)
        .bind::<BigInt, _>(tail_check);
        Ok(answer(Prepared(commit).execute(&mut connection)).await? > 0)
    }
}
