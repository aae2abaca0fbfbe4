//! Leases in PostgreSQL, and the return of tasks whose lease has lapsed.

use std::time::Duration;

use async_trait::async_trait;
use database::postgres::{Session, answer};
use database::schema::workers;
use database::types::SqlUuid;
use database::{Postgres, Prepared};
use diesel::result::QueryResult;
use diesel::{OptionalExtension, QueryDsl};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::super::rows::RunningRow;
use super::super::{Beat, Held, Leases, Moved, Rules, StoreError, leases, tasks as queries};
use super::{feed, move_on};
use crate::task::{TaskError, TaskId, WorkerId};

#[async_trait]
impl Leases for Postgres {
    async fn register(&self, worker: WorkerId, name: String, lease: Duration) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        // Runs again if the answer to the first time was lost.
        let register =
            leases::register(worker, name, lease.as_secs_f64()).on_conflict(workers::id).do_nothing();
        answer(register.execute(&mut connection)).await?;
        Ok(())
    }

    async fn beat(&self, worker: WorkerId, lease: Duration) -> Result<Option<Beat>, StoreError> {
        let mut connection = self.get().await?;
        let extend = Prepared(leases::extend(worker, lease.as_secs_f64()));
        let is_draining = answer(async { extend.get_result(&mut connection).await.optional() }).await?;
        let Some(is_draining) = is_draining else { return Ok(None) };
        let held: Vec<(SqlUuid, i64, bool)> =
            answer(queries::held(worker, 10.0).load(&mut connection)).await?;
        Ok(Some(Beat { held: held.into_iter().map(Held::from).collect(), is_draining }))
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        answer(leases::retire(worker).execute(&mut connection)).await?;
        Ok(())
    }

    async fn return_lost(&self, rules: Rules) -> Result<Vec<Moved>, StoreError> {
        let mut connection = self.get().await?;
        let moved = (*connection).transaction(async |connection: &mut Session| {
            let mut moved = Vec::new();
            Prepared(leases::end_lapsed()).execute(connection).await?;
            let lost: Vec<RunningRow> = queries::lost().for_update().skip_locked().load(connection).await?;
            for row in &lost {
                let lost = (Some(TaskError::worker_lost()), None);
                moved.push(move_on(connection, row, lost, row.rest_after_loss(), rules).await?);
            }
            feed::enter(connection, &Moved::ended(&moved)).await?;
            QueryResult::Ok(moved)
        });
        answer(moved).await
    }

    async fn begin_alone(&self) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        let begun = (*connection).transaction(async |connection: &mut Session| {
            leases::end_all().execute(connection).await?;
            leases::all_due().execute(connection).await?;
            QueryResult::Ok(())
        });
        answer(begun).await
    }

    async fn stuck(
        &self,
        ids: Vec<TaskId>,
        lapsed: Duration,
        overdue: Duration,
    ) -> Result<Vec<TaskId>, StoreError> {
        let mut connection = self.get().await?;
        let unheld = leases::unheld(&ids, lapsed.as_secs_f64());
        let mut stuck: Vec<SqlUuid> = answer(unheld.load(&mut connection)).await?;
        let overdue = leases::overdue(&ids, overdue.as_secs_f64());
        stuck.extend(answer(overdue.load::<SqlUuid>(&mut connection)).await?);
        Ok(stuck.into_iter().map(TaskId::from).collect())
    }

    async fn live_leases(&self) -> Result<i64, StoreError> {
        let mut connection = self.get().await?;
        answer(leases::live().get_result(&mut connection)).await
    }
}
