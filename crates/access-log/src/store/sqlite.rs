//! Records in SQLite. Its one writer makes the order of commit that of the rows' keys.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use database::pace::Took;
use database::schema::records;
use database::sqlite::{STEPS, clock, in_time};
use database::types::{SqlTime, SqlUuid};
use database::{Sqlite, StoreError, Time};
use diesel::dsl::{insert_into, sql};
use diesel::prelude::*;
use diesel::sql_types::Binary;

use super::{
    self as queries, CountRows, Deleted, NewRecord, NewestRow, PlacedRecord, RecordCounts, RecordFilter,
    RecordRow, Records, Span,
};
use crate::record::RecordId;

/// A minute's beginning: times are microseconds here.
const MINUTE: &str = "created / 60000000 * 60000000";
/// The part of an id that is in the index, word for word as there.
const ID_BEGINS: &str = "substr(id, 1, 4)";
const ID_BEGINS_BYTES: usize = 4;

/// Since no column is left to its default, diesel knows the statement by its type, and does not build its text for each row.
#[derive(Insertable)]
#[diesel(table_name = records, treat_none_as_default_value = false)]
struct NewRow<'a> {
    id: SqlUuid,
    created: SqlTime,
    ip: &'a str,
    method: &'a str,
    uri: &'a str,
    status_code: i16,
}

#[async_trait]
impl Records for Sqlite {
    async fn append_records(&self, new: Vec<NewRecord>) -> Result<Time, StoreError> {
        self.write(move |connection| {
            let now = clock(connection)?;
            let newest: Option<NewestRow> = queries::newest().get_result(connection).optional()?;
            let created = newest.map_or(now, |(_, last)| now.max(last.into()));
            for NewRecord { id, log } in &new {
                let row = NewRow {
                    id: SqlUuid(id.0),
                    created: SqlTime(created.0),
                    ip: &log.ip,
                    method: &log.method,
                    uri: &log.uri,
                    status_code: log.status_code.0,
                };
                // The statement is prepared once; a statement with several rows would not be.
                insert_into(records::table).values(row).execute(connection)?;
            }
            Ok(created)
        })
        .await
    }

    async fn record_place(&self, id: RecordId) -> Result<Option<i64>, StoreError> {
        self.read(move |connection| {
            let begins = sql::<Binary>(ID_BEGINS).eq(&id.0.as_bytes()[..ID_BEGINS_BYTES]);
            Ok(queries::place(id).filter(begins).get_result(connection).optional()?)
        })
        .await
    }

    async fn record_span(&self, from: Option<Time>, to: Option<Time>) -> Result<Span, StoreError> {
        self.read(move |connection| {
            let first = match from {
                Some(from) => queries::first_since(from).get_result(connection).optional()?,
                None => Some(1),
            };
            let last = match to {
                Some(to) => queries::last_until(to).get_result(connection).optional()?,
                None => queries::newest().get_result::<NewestRow>(connection).optional()?.map(|row| row.0),
            };
            Ok(Span::between(first, last))
        })
        .await
    }

    async fn prune_records(&self, age: Duration, limit: i64) -> Result<Deleted, StoreError> {
        self.write(move |connection| {
            let begun = Instant::now();
            let after: i64 = queries::pruned().get_result(connection)?;
            let rows: Vec<(i64, SqlTime)> = queries::first_after(after, limit).load(connection)?;
            let Some(until) = queries::last_old(&rows, clock(connection)?, age) else {
                return Ok(Deleted::default());
            };
            let deleted = queries::delete_span(Span { after, until }).execute(connection)?;
            queries::move_pruned(until).execute(connection)?;
            Ok(Deleted { records: deleted as u64, took: Took::since(begun, STEPS) })
        })
        .await
    }

    async fn pruned_place(&self) -> Result<i64, StoreError> {
        self.read(|connection| Ok(queries::pruned().get_result(connection)?)).await
    }

    async fn oldest_record(&self) -> Result<Option<RecordId>, StoreError> {
        self.read(|connection| {
            let oldest: Option<SqlUuid> = queries::oldest().get_result(connection).optional()?;
            Ok(oldest.map(|id| RecordId(id.0)))
        })
        .await
    }

    async fn records(
        &self,
        span: Span,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<PlacedRecord>, StoreError> {
        self.read_long(move |connection| {
            let rows: Vec<RecordRow> = queries::page(span, filter, limit).load(connection)?;
            Ok(rows.into_iter().map(PlacedRecord::from).collect())
        })
        .await
    }

    async fn count_records(&self, span: Span, minutes: i64, top: i64) -> Result<RecordCounts, StoreError> {
        self.read_long(move |connection| {
            let rows = CountRows {
                minutes: queries::by_minute(span, MINUTE, minutes).filter(in_time()).load(connection)?,
                status_codes: queries::by_status_code(span).filter(in_time()).load(connection)?,
                uris: queries::by_uri(span, top).filter(in_time()).load(connection)?,
                ips: queries::by_ip(span, top).filter(in_time()).load(connection)?,
            };
            Ok(rows.into())
        })
        .await
    }
}
