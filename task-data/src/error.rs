//! Why a promise was not given, or could not be looked up.

use database::batch::Stopped;

use crate::blobs::BlobError;
use crate::store::StoreError;

/// Nothing was promised; what it says of its parts tells whether to try again.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The database's side.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blob store's side.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The idempotency key stands for a task of another content.
    #[error("the idempotency key was used for another content")]
    KeyMismatch,
    /// The program is ending.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
