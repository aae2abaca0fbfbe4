//! Reads a table in its current state: each row in the order of the file, sent or not, a chunk at a time.
//!
//! The database has the answered rows, with what was sent. The other rows come from the file, as long as it exists, or from the table in
//! which they had failed.

mod file;

use std::sync::Arc;

use database::reach::Reach;
use serde::Serialize;
use serde_json::Value;

pub use self::file::{RowFile, RowFileError};
use crate::blobs::Blobs;
use crate::kinds::table::{Input, Row, SentRow};
use crate::store::{KeptRows, PAGE_BYTES, RowFilter, Store, StoreError};
use crate::task::TaskId;

/// The most rows of a chunk. A row may have some MiB, and is then the only one.
const CHUNK: i64 = 64;

/// A row in its current state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableRow {
    /// The row's number, counted from 1.
    pub row: i64,
    /// The row's content; `None` if it was never sent and the file is gone.
    pub input: Option<Row>,
    /// The HTTP status of the response, if there was one.
    pub status: Option<u16>,
    /// The response, or a description of the error; `None` before either.
    pub reply: Option<Value>,
}

impl From<SentRow> for TableRow {
    fn from(sent: SentRow) -> Self {
        let SentRow { number, row, status, reply } = sent;
        Self { row: number, input: Some(row), status, reply: Some(reply) }
    }
}

/// A walk along a table. Between two chunks it holds nothing of the database.
pub struct TableReader {
    store: Arc<dyn Store>,
    blobs: Arc<dyn Blobs>,
    id: TaskId,
    /// The highest number that a row may have.
    last: i64,
    /// The number of the row that was returned last.
    after: i64,
    filter: RowFilter,
    reach: Reach,
    file: File,
    /// Reads the rows that failed in another table, if this one sends those again.
    source: Option<Box<TableReader>>,
}

/// The source of rows that were not sent yet.
enum File {
    NotOpened,
    /// An open file, with its next row.
    Open(RowFile, (i64, Row)),
    Gone,
}

impl TableReader {
    /// Starts at the first row of a table.
    pub fn new(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        id: TaskId,
        input: &Input,
        filter: RowFilter,
    ) -> Self {
        let source = match filter {
            RowFilter::All => Self::of_source(store.clone(), blobs.clone(), input).map(Box::new),
            RowFilter::Status(_) | RowFilter::Failed => None,
        };
        Self { source, ..Self::along(store, blobs, id, input.last_row(), filter) }
    }

    /// Reads the rows that failed in another table, if this one sends those again.
    pub fn of_source(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>, input: &Input) -> Option<Self> {
        let source = input.source?;
        Some(Self::along(store, blobs, TaskId(source.table), source.first_rows, RowFilter::Failed))
    }

    fn along(store: Arc<dyn Store>, blobs: Arc<dyn Blobs>, id: TaskId, last: i64, filter: RowFilter) -> Self {
        let (reach, file) = (Reach::new(CHUNK), File::NotOpened);
        Self { store, blobs, id, last, after: 0, filter, reach, file, source: None }
    }

    /// Returns the next rows, never an empty chunk; `None` at the end.
    ///
    /// # Errors
    /// If the store fails; the same chunk may be asked for again.
    pub async fn chunk(&mut self) -> Result<Option<Vec<TableRow>>, StoreError> {
        let Some(source) = &mut self.source else { return self.next_chunk().await };
        let before = source.after;
        let Some(unsent) = source.next_chunk().await? else { return Ok(None) };
        let number = |row: Option<&TableRow>| row.map_or(0, |row| row.row);
        let (first, last) = (number(unsent.first()), number(unsent.last()));
        let sent = self.store.kept_rows(self.id, first - 1, last, RowFilter::All, CHUNK).await;
        let sent = sent.inspect_err(|_| source.after = before)?;
        let (last, mut sent) = (sent.until, sent.rows.into_iter().peekable());
        // The page has no bytes left for later rows.
        source.after = source.after.min(last);
        let unsent = unsent.into_iter().take_while(|row| row.row <= last);
        let row = |unsent: TableRow| match sent.next_if(|sent| sent.number == unsent.row) {
            Some(sent) => sent.into(),
            None => TableRow { status: None, reply: None, ..unsent },
        };
        Ok(Some(unsent.map(row).collect()))
    }

    async fn next_chunk(&mut self) -> Result<Option<Vec<TableRow>>, StoreError> {
        while self.after < self.last {
            let until = match self.filter {
                RowFilter::All => self.after + CHUNK,
                RowFilter::Status(_) | RowFilter::Failed => self.after + self.reach.rows(),
            };
            let until = until.min(self.last);
            let kept = self.store.kept_rows(self.id, self.after, until, self.filter, CHUNK).await?;
            if kept.until == until {
                self.reach.found(kept.rows.len() as i64);
            }
            let chunk = match self.filter {
                RowFilter::All => self.with_unsent(kept).await,
                RowFilter::Status(_) | RowFilter::Failed => {
                    self.after = kept.until;
                    kept.rows.into_iter().map(TableRow::from).collect()
                }
            };
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Adds the unsent rows between the kept ones, up to where the page has bytes left.
    async fn with_unsent(&mut self, KeptRows { rows: sent, until }: KeptRows) -> Vec<TableRow> {
        let mut sent = sent.into_iter().peekable();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while self.after < until && bytes < PAGE_BYTES as usize {
            let number = self.after + 1;
            let row = match sent.next_if(|sent| sent.number == number) {
                Some(sent) => sent.into(),
                None => TableRow { row: number, input: self.unsent(number).await, status: None, reply: None },
            };
            // Kept rows were counted where they come from.
            if row.reply.is_none() {
                bytes += row.input.as_ref().map_or(0, |row| row.title.len() + row.body.len());
            }
            rows.push(row);
            self.after = number;
        }
        rows
    }

    /// Returns an unsent row from the file. Rows must be asked for in their order.
    async fn unsent(&mut self, wanted: i64) -> Option<Row> {
        if matches!(self.file, File::NotOpened) {
            self.file = match self.blobs.open(self.id).await {
                Ok(blob) => following(RowFile::new(blob)).await,
                Err(_) => File::Gone,
            };
        }
        loop {
            match std::mem::replace(&mut self.file, File::Gone) {
                File::Open(file, (number, row)) if number == wanted => {
                    self.file = following(file).await;
                    return Some(row);
                }
                File::Open(file, (number, _)) if number < wanted => self.file = following(file).await,
                other => {
                    self.file = other;
                    return None;
                }
            }
        }
    }
}

/// Advances to the next row. An unreadable file counts as gone, so that no damaged row is returned.
async fn following(mut file: RowFile) -> File {
    match file.next().await {
        Ok(Some(next)) => File::Open(file, next),
        Ok(None) | Err(_) => File::Gone,
    }
}
