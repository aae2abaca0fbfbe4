//! Reads the rows of a table's file as they are asked for.

use std::io::{self, Read};
use std::vec;

use tokio::task::spawn_blocking;

use crate::blobs::{BlobError, BlobReader};
use crate::kinds::table::{Damaged, Row, RowParser};

/// The number of bytes that are read at a time.
const BUFFER: usize = 64 << 10;

/// A table's file, read from the blob store. Between two calls it runs nothing.
pub struct RowFile {
    reader: Reader,
    ready: vec::IntoIter<Row>,
    number: i64,
}

enum Reader {
    Open(Box<Open>),
    /// On a blocking thread; if the next call still finds it there, the call before was dropped.
    Away,
    Ended,
}

struct Open {
    blob: Box<dyn BlobReader>,
    rows: RowParser,
    buffer: Vec<u8>,
}

/// Why the next row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RowFileError {
    /// The file could not be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The file's content has changed.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl RowFile {
    /// Starts at the beginning of the file.
    pub fn new(blob: Box<dyn BlobReader>) -> Self {
        let open = Open { blob, rows: RowParser::default(), buffer: vec![0; BUFFER] };
        Self { reader: Reader::Open(Box::new(open)), ready: Vec::new().into_iter(), number: 0 }
    }

    /// Returns the next row with its number, counted from 1; `None` after the last one.
    ///
    /// # Errors
    /// If the file can't be read. All further calls then fail too.
    ///
    /// # Cancel safety
    /// None: after a dropped call, the next one fails.
    pub async fn next(&mut self) -> Result<Option<(i64, Row)>, RowFileError> {
        loop {
            if let Some(row) = self.ready.next() {
                self.number += 1;
                return Ok(Some((self.number, row)));
            }
            let open = match std::mem::replace(&mut self.reader, Reader::Away) {
                Reader::Open(open) => open,
                Reader::Away => return Err(lost("an earlier read was dropped before it had finished").into()),
                Reader::Ended => {
                    self.reader = Reader::Ended;
                    return Ok(None);
                }
            };
            let reading = spawn_blocking(move || open.read());
            let (rows, reader) = reading.await.map_err(|_| lost("the reading thread has ended"))??;
            (self.ready, self.reader) = (rows.into_iter(), reader);
        }
    }
}

impl Open {
    /// Reads the rows that end in the next bytes.
    fn read(mut self: Box<Self>) -> Result<(Vec<Row>, Reader), RowFileError> {
        let mut rows = Vec::new();
        loop {
            match self.blob.read(&mut self.buffer) {
                Ok(0) => {
                    self.rows.finish(&mut rows)?;
                    return Ok((rows, Reader::Ended));
                }
                Ok(length) => {
                    self.rows.feed(&self.buffer[..length], &mut rows)?;
                    return Ok((rows, Reader::Open(self)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(BlobError::from(error).into()),
            }
        }
    }
}

fn lost(why: &'static str) -> BlobError {
    BlobError::Io(io::Error::other(why))
}
