//! The rows of a table that have no answer yet.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec;

use task_data::kinds::table::Row;
use task_data::life::Life;
use task_data::tables::{RowFile, RowFileError};
use task_data::task::TaskId;

use super::super::WorkError;
use super::super::upload::corrupt;
use super::not_now;

/// Numbers of rows that are looked up at a time.
const NUMBERS: i64 = 10_000;

/// A walk along the file, beside the rows that were kept.
pub struct Unsent {
    life: Arc<Life>,
    id: TaskId,
    file: RowFile,
    kept: Peekable<vec::IntoIter<i64>>,
    /// The last number that was looked up, unless there are no more.
    looked_up: Option<i64>,
}

impl Unsent {
    pub async fn open(life: Arc<Life>, id: TaskId) -> Result<Self, WorkError> {
        let file = RowFile::new(life.stack().blobs.open(id).await?);
        Ok(Self { life, id, file, kept: Vec::new().into_iter().peekable(), looked_up: Some(0) })
    }

    /// The next row, with its number.
    pub async fn next(&mut self) -> Result<Option<(i64, Row)>, WorkError> {
        loop {
            match self.file.next().await {
                Ok(Some((number, row))) if !self.is_kept(number).await? => return Ok(Some((number, row))),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(RowFileError::Damaged(_)) => return Err(corrupt()),
                Err(RowFileError::Blob(error)) => return Err(error.into()),
            }
        }
    }

    /// Asked in ascending order.
    async fn is_kept(&mut self, number: i64) -> Result<bool, WorkError> {
        loop {
            if let Some(kept) = self.kept.next_if(|kept| *kept <= number) {
                if kept == number {
                    return Ok(true);
                }
                continue;
            }
            let Some(after) = self.looked_up.filter(|_| self.kept.peek().is_none()) else { return Ok(false) };
            let kept =
                self.life.stack().store.kept_numbers(self.id, after, NUMBERS).await.map_err(not_now)?;
            self.looked_up = kept.last().copied().filter(|_| kept.len() as i64 == NUMBERS);
            self.kept = kept.into_iter().peekable();
        }
    }
}
