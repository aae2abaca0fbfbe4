//! Whether a file is a table: told while it streams, with where it is none.

use serde::Serialize;

use super::csv::{Record, Records};
use super::{COLUMNS, Row, quoted};

/// Errors that are told of one table at most; the others are counted.
const MAX_ERRORS: usize = 100;

/// The file is no text in UTF-8: no row of it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no text in UTF-8")]
pub struct NoText;

/// What is wrong with a file that is text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// The first ones.
    pub first: Vec<CellError>,
    /// How many there are.
    pub total: u64,
}

/// What is wrong with a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CellError {
    /// Counted from 1; 0 is the header. Empty lines don't count.
    pub row: u64,
    /// Which cell.
    pub column: Column,
    /// For people: what was expected, and what came.
    pub reason: String,
    /// The line of the file that the row begins on, counted from 1. A row with line breaks in its cells has several.
    pub line: u64,
}

/// Which cell of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// By the name of its column.
    Name(&'static str),
    /// By its number, counted from 1: there is no such column.
    Number(usize),
}

impl From<usize> for Column {
    /// From a number that is counted from 0.
    fn from(column: usize) -> Self {
        COLUMNS.get(column).map_or(Self::Number(column + 1), |name| Self::Name(name))
    }
}

/// Checks a file that comes in.
#[derive(Debug, Default)]
pub struct Check {
    text: Utf8Check,
    records: Records,
    seen: Seen,
}

/// What was seen of the records.
#[derive(Debug, Default)]
struct Seen {
    /// The header included.
    records: u64,
    /// With another header no row can be right, and that is enough to be told.
    has_other_header: bool,
    errors: Errors,
}

impl Check {
    /// Looks at the next bytes of the file.
    ///
    /// # Errors
    /// If it is no text. Whatever else is wrong is told at its end.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NoText> {
        self.text.feed(bytes)?;
        while let Some(record) = self.records.next(&mut bytes) {
            self.seen.look_at(record);
        }
        Ok(())
    }

    /// The number of rows, when the file has ended.
    ///
    /// # Errors
    /// If it is no text, or what is wrong with it.
    pub fn finish(mut self) -> Result<Result<u64, Errors>, NoText> {
        self.text.finish()?;
        if let Some(record) = self.records.end() {
            self.seen.look_at(record);
        }
        if self.seen.records == 0 {
            self.seen.add(0, 1, 0, "there is no header");
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

/// Where a header is not what it must be, and why.
fn other_header(record: &Record) -> Option<(usize, String)> {
    if let Some((column, fault)) = record.fault {
        return Some((column, fault.reason().to_owned()));
    }
    let differs = COLUMNS.iter().zip(&record.cells).position(|(name, cell)| name.as_bytes() != cell);
    let column = differs.or((record.count != COLUMNS.len()).then_some(COLUMNS.len()))?;
    let got = quoted(&record.cells[..record.count.clamp(1, COLUMNS.len())].join(&b','));
    Some((column, format!("the header must be {}, got {got}", COLUMNS.join(","))))
}

/// Text in UTF-8 without NUL, as it streams.
#[derive(Debug, Default)]
struct Utf8Check {
    /// The beginning of a character that the bytes before have ended in.
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

/// What follows the last whole character: the beginning of one, at most 3 bytes.
fn rest_of(bytes: &[u8]) -> Result<&[u8], NoText> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(&[]),
        Err(error) if error.error_len().is_none() => Ok(&bytes[error.valid_up_to()..]),
        Err(_) => Err(NoText),
    }
}
