//! Uploads as workers read them: from the blob store, and unchanged, or not at all.

use std::hash::Hasher;
use std::io::ErrorKind;

use task_data::blobs::{BlobError, BlobReader};
use task_data::task::TaskError;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use twox_hash::XxHash3_64;

use crate::work::WorkError;

const BUFFER: usize = 256 << 10;

/// A blob that a worker reads. At its end it checks that the bytes are those taken in.
pub struct CheckedBlob {
    blob: Box<dyn BlobReader>,
    size: u64,
    check: i64,
    xxh3: XxHash3_64,
    read: u64,
}

impl CheckedBlob {
    /// Creates the reader of a blob that was taken in with that length and that XXH3.
    pub fn new(blob: Box<dyn BlobReader>, size: u64, check: i64) -> Self {
        Self { blob, size, check, xxh3: XxHash3_64::new(), read: 0 }
    }

    /// Reads on, and blocks where it must; returns 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, WorkError> {
        loop {
            match self.blob.read(buffer) {
                Ok(length) => return self.checked(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(BlobError::from(error).into()),
            }
        }
    }

    /// Reads on without waiting; returns 0 at the end, `None` if only [`read`](Self::read) can tell.
    pub fn read_ready(&mut self, buffer: &mut [u8]) -> Option<Result<usize, WorkError>> {
        let length = self.blob.read_ready(buffer)?;
        Some(self.checked(&buffer[..length]))
    }

    fn checked(&mut self, bytes: &[u8]) -> Result<usize, WorkError> {
        self.xxh3.write(bytes);
        self.read += bytes.len() as u64;
        let has_ended = bytes.is_empty();
        if has_ended && (self.read != self.size || self.xxh3.finish().cast_signed() != self.check) {
            return Err(corrupt());
        }
        Ok(bytes.len())
    }
}

/// Reads an upload to its end, on this thread.
pub fn read_through(mut upload: CheckedBlob, stop: &CancellationToken) -> Result<(), WorkError> {
    let mut buffer = vec![0; BUFFER];
    while !stop.is_cancelled() {
        if upload.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
    Err(WorkError::Stopped)
}

/// Returns the error of a task whose upload has changed.
pub fn corrupt() -> WorkError {
    WorkError::Never(TaskError::new(
        "blob-corrupt",
        "The stored upload is damaged: it differs from the bytes that were uploaded.",
    ))
}

/// Runs a blocking function on a thread for blocking work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    spawn_blocking(work).await.unwrap_or_else(|panicked| Err(panicked.into()))
}
