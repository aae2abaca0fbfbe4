//! Uploads as workers read them: from the blob store, and whole, or not at all.

use std::hash::Hasher;
use std::io::Read;

use task_data::blobs::BlobError;
use task_data::task::TaskError;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use twox_hash::XxHash3_64;

use super::WorkError;

const BUFFER: usize = 256 << 10;

/// Reads a blob through, and notices at its end if it is not what was taken in.
pub fn read_through(
    mut blob: Box<dyn Read + Send>,
    size: u64,
    check: i64,
    stop: &CancellationToken,
    mut take: impl FnMut(&[u8]),
) -> Result<(), WorkError> {
    let (mut xxh3, mut read) = (XxHash3_64::new(), 0_u64);
    let mut buffer = vec![0; BUFFER];
    loop {
        if stop.is_cancelled() {
            return Err(WorkError::Stopped);
        }
        let length = match blob.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(BlobError::from(error).into()),
        };
        take(&buffer[..length]);
        xxh3.write(&buffer[..length]);
        read += length as u64;
    }
    if read == size && xxh3.finish().cast_signed() == check { Ok(()) } else { Err(corrupt()) }
}

/// The upload has changed.
pub fn corrupt() -> WorkError {
    WorkError::Never(TaskError::new("blob-corrupt", "The upload is no longer what was taken in."))
}

/// Does what blocks on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkError> + Send + 'static,
) -> Result<T, WorkError> {
    spawn_blocking(work).await.unwrap_or_else(|panicked| Err(panicked.into()))
}
