//! Paused kinds in PostgreSQL.

use async_trait::async_trait;
use database::Postgres;
use database::postgres::answer;
use database::types::{SqlTime, TimeType};
use diesel::sql_query;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

use super::super::StoreError;
use super::super::pauses::{Pause, Pauses, all, of_rows, resume};
use crate::kinds::Kind;

#[async_trait]
impl Pauses for Postgres {
    async fn pause(&self, kind: Kind) -> Result<Pause, StoreError> {
        let mut connection = self.get().await?;
        let pause = sql_query("SELECT pause_kind($1) AS since").bind::<Text, _>(kind.name());
        let row: SinceRow = answer(pause.get_result(&mut connection)).await?;
        Ok(Pause { kind, since: row.since.into() })
    }

    async fn resume(&self, kind: Kind) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        answer(resume(kind).execute(&mut connection)).await?;
        Ok(())
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let mut connection = self.get().await?;
        Ok(of_rows(answer(all().load(&mut connection)).await?))
    }
}

#[derive(diesel::QueryableByName)]
struct SinceRow {
    #[diesel(sql_type = TimeType)]
    since: SqlTime,
}
