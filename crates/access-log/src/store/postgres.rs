//! Records in PostgreSQL. `append_records`, a function of the schema, makes the order of commit that of the rows' keys.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::pace::Took;
use database::postgres::{STEPS, Session, answer};
use database::types::{SqlTime, SqlUuid, TimeType, UuidType};
use database::{Postgres, StoreError, Time, now};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, SmallInt, Text};
use diesel::{OptionalExtension, QueryDsl, select};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{
    self as queries, CountRows, Deleted, NewRecord, NewestRow, PlacedRecord, RecordCounts, RecordFilter,
    RecordRow, Records, Span,
};
use crate::record::RecordId;

/// A minute's beginning, independent of the session's time zone.
const MINUTE: &str = "date_bin('1 minute', created, to_timestamp(0))";

#[diesel::declare_sql_function]
extern "SQL" {
    fn append_records(
        ids: Array<UuidType>,
        ips: Array<Text>,
        methods: Array<Text>,
        uris: Array<Text>,
        status_codes: Array<SmallInt>,
    ) -> TimeType;
}

#[async_trait]
impl Records for Postgres {
    async fn append_records(&self, new: Vec<NewRecord>) -> Result<Time, StoreError> {
        let mut connection = self.get().await?;
        let (mut ids, mut ips, mut methods) = (Vec::new(), Vec::new(), Vec::new());
        let (mut uris, mut status_codes) = (Vec::new(), Vec::new());
        for NewRecord { id, log } in new {
            ids.push(SqlUuid(id.0));
            ips.push(log.ip);
            methods.push(log.method);
            uris.push(log.uri);
            status_codes.push(log.status_code.0);
        }
        let append = select(append_records(ids, ips, methods, uris, status_codes));
        let created: SqlTime = answer(append.get_result(&mut connection)).await?;
        Ok(created.into())
    }

    async fn record_place(&self, id: RecordId) -> Result<Option<i64>, StoreError> {
        let mut connection = self.get().await?;
        answer(async { queries::place(id).get_result(&mut connection).await.optional() }).await
    }

    async fn record_span(&self, from: Option<Time>, to: Option<Time>) -> Result<Span, StoreError> {
        let mut connection = self.get().await?;
        let span = async {
            let first = match from {
                Some(from) => queries::first_since(from).get_result(&mut connection).await.optional()?,
                None => Some(1),
            };
            let last = match to {
                Some(to) => queries::last_until(to).get_result(&mut connection).await.optional()?,
                None => {
                    let newest =
                        queries::newest().get_result::<NewestRow>(&mut connection).await.optional()?;
                    newest.map(|row| row.0)
                }
            };
            Ok(Span::between(first, last))
        };
        answer(span).await
    }

    async fn prune_records(&self, age: Duration, limit: i64) -> Result<Deleted, StoreError> {
        let mut connection = self.get().await?;
        let pruned = (*connection).transaction(async |connection: &mut Session| {
            let begun = Instant::now();
            let place: Option<i64> =
                queries::pruned().for_update().skip_locked().get_result(connection).await.optional()?;
            let Some(after) = place else { return QueryResult::Ok(Deleted::default()) };
            let rows: Vec<(i64, SqlTime)> = queries::first_after(after, limit).load(connection).await?;
            let now: SqlTime = select(now()).get_result(connection).await?;
            let Some(until) = queries::last_old(&rows, now.into(), age) else {
                return Ok(Deleted::default());
            };
            let deleted = queries::delete_span(Span { after, until }).execute(connection).await?;
            queries::move_pruned(until).execute(connection).await?;
            Ok(Deleted { records: deleted as u64, took: Took::since(begun, STEPS) })
        });
        answer(pruned).await
    }

    async fn pruned_place(&self) -> Result<i64, StoreError> {
        let mut connection = self.get().await?;
        answer(queries::pruned().get_result(&mut connection)).await
    }

    async fn oldest_record(&self) -> Result<Option<RecordId>, StoreError> {
        let mut connection = self.get().await?;
        let oldest = async { queries::oldest().get_result::<SqlUuid>(&mut connection).await.optional() };
        Ok(answer(oldest).await?.map(|id| RecordId(id.0)))
    }

    async fn records(
        &self,
        span: Span,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<PlacedRecord>, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        let page = queries::page(span, filter, limit);
        let rows: Vec<RecordRow> = answer(page.load(&mut connection)).await?;
        Ok(rows.into_iter().map(PlacedRecord::from).collect())
    }

    async fn count_records(&self, span: Span, minutes: i64, top: i64) -> Result<RecordCounts, StoreError> {
        let (mut connection, _turn) = self.get_long().await?;
        // Each statement has its own time-out, not all together.
        let rows = CountRows {
            minutes: answer(queries::by_minute(span, MINUTE, minutes).load(&mut connection)).await?,
            status_codes: answer(queries::by_status_code(span).load(&mut connection)).await?,
            uris: answer(queries::by_uri(span, top).load(&mut connection)).await?,
            ips: answer(queries::by_ip(span, top).load(&mut connection)).await?,
        };
        Ok(rows.into())
    }
}
