//! The audit in SQLite.

use async_trait::async_trait;
use database::schema::audit;
use database::sqlite::clock;
use database::{Sqlite, StoreError};
use diesel::dsl::insert_into;
use diesel::prelude::*;

use super::super::audit::{self as queries, Audit, EntryRow, NewEntryRow, into_entry};
use crate::audit::{Entry, NewEntry};

#[async_trait]
impl Audit for Sqlite {
    async fn add_entry(&self, new: NewEntry) -> Result<(), StoreError> {
        self.write(move |connection| {
            let row = NewEntryRow::new(new, clock(connection)?);
            insert_into(audit::table).values(row).execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn entries(&self, below: Option<i64>, limit: i64) -> Result<Vec<Entry>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<EntryRow> = queries::entries(below, limit).load(connection)?;
            Ok(rows.into_iter().map(into_entry).collect())
        })
        .await
    }
}
