//! A table of rows that are sent on to a third party, one request a row.
//!
//! A table is a CSV file (RFC 4180) of the columns `userId`, `title` and `body`. It is [checked](check) while it comes in, so each row of
//! a task can be sent; `csv` takes it apart, there and here.

pub mod check;
mod csv;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::csv::{Record, Records};
use crate::task::TaskId;

/// The columns' names, which the header has exactly so.
pub const COLUMNS: [&str; 3] = ["userId", "title", "body"];

/// Bytes of a cell that a reason tells at most, and a quotation mark: an integer of 64 bits has fewer.
const MAX_TOLD: usize = 25;

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// An integer of 64 bits.
    pub user_id: i64,
    /// Any text, also none.
    pub title: String,
    /// Any text, also none.
    pub body: String,
}

/// A row that has its final answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SentRow {
    /// Its number in the table, counted from 1.
    pub number: i64,
    /// What was sent.
    pub row: Row,
    /// The HTTP status of the last answer; `None` if none ever came.
    pub status: Option<u16>,
    /// The last answer, or what was met instead of one.
    pub reply: Value,
}

impl SentRow {
    /// Whether the third party did not take it.
    pub fn has_failed(&self) -> bool {
        !self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The last segment of the name that was sent, control and bidi characters replaced.
    pub filename: Option<String>,
    /// Length of its file in bytes.
    pub size: u64,
    /// How many rows it has.
    pub rows: i64,
    /// The media type that was sent.
    pub content_type: Option<String>,
    /// Where the rows come from, if it has no file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// The rows of a table that had failed, and are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The table in which they had failed.
    pub table: Uuid,
    /// The table that they were handed in with. Its id stays in their `Idempotency-Key`s.
    pub first: Uuid,
    /// How many rows that one has; no row has a higher number.
    pub first_rows: i64,
}

impl Input {
    /// The input of a table that sends the rows again which have failed of the table `id` with this input. `failed` of them have.
    pub fn again(&self, id: TaskId, failed: i64) -> Self {
        let (first, first_rows) =
            self.source.map_or((id.0, self.rows), |source| (source.first, source.first_rows));
        let source = Some(Source { table: id.0, first, first_rows });
        Self { size: 0, rows: failed, source, ..self.clone() }
    }

    /// The highest number that a row may have.
    pub fn last_row(&self) -> i64 {
        self.source.map_or(self.rows, |source| source.first_rows)
    }
}

/// What came of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// How many there are; each has its answer.
    pub rows: i64,
    /// How many of them the third party did not take.
    pub failed: i64,
}

/// The counts; `-` should a result lack them, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    let count = |name| result.get(name).and_then(Value::as_i64);
    match (count("rows"), count("failed")) {
        (Some(rows), Some(failed)) => format!("rows={rows} failed={failed}"),
        _ => "-".to_owned(),
    }
}

/// Why a record is no row: in which column, counted from 0, and what a person is told.
struct NoRow {
    column: usize,
    reason: String,
}

impl TryFrom<&Record> for Row {
    type Error = NoRow;

    fn try_from(record: &Record) -> Result<Self, NoRow> {
        let no_row = |column, reason: &str| NoRow { column, reason: reason.to_owned() };
        if let Some((column, fault)) = record.fault {
            return Err(no_row(column, fault.reason()));
        }
        if record.count != COLUMNS.len() {
            let reason = format!("the row has {} cells instead of {}", record.count, COLUMNS.len());
            return Err(NoRow { column: record.count.min(COLUMNS.len()), reason });
        }
        let mut cells = record.cells.iter().enumerate().map(|(column, cell)| {
            std::str::from_utf8(cell).map_err(|_| no_row(column, "the cell is not UTF-8"))
        });
        let mut cell = || cells.next().unwrap_or(Ok(""));
        let user_id = cell()?;
        let user_id = user_id.parse().map_err(|_| {
            let reason = format!("expected a 64-bit integer, got {}", quoted(user_id.as_bytes()));
            NoRow { column: 0, reason }
        })?;
        Ok(Self { user_id, title: cell()?.to_owned(), body: cell()?.to_owned() })
    }
}

/// Returns the beginning of a cell as a reason tells it: in quotes, with escapes for what can't be seen.
fn quoted(cell: &[u8]) -> String {
    let mut told = String::from("\"");
    for c in String::from_utf8_lossy(cell).chars() {
        let length = told.len();
        if c == '\'' {
            told.push(c);
        } else {
            told.extend(c.escape_debug());
        }
        if told.len() > MAX_TOLD {
            told.truncate(length);
            return told + "\" …";
        }
    }
    told + "\""
}

/// A table that was [checked](check) is no table any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file is no longer the table that was taken in")]
pub struct Damaged;

/// The rows of a table that was checked, taken out of the bytes of its file.
#[derive(Debug, Default)]
pub struct RowParser {
    records: Records,
    is_in_body: bool,
}

impl RowParser {
    /// Adds the rows that end in the next bytes of the file.
    ///
    /// # Errors
    /// If they are no rows.
    pub fn feed(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), Damaged> {
        while let Some(record) = self.records.next(&mut bytes) {
            add(record, &mut self.is_in_body, rows)?;
        }
        Ok(())
    }

    /// Adds the row that ends with the file, if there is one.
    ///
    /// # Errors
    /// If it is no row.
    pub fn finish(&mut self, rows: &mut Vec<Row>) -> Result<(), Damaged> {
        match self.records.end() {
            Some(record) => add(record, &mut self.is_in_body, rows),
            None => Ok(()),
        }
    }
}

fn add(record: &Record, is_in_body: &mut bool, rows: &mut Vec<Row>) -> Result<(), Damaged> {
    if std::mem::replace(is_in_body, true) {
        rows.push(Row::try_from(record).map_err(|_| Damaged)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
