//! Answered rows of tables in PostgreSQL.

use async_trait::async_trait;
use database::postgres::answer;
use database::types::{JsonType, SqlJson, SqlUuid, UuidType};
use database::{Postgres, Prepared, StoreError};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt};
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::super::table_rows::{
    self as queries, KeptRow, KeptRows, RowFilter, TableProgress, TableRows, UnkeptRow,
};
use crate::kinds::table::SentRow;
use crate::task::TaskId;

#[async_trait]
impl TableRows for Postgres {
    async fn keep_rows(&self, rows: Vec<UnkeptRow>) -> Result<Vec<(TaskId, i64)>, StoreError> {
        let mut connection = self.get().await?;
        let (mut tasks, mut attempts, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        let (mut inputs, mut statuses, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        let mut failed = Vec::new();
        for UnkeptRow { task, attempt, sent } in rows {
            tasks.push(SqlUuid::from(task));
            attempts.push(attempt);
            failed.push(sent.has_failed());
            numbers.push(sent.number);
            inputs.push(SqlJson(json!(sent.row)));
            statuses.push(sent.status.map(u16::cast_signed));
            replies.push(SqlJson(sent.reply));
        }
        // The fence relies on the lock on the task's row: a statement that takes the task back waits for this one, or came first.
        let keep = sql_query(
            "WITH new AS ( \
                SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) AS new (task, attempt, number, input, status, reply, failed) \
             ), held AS ( \
                SELECT id, attempt FROM tasks \
                WHERE id = ANY($1) AND status::text = 'running' AND (id, attempt) IN (SELECT task, attempt FROM new) \
                ORDER BY id FOR NO KEY UPDATE \
             ), eased AS ( \
                UPDATE tasks SET tries = 0 FROM held WHERE tasks.id = ANY(ARRAY[held.id]) AND tasks.tries <> 0 \
             ), kept AS ( \
                INSERT INTO table_rows (task, number, attempt, at, input, status, reply, failed) \
                SELECT new.task, new.number, new.attempt, now_plus(0), new.input, new.status, new.reply, new.failed \
                FROM new JOIN held ON held.id = new.task AND held.attempt = new.attempt \
                ON CONFLICT DO NOTHING \
             ) \
             SELECT id, attempt FROM held",
        )
        .bind::<Array<UuidType>, _>(tasks)
        .bind::<Array<BigInt>, _>(attempts)
        .bind::<Array<BigInt>, _>(numbers)
        .bind::<Array<JsonType>, _>(inputs)
        .bind::<Array<Nullable<SmallInt>>, _>(statuses)
        .bind::<Array<JsonType>, _>(replies)
        .bind::<Array<Bool>, _>(failed);
        let held: Vec<HeldRow> = answer(Prepared(keep).load(&mut connection)).await?;
        Ok(held.into_iter().map(|row| (row.id.into(), row.attempt)).collect())
    }

    async fn table_progress(&self, id: TaskId) -> Result<TableProgress, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        // Failed rows are counted first: a row kept in between then counts as sent only, so there are never more failed than sent.
        let failed = answer(queries::failed(id).get_result(&mut connection)).await?;
        Ok(TableProgress { sent: answer(queries::sent(id).get_result(&mut connection)).await?, failed })
    }

    async fn last_attempt(&self, id: TaskId) -> Result<i64, StoreError> {
        let mut connection = self.get().await?;
        let attempts: Vec<i64> = answer(queries::last_attempt(id).load(&mut connection)).await?;
        Ok(attempts.into_iter().next().unwrap_or_default())
    }

    async fn kept_numbers(&self, id: TaskId, after: i64, limit: i64) -> Result<Vec<i64>, StoreError> {
        let mut connection = self.get().await?;
        answer(queries::numbers(id, after, limit).load(&mut connection)).await
    }

    async fn kept_rows(
        &self,
        id: TaskId,
        after: i64,
        until: i64,
        filter: RowFilter,
        limit: i64,
    ) -> Result<KeptRows, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let sizes = queries::sizes(id, after, until, filter, limit);
        let sizes: Vec<(i64, i64)> = answer(sizes.load(&mut connection)).await?;
        let until = KeptRows::end_of_page(&sizes, until, limit);
        let page = queries::page(id, after, until, filter, limit);
        let rows: Vec<KeptRow> = answer(page.load(&mut connection)).await?;
        let rows = rows.into_iter().map(SentRow::try_from).collect::<Result<_, _>>()?;
        Ok(KeptRows { rows, until })
    }
}

/// A task that runs in an attempt.
#[derive(diesel::QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
    #[diesel(sql_type = BigInt)]
    attempt: i64,
}
