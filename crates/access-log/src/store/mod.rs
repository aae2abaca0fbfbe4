//! The port to the records, and its queries, written once for each database.
//!
//! The place of a record is its number in the order of commit: once a reader has seen a record, no record with a lower place appears.
//! `created` never decreases in that order. So a date is a place too, and every read is a walk along one key.

mod postgres;
mod sqlite;

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use database::pace::Took;
use database::schema::{records, retention};
use database::types::{SqlTime, SqlUuid, TimeType, same_address};
use database::{Database, StoreError, Time, Upkeep};
use diesel::dsl::{AsExprOf, auto_type, count_star, delete, sql, update};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text};

use crate::record::{LogLine, Record, RecordId, StatusCode};

/// A record to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The record's id.
    pub id: RecordId,
    /// The line that was reported.
    pub log: LogLine,
}

/// The outcome of a step of deletion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The number of records.
    pub records: u64,
    /// How long it took.
    pub took: Took,
}

/// Places in the order of commit, after `after` up to and including `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The place before the first.
    pub after: i64,
    /// The last place.
    pub until: i64,
}

impl Span {
    const EMPTY: Self = Self { after: 0, until: 0 };

    pub(super) fn between(first: Option<i64>, last: Option<i64>) -> Self {
        match (first, last) {
            (Some(first), Some(last)) => Self { after: first - 1, until: last },
            _ => Self::EMPTY,
        }
    }

    /// Returns whether the span contains no places.
    pub fn is_empty(self) -> bool {
        self.after >= self.until
    }
}

/// A filter on records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only requests from that address, in any notation.
    pub ip: Option<IpAddr>,
    /// Only requests with that method.
    pub method: Option<String>,
    /// Only requests with a URI that begins so.
    pub uri_prefix: String,
    /// Only requests with a status in this range.
    pub status_codes: RangeInclusive<StatusCode>,
}

impl Default for RecordFilter {
    fn default() -> Self {
        let status_codes = StatusCode::MIN..=StatusCode::MAX;
        Self { ip: None, method: None, uri_prefix: String::new(), status_codes }
    }
}

/// A record and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedRecord {
    /// The record's number in the order of commit.
    pub place: i64,
    /// The record.
    pub record: Record,
}

/// A value, and the number of records that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count<T> {
    /// The value.
    pub of: T,
    /// The number of records.
    pub requests: i64,
}

/// Counts of records by their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCounts {
    /// Minutes with at least one record, by their beginnings, latest first.
    pub minutes: Vec<Count<Time>>,
    /// All statuses that occur, in ascending order.
    pub status_codes: Vec<Count<StatusCode>>,
    /// The most frequent URIs, most frequent first.
    pub uris: Vec<Count<String>>,
    /// The most frequent addresses, most frequent first.
    pub ips: Vec<Count<String>>,
}

/// The access log's rows.
#[async_trait]
pub trait Records: Upkeep {
    /// Appends rows in one transaction, in their order. Returns the time that they all have: not before that of any earlier record, even if
    /// the clock goes back.
    async fn append_records(&self, new: Vec<NewRecord>) -> Result<Time, StoreError>;

    /// Returns the place of a record; `None` if the record does not exist.
    async fn record_place(&self, id: RecordId) -> Result<Option<i64>, StoreError>;

    /// Returns the places of all records that exist now, or of those created in these bounds, both included.
    async fn record_span(&self, from: Option<Time>, to: Option<Time>) -> Result<Span, StoreError>;

    /// Returns records of a span by filter, in the order of commit, up to `limit` of them.
    async fn records(
        &self,
        span: Span,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<PlacedRecord>, StoreError>;

    /// Deletes up to `limit` of the oldest records, of those that are at least so old, unless another process does so now.
    async fn prune_records(&self, age: Duration, limit: i64) -> Result<Deleted, StoreError>;

    /// Returns the place up to which records were deleted; 0 if none were.
    async fn pruned_place(&self) -> Result<i64, StoreError>;

    /// Returns the oldest record that is kept; `None` if no record is kept.
    async fn oldest_record(&self) -> Result<Option<RecordId>, StoreError>;

    /// Counts the records of a span: by status, by up to `minutes` minutes, and by up to `top` URIs and addresses each.
    async fn count_records(&self, span: Span, minutes: i64, top: i64) -> Result<RecordCounts, StoreError>;
}

/// Returns the access log's rows in that database.
pub fn of(database: &Database) -> Arc<dyn Records> {
    match database {
        Database::Sqlite(sqlite) => sqlite.clone(),
        Database::Postgres(postgres) => postgres.clone(),
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Returns `length` characters of a text, from a position counted from 1.
    fn substr(text: Text, from: Integer, length: Integer) -> Text;
}

/// The subject of records in the table of retention.
pub(super) const SUBJECT: &str = "records";

/// Selects the place up to which records were deleted.
#[auto_type]
pub(super) fn pruned() -> _ {
    let subject: &'static str = SUBJECT;
    retention::table.filter(retention::subject.eq(subject)).select(retention::no)
}

/// Moves the place up to which records were deleted on.
#[auto_type]
pub(super) fn move_pruned(place: i64) -> _ {
    let subject: &'static str = SUBJECT;
    update(retention::table.filter(retention::subject.eq(subject))).set(retention::no.eq(place))
}

/// Selects the first records after a place, with when they were created.
#[auto_type]
pub(super) fn first_after(place: i64, limit: i64) -> _ {
    records::table
        .filter(records::seq.gt(place))
        .order(records::seq.asc())
        .select((records::seq, records::created))
        .limit(limit)
}

/// Returns the last place, of these first ones, of a record that is at least so old.
pub(super) fn last_old(rows: &[(i64, SqlTime)], now: Time, age: Duration) -> Option<i64> {
    let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    // `created` never decreases in the order of places.
    rows.iter().take_while(|(_, created)| now.0 - created.0 >= age).last().map(|(place, _)| *place)
}

/// Deletes the records of a span.
#[auto_type]
pub(super) fn delete_span(span: Span) -> _ {
    let after: i64 = span.after;
    let until: i64 = span.until;
    delete(records::table.filter(records::seq.gt(after)).filter(records::seq.le(until)))
}

/// Selects the oldest record.
#[auto_type]
pub(super) fn oldest() -> _ {
    records::table.order(records::seq.asc()).select(records::id).limit(1_i64)
}

/// Selects the place of the record of that id.
#[auto_type]
pub(super) fn place(id: RecordId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    records::table.filter(records::id.eq(id)).select(records::seq)
}

/// Selects the first place at or after a time.
#[auto_type]
pub(super) fn first_since(time: Time) -> _ {
    let time: SqlTime = SqlTime(time.0);
    records::table
        .filter(records::created.ge(time))
        .order((records::created.asc(), records::seq.asc()))
        .select(records::seq)
        .limit(1_i64)
}

/// Selects the last place at or before a time.
#[auto_type]
pub(super) fn last_until(time: Time) -> _ {
    let time: SqlTime = SqlTime(time.0);
    records::table
        .filter(records::created.le(time))
        .order((records::created.desc(), records::seq.desc()))
        .select(records::seq)
        .limit(1_i64)
}

/// Selects the last record's place, and when it was created.
#[auto_type]
pub(super) fn newest() -> _ {
    records::table.order(records::seq.desc()).select((records::seq, records::created)).limit(1_i64)
}

/// A row of [`newest`].
pub(super) type NewestRow = (i64, SqlTime);

type RecordColumns = (
    records::seq,
    records::id,
    records::created,
    records::ip,
    records::method,
    records::uri,
    records::status_code,
);

const RECORD_COLUMNS: RecordColumns = (
    records::seq,
    records::id,
    records::created,
    records::ip,
    records::method,
    records::uri,
    records::status_code,
);

/// Selects records of a span by filter, oldest first. A filter that passes everything is part of the statement all the same: the statement
/// walks along the key in any case, and so has one form.
#[auto_type]
pub(super) fn page(span: Span, filter: RecordFilter, limit: i64) -> _ {
    let columns: RecordColumns = RECORD_COLUMNS;
    let any_ip: AsExprOf<bool, Bool> = filter.ip.is_none().into_sql::<Bool>();
    let any_method: AsExprOf<bool, Bool> = filter.method.is_none().into_sql::<Bool>();
    let ip: String = filter.ip.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).to_string();
    let method: String = filter.method.unwrap_or_default();
    let low: i16 = filter.status_codes.start().0;
    let high: i16 = filter.status_codes.end().0;
    let from: i32 = 1;
    let length: i32 = filter.uri_prefix.chars().count() as i32;
    let prefix: String = filter.uri_prefix;
    let rows: in_span = in_span(span);
    rows.filter(any_ip.or(same_address(records::ip, ip)))
        .filter(any_method.or(records::method.eq(method)))
        .filter(records::status_code.ge(low))
        .filter(records::status_code.le(high))
        .filter(substr(records::uri, from, length).eq(prefix))
        .order(records::seq.asc())
        .limit(limit)
        .select(columns)
}

#[auto_type]
fn in_span(span: Span) -> _ {
    let after: i64 = span.after;
    let until: i64 = span.until;
    records::table.filter(records::seq.gt(after)).filter(records::seq.le(until))
}

/// Counts the records of each minute, latest first; `minute` is the SQL expression of a minute's beginning.
#[auto_type]
pub(super) fn by_minute(span: Span, minute: &'static str, limit: i64) -> _ {
    let rows: in_span = in_span(span);
    let minutes: SqlLiteral<TimeType> = sql::<TimeType>(minute);
    let selected: SqlLiteral<TimeType> = sql::<TimeType>(minute);
    let ordered: SqlLiteral<TimeType> = sql::<TimeType>(minute);
    rows.group_by(minutes).select((selected, count_star())).order(ordered.desc()).limit(limit)
}

/// Counts the records of each status.
#[auto_type]
pub(super) fn by_status_code(span: Span) -> _ {
    let rows: in_span = in_span(span);
    rows.group_by(records::status_code)
        .select((records::status_code, count_star()))
        .order(records::status_code.asc())
}

/// Counts the records of the most frequent URIs.
#[auto_type]
pub(super) fn by_uri(span: Span, limit: i64) -> _ {
    let rows: in_span = in_span(span);
    rows.group_by(records::uri)
        .select((records::uri, count_star()))
        .order((count_star().desc(), records::uri.asc()))
        .limit(limit)
}

/// Counts the records of the most frequent addresses.
#[auto_type]
pub(super) fn by_ip(span: Span, limit: i64) -> _ {
    let rows: in_span = in_span(span);
    rows.group_by(records::ip)
        .select((records::ip, count_star()))
        .order((count_star().desc(), records::ip.asc()))
        .limit(limit)
}

/// A record's row.
#[derive(Queryable)]
pub(super) struct RecordRow {
    seq: i64,
    id: SqlUuid,
    created: SqlTime,
    ip: String,
    method: String,
    uri: String,
    status_code: i16,
}

impl From<RecordRow> for PlacedRecord {
    fn from(row: RecordRow) -> Self {
        let RecordRow { seq, id, created, ip, method, uri, status_code } = row;
        let log = LogLine { ip, method, uri, status_code: StatusCode(status_code) };
        Self { place: seq, record: Record { id: RecordId(id.0), created: created.into(), log } }
    }
}

/// The rows of the four counts.
pub(super) struct CountRows {
    pub minutes: Vec<(SqlTime, i64)>,
    pub status_codes: Vec<(i16, i64)>,
    pub uris: Vec<(String, i64)>,
    pub ips: Vec<(String, i64)>,
}

impl From<CountRows> for RecordCounts {
    fn from(rows: CountRows) -> Self {
        Self {
            minutes: counts(rows.minutes, Time::from),
            status_codes: counts(rows.status_codes, StatusCode),
            uris: counts(rows.uris, |uri| uri),
            ips: counts(rows.ips, |ip| ip),
        }
    }
}

fn counts<R, T>(rows: Vec<(R, i64)>, of: impl Fn(R) -> T) -> Vec<Count<T>> {
    rows.into_iter().map(|(row, requests)| Count { of: of(row), requests }).collect()
}
