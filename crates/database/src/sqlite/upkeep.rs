//! Upkeep of the SQLite file.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use diesel::connection::SimpleConnection;
use diesel::dsl::insert_into;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use nix::sys::statvfs::statvfs;
use tokio::task::spawn_blocking;

use super::connection::size_of_files;
use super::{STEPS, Sqlite, clock};
use crate::pace::Took;
use crate::schema::readiness;
use crate::types::SqlTime;
use crate::upkeep::{ReadinessRow, Upkeep};
use crate::{Prepared, StoreError, Time};

/// The free pages that stay in the file, for the rows that come: so many, and one in so many of all.
const LEAST_FREE: i64 = 256;
const FREE_PART: i64 = 10;

/// The pages of the database.
#[derive(QueryableByName)]
struct Pages {
    #[diesel(sql_type = BigInt)]
    count: i64,
    /// Those without content; 0 in a file that can't give them back.
    #[diesel(sql_type = BigInt)]
    free: i64,
}

fn pages(connection: &mut SqliteConnection) -> Result<Pages, StoreError> {
    let pages = sql_query(
        "SELECT page_count AS count, CASE WHEN auto_vacuum = 2 THEN freelist_count ELSE 0 END AS free \
         FROM pragma_page_count, pragma_freelist_count, pragma_auto_vacuum",
    );
    Ok(Prepared(pages).get_result(connection)?)
}

#[async_trait]
impl Upkeep for Sqlite {
    async fn now(&self) -> Result<Time, StoreError> {
        self.read(clock).await
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            let row = ReadinessRow::new(SqlTime(clock(connection)?.0));
            let insert = insert_into(readiness::table).values(row);
            insert.on_conflict(readiness::id).do_update().set(row).execute(connection)?;
            Ok(())
        })
        .await
    }

    async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let path = self.path().to_owned();
        let looked = spawn_blocking(move || statvfs(&path)).await;
        let disk = looked
            .map_err(|error| StoreError::Internal(Arc::new(error)))?
            .map_err(|error| StoreError::Unavailable(Arc::new(error)))?;
        Ok(Some(disk.blocks_available().saturating_mul(disk.fragment_size())))
    }

    async fn size_bytes(&self) -> Result<u64, StoreError> {
        let path = self.path().to_owned();
        let looked = spawn_blocking(move || size_of_files(&path)).await;
        looked
            .map_err(|error| StoreError::Internal(Arc::new(error)))?
            .map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }

    async fn give_space_back(&self, limit: i64) -> Result<Option<Took>, StoreError> {
        let needless = |pages: &Pages| pages.free > LEAST_FREE && pages.free > pages.count / FREE_PART;
        if !needless(&self.read(pages).await?) {
            return Ok(None);
        }
        self.write(move |connection| {
            let begun = Instant::now();
            connection.batch_execute(&format!("PRAGMA incremental_vacuum({limit})"))?;
            let took = Took::since(begun, STEPS);
            Ok(needless(&pages(connection)?).then_some(took))
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.end().await;
        Ok(())
    }
}
