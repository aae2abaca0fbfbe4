//! Answered rows of tables in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use database::schema::table_rows;
use database::sqlite::clock;
use database::{Sqlite, StoreError};
use diesel::dsl::insert_into;
use diesel::prelude::*;

use super::super::paid_calls::runs;
use super::super::table_rows::{
    self as queries, KeptRow, KeptRows, NewTableRow, RowFilter, TableProgress, TableRows, UnkeptRow,
};
use crate::kinds::table::SentRow;
use crate::task::TaskId;

#[async_trait]
impl TableRows for Sqlite {
    async fn keep_rows(&self, rows: Vec<UnkeptRow>) -> Result<Vec<(TaskId, i64)>, StoreError> {
        self.write(move |connection| {
            let now = clock(connection)?;
            let mut runs_in = BTreeMap::new();
            for row in rows {
                let attempt = (row.task, row.attempt);
                let runs = match runs_in.get(&attempt) {
                    Some(runs) => *runs,
                    None => {
                        let runs: bool = runs(row.task, row.attempt).get_result(connection)?;
                        if runs {
                            queries::forget_tries(row.task).execute(connection)?;
                        }
                        runs_in.insert(attempt, runs);
                        runs
                    }
                };
                if runs {
                    insert_into(table_rows::table)
                        .values(NewTableRow::new(row, now))
                        .on_conflict_do_nothing()
                        .execute(connection)?;
                }
            }
            Ok(runs_in.into_iter().filter(|(_, runs)| *runs).map(|(attempt, _)| attempt).collect())
        })
        .await
    }

    async fn table_progress(&self, id: TaskId) -> Result<TableProgress, StoreError> {
        self.read_long(move |connection| {
            // Failed rows are counted first: a row kept in between then counts as sent only, so there are never more failed than sent.
            let failed = queries::failed(id).get_result(connection)?;
            Ok(TableProgress { sent: queries::sent(id).get_result(connection)?, failed })
        })
        .await
    }

    async fn last_attempt(&self, id: TaskId) -> Result<i64, StoreError> {
        self.read(move |connection| {
            let attempt = queries::last_attempt(id).get_result(connection).optional()?;
            Ok(attempt.unwrap_or_default())
        })
        .await
    }

    async fn kept_numbers(&self, id: TaskId, after: i64, limit: i64) -> Result<Vec<i64>, StoreError> {
        self.read(move |connection| Ok(queries::numbers(id, after, limit).load(connection)?)).await
    }

    async fn kept_rows(
        &self,
        id: TaskId,
        after: i64,
        until: i64,
        filter: RowFilter,
        limit: i64,
    ) -> Result<KeptRows, StoreError> {
        self.read_long(move |connection| {
            let sizes: Vec<(i64, i64)> = queries::sizes(id, after, until, filter, limit).load(connection)?;
            let until = KeptRows::end_of_page(&sizes, until, limit);
            let rows: Vec<KeptRow> = queries::page(id, after, until, filter, limit).load(connection)?;
            let rows = rows.into_iter().map(SentRow::try_from).collect::<Result<_, _>>()?;
            Ok(KeptRows { rows, until })
        })
        .await
    }
}
