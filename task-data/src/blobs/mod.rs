//! The port to the blobs: uploads too large for a row, each named by its task's id.

pub mod folder;

use std::io::{self, Read};

use async_trait::async_trait;
use bytes::Bytes;
use nix::libc;
use tracing::warn;

use crate::task::{TaskId, Time};

/// An error of a blob store; each variant calls for another reaction.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The blob does not exist.
    #[error("the blob is missing")]
    Missing,
    /// The disk is full; nothing of the blob was kept.
    #[error("the disk of the uploads is full")]
    Full(#[source] io::Error),
    /// The process or the machine has too many open files; nothing was kept. A retry may help soon.
    #[error("too many files are open")]
    Busy(#[source] io::Error),
    /// Any other error; nothing of an unfinished blob was kept.
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

/// The number of shards. The last byte of an id selects the shard (the first bytes are the clock).
pub const SHARDS: u16 = 256;

/// A store of blobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Begins a blob; it is invisible before it is kept.
    async fn create(&self, id: TaskId) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Opens a blob for reading on a blocking thread.
    async fn open(&self, id: TaskId) -> Result<Box<dyn BlobReader>, BlobError>;

    /// Makes a durable copy of a blob under another id, as of the database's time `now`.
    async fn copy(&self, from: TaskId, to: TaskId, now: Time) -> Result<(), BlobError>;

    /// Deletes a blob; succeeds if it does not exist.
    async fn delete(&self, id: TaskId) -> Result<(), BlobError>;

    /// Returns the blobs of one shard (below [`SHARDS`]) that were kept before that time.
    async fn kept_before(&self, shard: u16, time: Time) -> Result<Vec<TaskId>, BlobError>;

    /// Returns the names of unfinished blobs that were last written to before that time.
    async fn unfinished_before(&self, time: Time) -> Result<Vec<String>, BlobError>;

    /// Removes unfinished blobs whose writers are gone, or, where that can't be known, that were last written to before that time. Returns
    /// their number.
    async fn remove_unfinished(&self, before: Time) -> Result<u64, BlobError>;

    /// Removes the blobs that this process has begun and not kept, when it is about to end: nothing more is written afterwards.
    async fn abandon(&self);

    /// Writes, syncs and removes a file too large for a row. Fails if such an upload would fail.
    async fn try_write(&self) -> Result<(), BlobError>;

    /// Returns the free space in bytes, if the store knows it.
    async fn free_bytes(&self) -> Result<Option<u64>, BlobError>;
}

/// Deletes blobs that are not needed any more. The orphan sweep deletes later what can't be deleted now.
pub(crate) async fn delete_all(blobs: &dyn Blobs, ids: impl IntoIterator<Item = TaskId>) {
    for id in ids {
        if let Err(error) = blobs.delete(id).await {
            warn!(task.id = %id, %error, "the upload of the task could not be removed; the orphan sweep will remove it");
        }
    }
}

/// A blob that is being read, from its beginning.
pub trait BlobReader: Read + Send {
    /// Reads as much as is available without waiting for a disk or a network. `None` if that is not known: call [`Read::read`].
    fn read_ready(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// A blob that is being written. Dropped before it is kept, it is removed.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes; waits while the store is slower than the sender, so that memory stays bounded.
    async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError>;

    /// Makes the blob durable and visible under its id, as of the database's time `now`.
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
