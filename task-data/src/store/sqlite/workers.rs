//! Worker processes in SQLite: one, of the one program.

use async_trait::async_trait;
use database::Sqlite;
use diesel::{RunQueryDsl, sql_query};

use super::super::workers::{WorkerState, Workers, of_rows, running_tasks, workers};
use super::super::{StoreError, leases};
use crate::task::WorkerId;

#[async_trait]
impl Workers for Sqlite {
    async fn workers(&self) -> Result<Vec<WorkerState>, StoreError> {
        self.read_long(|connection| {
            let workers = sql_query(workers()).load(connection)?;
            Ok(of_rows(workers, sql_query(running_tasks()).load(connection)?))
        })
        .await
    }

    async fn drain(&self, worker: WorkerId, is_draining: bool) -> Result<bool, StoreError> {
        self.write(move |connection| Ok(leases::drain(worker, is_draining).execute(connection)? > 0)).await
    }
}
