//! The ledger of paid calls in SQLite.

use std::time::Duration;

use async_trait::async_trait;
use database::schema::paid_calls;
use database::sqlite::clock;
use database::{Sqlite, StoreError};
use diesel::dsl::insert_into;
use diesel::prelude::*;

use super::super::paid_calls::{NewPaidCall, PaidCalls, PaidEntry, may_be_paid, withdraw};
use crate::task::TaskId;

#[async_trait]
impl PaidCalls for Sqlite {
    async fn record_paid_call(
        &self,
        id: TaskId,
        attempt: i64,
        free_opens_in: Option<Duration>,
    ) -> Result<PaidEntry, StoreError> {
        self.write(move |connection| {
            let found: (bool, bool) = may_be_paid(id, attempt).get_result(connection)?;
            let entry = PaidEntry::from(found);
            if entry == PaidEntry::Recorded {
                let row = NewPaidCall::new(id, attempt, clock(connection)?, free_opens_in);
                insert_into(paid_calls::table).values(row).on_conflict_do_nothing().execute(connection)?;
            }
            Ok(entry)
        })
        .await
    }

    async fn withdraw_paid_call(&self, id: TaskId, attempt: i64) -> Result<(), StoreError> {
        self.write(move |connection| {
            withdraw(id, attempt).execute(connection)?;
            Ok(())
        })
        .await
    }
}
