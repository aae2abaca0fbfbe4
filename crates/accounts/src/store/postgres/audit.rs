//! The audit in PostgreSQL.

use async_trait::async_trait;
use database::postgres::answer;
use database::schema::audit;
use database::types::SqlTime;
use database::{Postgres, StoreError, now};
use diesel::dsl::insert_into;
use diesel::select;
use diesel_async::RunQueryDsl;

use super::super::audit::{self as queries, Audit, EntryRow, NewEntryRow, into_entry};
use crate::audit::{Entry, NewEntry};

#[async_trait]
impl Audit for Postgres {
    async fn add_entry(&self, new: NewEntry) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        let now: SqlTime = answer(select(now()).get_result(&mut connection)).await?;
        let row = NewEntryRow::new(new, now.into());
        answer(insert_into(audit::table).values(row).execute(&mut connection)).await?;
        Ok(())
    }

    async fn entries(&self, below: Option<i64>, limit: i64) -> Result<Vec<Entry>, StoreError> {
        let mut connection = self.get().await?;
        let rows: Vec<EntryRow> = answer(queries::entries(below, limit).load(&mut connection)).await?;
        Ok(rows.into_iter().map(into_entry).collect())
    }
}
