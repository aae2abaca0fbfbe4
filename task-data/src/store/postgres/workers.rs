//! Worker processes in PostgreSQL.

use async_trait::async_trait;
use database::Postgres;
use database::postgres::answer;
use diesel::sql_query;
use diesel_async::RunQueryDsl;

use super::super::workers::{WorkerState, Workers, of_rows, running_tasks, workers};
use super::super::{StoreError, leases};
use crate::task::WorkerId;

#[async_trait]
impl Workers for Postgres {
    async fn workers(&self) -> Result<Vec<WorkerState>, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let workers = answer(sql_query(workers()).load(&mut connection)).await?;
        let tasks = answer(sql_query(running_tasks()).load(&mut connection)).await?;
        Ok(of_rows(workers, tasks))
    }

    async fn drain(&self, worker: WorkerId, is_draining: bool) -> Result<bool, StoreError> {
        let mut connection = self.get().await?;
        Ok(answer(leases::drain(worker, is_draining).execute(&mut connection)).await? > 0)
    }
}
