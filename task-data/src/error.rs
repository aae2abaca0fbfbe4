//! Why a promise was not given, or could not be looked up.

use database::batch::Stopped;

use crate::blobs::BlobError;
use crate::store::StoreError;

/// Nothing was promised; the variant says whether a retry can help.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blob store failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The idempotency key belongs to a task with different content.
    #[error("this idempotency key was already used with different content")]
    KeyMismatch,
    /// The program is shutting down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
