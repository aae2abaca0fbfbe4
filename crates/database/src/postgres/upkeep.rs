//! Upkeep of connections to PostgreSQL.

use async_trait::async_trait;
use diesel::dsl::{insert_into, sql};
use diesel::sql_types::BigInt;
use diesel::{QueryResult, select};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::connection::{Postgres, answer};
use super::session::Session;
use crate::pace::Took;
use crate::schema::readiness;
use crate::types::SqlTime;
use crate::upkeep::{ReadinessRow, Upkeep};
use crate::{StoreError, Time, now};

#[async_trait]
impl Upkeep for Postgres {
    async fn now(&self) -> Result<Time, StoreError> {
        let mut connection = self.get().await?;
        let now: SqlTime = answer(select(now()).get_result(&mut connection)).await?;
        Ok(now.into())
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        // In a transaction, so that the commit has its own answer.
        let write = (*connection).transaction(async |connection: &mut Session| {
            let now: SqlTime = select(now()).get_result(connection).await?;
            let row = ReadinessRow::new(now);
            let insert = insert_into(readiness::table).values(row);
            let written = insert.on_conflict(readiness::id).do_update().set(row).execute(connection).await?;
            QueryResult::Ok(written)
        });
        answer(write).await?;
        Ok(())
    }

    async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn size_bytes(&self) -> Result<u64, StoreError> {
        let mut connection = self.get().await?;
        let size = select(sql::<BigInt>("pg_database_size(current_database())"));
        let bytes: i64 = answer(size.get_result(&mut connection)).await?;
        Ok(bytes.cast_unsigned())
    }

    /// Autovacuum makes the space of deleted rows free for others.
    async fn give_space_back(&self, _pages: i64) -> Result<Option<Took>, StoreError> {
        Ok(None)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.end();
        Ok(())
    }
}
