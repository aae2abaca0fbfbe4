//! The work of each kind.

mod md5;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use task_data::blobs::BlobError;
use task_data::kinds::Kind;
use task_data::life::Life;
use task_data::store::Claim;
use task_data::task::TaskError;

/// A kind's `Output` in JSON.
pub type Output = Value;

/// Why work has no result, by what the worker does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkError {
    /// Try again with backoff: the world may change. At the bound of tries this is the task's error.
    Later(TaskError),
    /// Never: the input is at fault.
    Never(TaskError),
    /// The worker was told to stop; it says nothing of the task.
    Stopped,
}

impl From<BlobError> for WorkError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing => Self::Later(TaskError::new("blob-missing", "The upload is missing.")),
            BlobError::Full(_) | BlobError::Io(_) => {
                Self::Later(TaskError::new("io", "The upload could not be read."))
            }
        }
    }
}

/// Tells work that it should stop. Long work looks at it now and then.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the work is not wanted.
    pub fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does a claimed task. `content` is its upload, where that travels in the row.
pub async fn work(
    life: &Life,
    claim: &Claim,
    content: Option<Vec<u8>>,
    stop: Stop,
) -> Result<Output, WorkError> {
    match claim.kind {
        Kind::Md5 => md5::work(life, claim, content, stop).await,
    }
}
