//! Answered rows of tables: their part of the port, and its queries, written once for each database.
//!
//! A row is kept once and never changes again. It belongs to the task: the next attempt need not send what an earlier one has kept.

use async_trait::async_trait;
use database::StoreError;
use database::schema::{table_rows, tasks};
use database::types::{SqlJson, SqlTime, SqlUuid};
use diesel::dsl::{AsExprOf, auto_type, count_star, sql, update};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use serde_json::json;

use crate::kinds::table::SentRow;
use crate::task::{TaskId, Time};

/// An answered row on its way to the database.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptRow {
    /// The table.
    pub task: TaskId,
    /// The attempt that sent the row.
    pub attempt: i64,
    /// The row and its answer.
    pub sent: SentRow,
}

/// How far a table got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableProgress {
    /// The number of answered rows.
    pub sent: i64,
    /// The number of rows that the third party did not accept.
    pub failed: i64,
}

/// A filter on the rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowFilter {
    /// Every row.
    #[default]
    All,
    /// Rows answered with that status.
    Status(u16),
    /// Rows that the third party did not accept.
    Failed,
}

impl RowFilter {
    fn status(self) -> Option<i16> {
        match self {
            Self::Status(status) => Some(status.cast_signed()),
            Self::All | Self::Failed => None,
        }
    }
}

/// Answered rows of tables.
#[async_trait]
pub trait TableRows: Send + Sync {
    /// Keeps rows whose tasks run in the given attempts; a row that was kept before is left as it is. Since such a task makes progress, its
    /// charged attempts are reset. Returns the running tasks with their attempts: nothing was kept of all others.
    async fn keep_rows(&self, rows: Vec<UnkeptRow>) -> Result<Vec<(TaskId, i64)>, StoreError>;

    /// Counts the kept rows of a table.
    async fn table_progress(&self, id: TaskId) -> Result<TableProgress, StoreError>;

    /// Returns the attempt that kept the row with the highest number; 0 if no row is kept.
    async fn last_attempt(&self, id: TaskId) -> Result<i64, StoreError>;

    /// Returns the numbers of kept rows after `after`, in order, up to `limit` of them.
    async fn kept_numbers(&self, id: TaskId, after: i64, limit: i64) -> Result<Vec<i64>, StoreError>;

    /// Returns kept rows by filter, after `after` up to and including `until`, in order: up to `limit` rows, and up to [`PAGE_BYTES`] but
    /// at least one.
    async fn kept_rows(
        &self,
        id: TaskId,
        after: i64,
        until: i64,
        filter: RowFilter,
        limit: i64,
    ) -> Result<KeptRows, StoreError>;
}

/// The most bytes of rows that are read at a time.
pub const PAGE_BYTES: i64 = 256 << 10;

/// Kept rows, and how far they were looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRows {
    /// The rows, in order of their numbers.
    pub rows: Vec<SentRow>,
    /// The number up to which there are no further rows.
    pub until: i64,
}

impl KeptRows {
    /// Returns the number up to which rows of these sizes fit into a page.
    pub(super) fn end_of_page(sizes: &[(i64, i64)], until: i64, limit: i64) -> i64 {
        let mut bytes = 0;
        let mut fitting = sizes.iter().enumerate().take_while(|(position, (_, size))| {
            bytes += size;
            *position == 0 || bytes <= PAGE_BYTES
        });
        match fitting.by_ref().last() {
            Some((position, (number, _))) if position + 1 < sizes.len() || sizes.len() as i64 == limit => {
                *number
            }
            _ => until,
        }
    }
}

/// A row to insert.
#[derive(Insertable)]
#[diesel(table_name = table_rows)]
pub(super) struct NewTableRow {
    task: SqlUuid,
    number: i64,
    attempt: i64,
    at: SqlTime,
    input: SqlJson,
    status: Option<i16>,
    reply: SqlJson,
    failed: bool,
}

impl NewTableRow {
    pub(super) fn new(UnkeptRow { task, attempt, sent }: UnkeptRow, now: Time) -> Self {
        Self {
            task: task.into(),
            number: sent.number,
            attempt,
            at: SqlTime(now.0),
            input: SqlJson(json!(sent.row)),
            status: sent.status.map(u16::cast_signed),
            failed: sent.has_failed(),
            reply: SqlJson(sent.reply),
        }
    }
}

/// Resets the charged attempts of the task.
#[auto_type]
pub(super) fn forget_tries(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    update(tasks::table).filter(tasks::id.eq(id)).filter(tasks::tries.ne(0_i32)).set(tasks::tries.eq(0_i32))
}

/// Counts the kept rows.
#[auto_type]
pub(super) fn sent(id: TaskId) -> _ {
    let rows: of = of(id);
    rows.select(count_star())
}

/// Counts the failed ones of the kept rows.
#[auto_type]
pub(super) fn failed(id: TaskId) -> _ {
    let rows: of = of(id);
    rows.filter(table_rows::failed).select(count_star())
}

/// Selects the attempt that kept the row with the highest number.
#[auto_type]
pub(super) fn last_attempt(id: TaskId) -> _ {
    let rows: of = of(id);
    let one: i64 = 1;
    rows.order(table_rows::number.desc()).limit(one).select(table_rows::attempt)
}

#[auto_type]
pub(super) fn numbers(id: TaskId, after: i64, limit: i64) -> _ {
    let rows: of = of(id);
    rows.filter(table_rows::number.gt(after))
        .order(table_rows::number.asc())
        .limit(limit)
        .select(table_rows::number)
}

type KeptColumns = (table_rows::number, table_rows::input, table_rows::status, table_rows::reply);

const KEPT_COLUMNS: KeptColumns =
    (table_rows::number, table_rows::input, table_rows::status, table_rows::reply);

/// Selects the rows of a page, in order. A filter that passes everything is part of the statement all the same; the statement walks along
/// the key in any case.
#[auto_type]
fn wanted(id: TaskId, after: i64, until: i64, filter: RowFilter, limit: i64) -> _ {
    let any_status: AsExprOf<bool, Bool> = filter.status().is_none().into_sql::<Bool>();
    let any_fate: AsExprOf<bool, Bool> = (filter != RowFilter::Failed).into_sql::<Bool>();
    let status: i16 = filter.status().unwrap_or_default();
    let rows: of = of(id);
    rows.filter(table_rows::number.gt(after))
        .filter(table_rows::number.le(until))
        .filter(any_status.or(table_rows::status.eq(status)))
        .filter(any_fate.or(table_rows::failed))
        .order(table_rows::number.asc())
        .limit(limit)
}

/// Selects the kept columns of the [`wanted`] rows.
#[auto_type]
pub(super) fn page(id: TaskId, after: i64, until: i64, filter: RowFilter, limit: i64) -> _ {
    let columns: KeptColumns = KEPT_COLUMNS;
    let rows: wanted = wanted(id, after, until, filter, limit);
    rows.select(columns)
}

/// Selects the numbers of the [`wanted`] rows, and their sizes in bytes.
#[auto_type]
pub(super) fn sizes(id: TaskId, after: i64, until: i64, filter: RowFilter, limit: i64) -> _ {
    let bytes: SqlLiteral<BigInt> = row_bytes();
    let rows: wanted = wanted(id, after, until, filter, limit);
    rows.select((table_rows::number, bytes))
}

/// Returns the size of a row as JSON, in bytes.
fn row_bytes() -> SqlLiteral<BigInt> {
    sql("CAST(octet_length(CAST(input AS text)) + octet_length(CAST(reply AS text)) AS bigint)")
}

#[auto_type]
fn of(id: TaskId) -> _ {
    let id: SqlUuid = SqlUuid(id.0);
    table_rows::table.filter(table_rows::task.eq(id))
}

/// A kept row.
#[derive(Queryable)]
pub(super) struct KeptRow {
    number: i64,
    input: SqlJson,
    status: Option<i16>,
    reply: SqlJson,
}

impl TryFrom<KeptRow> for SentRow {
    type Error = StoreError;

    fn try_from(row: KeptRow) -> Result<Self, StoreError> {
        let KeptRow { number, input, status, reply } = row;
        let row = serde_json::from_value(input.0)
            .map_err(|error| StoreError::Internal(std::sync::Arc::new(error)))?;
        Ok(Self { number, row, status: status.map(i16::cast_unsigned), reply: reply.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_its_bytes_do() {
        const HALF: i64 = PAGE_BYTES / 2;
        for (sizes, limit, end) in [
            (&[][..], 3, 9),
            (&[(2, 1), (5, 1)], 3, 9),
            (&[(2, 1), (5, 1), (6, 1)], 3, 6),
            (&[(2, HALF), (5, HALF), (6, 1)], 9, 5),
            (&[(2, HALF), (5, HALF)], 9, 9),
            (&[(2, 9 * PAGE_BYTES), (5, 1)], 9, 2),
            (&[(2, 9 * PAGE_BYTES)], 9, 9),
            (&[(2, 1), (5, 9 * PAGE_BYTES), (6, 1)], 9, 2),
        ] {
            assert_eq!(KeptRows::end_of_page(sizes, 9, limit), end, "{sizes:?}");
        }
    }
}
