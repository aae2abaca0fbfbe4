//! Checks whether a file is a table while it streams, and says where it is not.

use serde::Serialize;

use super::csv::{Record, Records};
use super::{COLUMNS, Row, quoted};

/// The most errors that are described for one table; further ones are only counted.
const MAX_ERRORS: usize = 100;

/// The file is not valid UTF-8, so its rows can't be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file is not valid UTF-8")]
pub struct NoText;

/// The errors in a file that is valid UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// The first errors, up to 100.
    pub first: Vec<CellError>,
    /// The number of all errors.
    pub total: u64,
}

/// An error in a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CellError {
    /// The row's number, counted from 1; 0 is the header. Empty lines don't count.
    pub row: u64,
    /// The cell's column.
    pub column: Column,
    /// A reason for people: the expected value, and the value found.
    pub reason: String,
    /// The line of the file on which the row begins, counted from 1. A row with line breaks in its cells spans several lines.
    pub line: u64,
}

/// A column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// A column of the header, by its name.
    Name(&'static str),
    /// A further column, by its number, counted from 1.
    Number(usize),
}

impl From<usize> for Column {
    /// Converts a number that is counted from 0.
    fn from(column: usize) -> Self {
        COLUMNS.get(column).map_or(Self::Number(column + 1), |name| Self::Name(name))
    }
}

/// Checks a file as it arrives.
#[derive(Debug, Default)]
pub struct Check {
    text: Utf8Check,
    records: Records,
    seen: Seen,
}

/// The state of the check.
#[derive(Debug, Default)]
struct Seen {
    /// The number of records, including the header.
    records: u64,
    /// Whether the header is wrong. Then no row can be right, and no further error is reported.
    has_other_header: bool,
    errors: Errors,
}

impl Check {
    /// Checks the next bytes of the file.
    ///
    /// # Errors
    /// If the file is not valid UTF-8. All other errors are returned at its end.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NoText> {
        self.text.feed(bytes)?;
        while let Some(record) = self.records.next(&mut bytes) {
            self.seen.look_at(record);
        }
        Ok(())
    }

    /// Returns the number of rows, when the file has ended.
    ///
    /// # Errors
    /// If the file is not valid UTF-8 (outer error), or is not a table (inner error).
    pub fn finish(mut self) -> Result<Result<u64, Errors>, NoText> {
        self.text.finish()?;
        if let Some(record) = self.records.end() {
            self.seen.look_at(record);
        }
        if self.seen.records == 0 {
            self.seen.add(0, 1, 0, "expected a header, found none");
        }
        let Seen { records, errors, .. } = self.seen;
        Ok(if errors.total == 0 { Ok(records - 1) } else { Err(errors) })
    }

    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.records.kept_bytes()
    }
}

impl Seen {
    fn look_at(&mut self, record: &Record) {
        let row = self.records;
        self.records += 1;
        if row == 0 {
            if let Some((column, reason)) = other_header(record) {
                self.has_other_header = true;
                self.add(row, record.line, column, reason);
            }
        } else if !self.has_other_header
            && let Err(no_row) = Row::try_from(record)
        {
            self.add(row, record.line, no_row.column, no_row.reason);
        }
    }

    fn add(&mut self, row: u64, line: u64, column: usize, reason: impl Into<String>) {
        self.errors.total += 1;
        if self.errors.first.len() < MAX_ERRORS {
            self.errors.first.push(CellError { row, column: column.into(), reason: reason.into(), line });
        }
    }
}

/// Returns the column in which a header differs from the expected one, and the reason; `None` if the header is right.
fn other_header(record: &Record) -> Option<(usize, String)> {
    if let Some((column, fault)) = record.fault {
        return Some((column, fault.reason().to_owned()));
    }
    let differs = COLUMNS.iter().zip(&record.cells).position(|(name, cell)| name.as_bytes() != cell);
    let column = differs.or((record.count != COLUMNS.len()).then_some(COLUMNS.len()))?;
    let got = quoted(&record.cells[..record.count.clamp(1, COLUMNS.len())].join(&b','));
    Some((column, format!("expected the header {}, got {got}", COLUMNS.join(","))))
}

/// Checks a stream for UTF-8 without U+0000.
#[derive(Debug, Default)]
struct Utf8Check {
    /// The incomplete character at the end of the previous bytes.
    begun: Vec<u8>,
}

impl Utf8Check {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NoText> {
        if bytes.contains(&0) {
            return Err(NoText);
        }
        while !self.begun.is_empty()
            && let Some((byte, rest)) = bytes.split_first()
        {
            self.begun.push(*byte);
            bytes = rest;
            let begun = std::mem::take(&mut self.begun);
            self.begun = rest_of(&begun)?.to_vec();
        }
        self.begun.extend_from_slice(rest_of(bytes)?);
        Ok(())
    }

    fn finish(&self) -> Result<(), NoText> {
        if self.begun.is_empty() { Ok(()) } else { Err(NoText) }
    }
}

/// Returns the bytes after the last complete character: the beginning of one, at most 3 bytes.
fn rest_of(bytes: &[u8]) -> Result<&[u8], NoText> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(&[]),
        Err(error) if error.error_len().is_none() => Ok(&bytes[error.valid_up_to()..]),
        Err(_) => Err(NoText),
    }
}
