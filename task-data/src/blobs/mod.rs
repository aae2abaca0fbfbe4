//! The port to the blobs: uploads too large for a row, each named by its task's id.

pub mod folder;

use std::io::{self, Read};

use async_trait::async_trait;
use bytes::Bytes;
use nix::libc;
use tracing::warn;

use crate::task::{TaskId, Time};

/// What a blob store could not do, by what a caller then does.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("the blob is missing")]
    Missing,
    /// There is no room for it; nothing of it was kept.
    #[error("there is no space for the blob")]
    Full(#[source] io::Error),
    /// The process or the machine has as many files open as it may; nothing was kept. It may pass soon.
    #[error("too many files are open")]
    Busy(#[source] io::Error),
    /// Anything else; nothing of an unfinished blob was kept.
    #[error("the blob could not be read or written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull};
        match error.kind() {
            _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => Self::Busy(error),
            NotFound => Self::Missing,
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(error),
            _ => Self::Io(error),
        }
    }
}

/// Blobs are spread over so many shards, by the last byte of their ids (the first are the clock).
pub const SHARDS: u16 = 256;

/// Keeps blobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Begins a blob; nothing is seen of it before it is kept.
    async fn create(&self, id: TaskId) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a blob, to be read on a blocking thread.
    async fn open(&self, id: TaskId) -> Result<Box<dyn BlobReader>, BlobError>;

    /// Deletes a blob; one that is gone already is no error.
    async fn delete(&self, id: TaskId) -> Result<(), BlobError>;

    /// The blobs of one shard (below [`SHARDS`]) that were kept before that time.
    async fn kept_before(&self, shard: u16, time: Time) -> Result<Vec<TaskId>, BlobError>;

    /// The names of what unfinished blobs have left that was last written to before that time.
    async fn unfinished_before(&self, time: Time) -> Result<Vec<String>, BlobError>;

    /// Removes what unfinished blobs have left whose writers are gone, and counts it. Where that can't be known, what was last
    /// written to before that time.
    async fn remove_unfinished(&self, before: Time) -> Result<u64, BlobError>;

    /// Removes what this process has begun and not kept, when it is about to end: nothing more is written after.
    async fn abandon(&self);

    /// Writes, syncs and removes something as large as an upload that does not fit into a row. Fails where that would.
    async fn try_write(&self) -> Result<(), BlobError>;

    /// Bytes that may still be written, if the store can tell.
    async fn free_bytes(&self) -> Result<Option<u64>, BlobError>;
}

/// Deletes blobs that nobody needs any more. One that can't be deleted is left to the orphan sweep.
pub(crate) async fn delete_all(blobs: &dyn Blobs, ids: impl IntoIterator<Item = TaskId>) {
    for id in ids {
        if let Err(error) = blobs.delete(id).await {
            warn!(task.id = %id, %error, "the upload of the task could not be removed; the orphan sweep will");
        }
    }
}

/// A blob that is being read, from its beginning.
pub trait BlobReader: Read + Send {
    /// Reads on where that needs no wait for a disk or a network. `None`: not known without one, so [`Read::read`] must tell.
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// A blob that is being written. Dropped before it is kept, it is gone.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes; waits while the store is slower than the sender, so memory stays bounded.
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError>;

    /// Makes the blob durable and seen under its id, as of the time `now` of the database.
    async fn keep(self: Box<Self>, now: Time) -> Result<(), BlobError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_no_fault_of_a_blobs() {
        for number in [libc::EMFILE, libc::ENFILE] {
            let error = BlobError::from(io::Error::from_raw_os_error(number));

            assert!(matches!(error, BlobError::Busy(_)), "{error:?}");
        }
    }
}
