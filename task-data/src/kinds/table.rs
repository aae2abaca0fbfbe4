//! A table whose rows are sent to a third party, one request for each row.
//!
//! A table is a CSV file (RFC 4180) with the columns `userId`, `title` and `body`. It is [checked](check) while it arrives, so that each
//! row of a task can be sent; both the check and the sender parse it with `csv`.

pub mod check;
mod csv;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::csv::{Record, Records};
use crate::task::TaskId;

/// The most tickets in one message of the queue.
pub(super) const TOGETHER: usize = 1;

/// The names of the columns; the header must be exactly these, in this order.
pub const COLUMNS: [&str; 3] = ["userId", "title", "body"];

/// The longest part of a cell that a reason quotes, in bytes, and the opening quotation mark. A 64-bit integer is shorter.
const MAX_TOLD: usize = 25;

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// A 64-bit integer.
    pub user_id: i64,
    /// Any text; may be empty.
    pub title: String,
    /// Any text; may be empty.
    pub body: String,
}

/// A row that has its final answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SentRow {
    /// The row's number in the table, counted from 1.
    pub number: i64,
    /// The row that was sent.
    pub row: Row,
    /// The HTTP status of the last response; `None` if none arrived.
    pub status: Option<u16>,
    /// The body of the last response, or a description of the error.
    pub reply: Value,
}

impl SentRow {
    /// Returns whether the third party did not accept the row.
    pub fn has_failed(&self) -> bool {
        !self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// A table as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The last segment of the file name that the client sent, with control and bidi characters replaced.
    pub filename: Option<String>,
    /// The length of the file in bytes.
    pub size: u64,
    /// The number of rows.
    pub rows: i64,
    /// The media type that the client sent.
    pub content_type: Option<String>,
    /// The table that the rows come from, if the task has no file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// A table whose failed rows are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The table in which the rows failed.
    pub table: Uuid,
    /// The table that the rows were submitted with. Its id stays in their `Idempotency-Key`s.
    pub first: Uuid,
    /// The number of rows of that first table; no row has a higher number.
    pub first_rows: i64,
}

impl Input {
    /// Returns the input of a table that sends again the `failed` rows that failed in the table `id`, which has this input.
    pub fn again(&self, id: TaskId, failed: i64) -> Self {
        let (first, first_rows) =
            self.source.map_or((id.0, self.rows), |source| (source.first, source.first_rows));
        let source = Some(Source { table: id.0, first, first_rows });
        Self { size: 0, rows: failed, source, ..self.clone() }
    }

    /// Returns the highest number that a row may have.
    pub fn last_row(&self) -> i64 {
        self.source.map_or(self.rows, |source| source.first_rows)
    }
}

/// The result of sending a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The number of rows; each has its answer.
    pub rows: i64,
    /// The number of rows that the third party did not accept.
    pub failed: i64,
}

/// Returns the counts for the outcome log; `-` if the result lacks them, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    let count = |name| result.get(name).and_then(Value::as_i64);
    match (count("rows"), count("failed")) {
        (Some(rows), Some(failed)) => format!("rows={rows} failed={failed}"),
        _ => "-".to_owned(),
    }
}

/// Why a record is not a row: the column, counted from 0, and a reason for people.
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
            let reason = format!("expected {} cells, got {}", COLUMNS.len(), record.count);
            return Err(NoRow { column: record.count.min(COLUMNS.len()), reason });
        }
        let mut cells = record.cells.iter().enumerate().map(|(column, cell)| {
            std::str::from_utf8(cell).map_err(|_| no_row(column, "expected UTF-8, got other bytes"))
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

/// Returns the beginning of a cell for a reason: in quotes, with escapes for invisible characters.
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

/// A file that passed the [check] is not a table any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored file is damaged: it differs from the table that was checked on upload")]
pub struct Damaged;

/// Parses the rows of a checked table from the bytes of its file.
#[derive(Debug, Default)]
pub struct RowParser {
    records: Records,
    is_in_body: bool,
}

impl RowParser {
    /// Adds the rows that end in the next bytes of the file.
    ///
    /// # Errors
    /// If the bytes are not valid rows.
    pub fn feed(&mut self, mut bytes: &[u8], rows: &mut Vec<Row>) -> Result<(), Damaged> {
        while let Some(record) = self.records.next(&mut bytes) {
            add(record, &mut self.is_in_body, rows)?;
        }
        Ok(())
    }

    /// Adds the row that ends with the file, if there is one.
    ///
    /// # Errors
    /// If it is not a valid row.
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
