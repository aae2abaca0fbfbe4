//! The rows of a table that are not answered yet.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use task_data::blobs::Blobs;
use task_data::kinds::table::{Input, Row};
use task_data::store::Store;
use task_data::tables::{RowFile, RowFileError, TableReader, TableRow};
use task_data::task::TaskId;

use super::super::checked_blob::corrupt;
use super::not_now;
use crate::work::WorkError;

/// The number of row numbers that are looked up at a time.
const NUMBERS: i64 = 10_000;

/// A walk along the table, beside the rows that were kept.
pub struct Unsent {
    store: Arc<dyn Store>,
    id: TaskId,
    rows: RowSource,
    kept: Peekable<vec::IntoIter<i64>>,
    /// The last number that was looked up; `None` if there are no more.
    looked_up: Option<i64>,
}

/// The source of the rows.
enum RowSource {
    File(RowFile),
    /// Another table in which the rows failed: its reader, and the rows it has read.
    Table(Box<TableReader>, vec::IntoIter<TableRow>),
}

impl Unsent {
    pub async fn open(
        store: Arc<dyn Store>,
        blobs: Arc<dyn Blobs>,
        id: TaskId,
        input: &Input,
    ) -> Result<Self, WorkError> {
        let rows = match TableReader::of_source(store.clone(), blobs.clone(), input) {
            Some(reader) => RowSource::Table(Box::new(reader), Vec::new().into_iter()),
            None => RowSource::File(RowFile::new(blobs.open(id).await?)),
        };
        Ok(Self { store, id, rows, kept: Vec::new().into_iter().peekable(), looked_up: Some(0) })
    }

    /// Returns the next unanswered row, with its number.
    pub async fn next(&mut self) -> Result<Option<(i64, Row)>, WorkError> {
        loop {
            match self.rows.next().await? {
                Some((number, row)) if !self.is_kept(number).await? => return Ok(Some((number, row))),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Returns whether the row was kept. Must be called in ascending order.
    async fn is_kept(&mut self, number: i64) -> Result<bool, WorkError> {
        loop {
            if let Some(kept) = self.kept.next_if(|kept| *kept <= number) {
                if kept == number {
                    return Ok(true);
                }
                continue;
            }
            let Some(after) = self.looked_up.filter(|_| self.kept.peek().is_none()) else { return Ok(false) };
            let kept = self.store.kept_numbers(self.id, after, NUMBERS).await.map_err(not_now)?;
            self.looked_up = kept.last().copied().filter(|_| kept.len() as i64 == NUMBERS);
            self.kept = kept.into_iter().peekable();
        }
    }
}

impl RowSource {
    async fn next(&mut self) -> Result<Option<(i64, Row)>, WorkError> {
        match self {
            Self::File(file) => match file.next().await {
                Ok(next) => Ok(next),
                Err(RowFileError::Damaged(_)) => Err(corrupt()),
                Err(RowFileError::Blob(error)) => Err(error.into()),
            },
            Self::Table(reader, read) => loop {
                match read.next() {
                    Some(TableRow { row, input: Some(input), .. }) => return Ok(Some((row, input))),
                    // Cannot happen: a kept row has its content.
                    Some(_) => {}
                    None => match reader.chunk().await.map_err(not_now)? {
                        Some(rows) => *read = rows.into_iter(),
                        None => return Ok(None),
                    },
                }
            },
        }
    }
}
