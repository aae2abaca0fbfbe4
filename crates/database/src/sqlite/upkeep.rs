//! Upkeep of the SQLite file.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::dsl::insert_into;
use diesel::prelude::*;
use nix::sys::statvfs::statvfs;
use tokio::task::spawn_blocking;

use super::connection::size_of_files;
use super::{Sqlite, clock};
use crate::schema::readiness;
use crate::types::SqlTime;
use crate::upkeep::{ReadinessRow, Upkeep};
use crate::{StoreError, Time};

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

    async fn close(&self) -> Result<(), StoreError> {
        self.end().await;
        Ok(())
    }
}
