//! Paused kinds in SQLite.

use async_trait::async_trait;
use database::Sqlite;
use database::schema::pauses;
use database::types::SqlTime;
use diesel::dsl::insert_into;
use diesel::prelude::*;

use super::super::StoreError;
use super::super::pauses::{Pause, Pauses, all, of_rows, resume};
use crate::kinds::Kind;

#[async_trait]
impl Pauses for Sqlite {
    async fn pause(&self, kind: Kind) -> Result<Pause, StoreError> {
        self.write(move |connection| {
            let pause = (pauses::kind.eq(kind.name()), pauses::since.eq(database::now()));
            insert_into(pauses::table).values(pause).on_conflict_do_nothing().execute(connection)?;
            let since: SqlTime =
                pauses::table.find(kind.name()).select(pauses::since).get_result(connection)?;
            Ok(Pause { kind, since: since.into() })
        })
        .await
    }

    async fn resume(&self, kind: Kind) -> Result<(), StoreError> {
        self.write(move |connection| {
            resume(kind).execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.read(|connection| Ok(of_rows(all().load(connection)?))).await
    }
}
