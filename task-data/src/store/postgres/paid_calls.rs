//! The ledger of paid calls in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use database::postgres::answer;
use database::schema::paid_calls;
use database::{Postgres, Upkeep};
use diesel::dsl::insert_into;
use diesel_async::RunQueryDsl;

use super::super::StoreError;
use super::super::paid_calls::{NewPaidCall, PaidCalls, PaidEntry, may_be_paid, withdraw};
use crate::task::TaskId;

#[async_trait]
impl PaidCalls for Postgres {
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<PaidEntry, StoreError> {
        let now = self.now().await?;
        let mut connection = self.get().await?;
        let found: (bool, bool) = answer(may_be_paid(id, attempt).get_result(&mut connection)).await?;
        let entry = PaidEntry::from(found);
        if entry == PaidEntry::Recorded {
            let row = NewPaidCall::new(id, attempt, now, free_opens_in);
            let insert = insert_into(paid_calls::table).values(row).on_conflict_do_nothing();
            answer(insert.execute(&mut connection)).await?;
        }
        Ok(entry)
    }

    async fn withdraw_paid_call(&self, id: TaskId, attempt: i64) -> Result<(), StoreError> {
        let mut connection = self.get().await?;
        answer(withdraw(id, attempt).execute(&mut connection)).await?;
        Ok(())
    }
}
