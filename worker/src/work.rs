//! The outcome of work: a result, or the reason why there is none.

use serde_json::Value;
use task_data::blobs::BlobError;
use task_data::task::TaskError;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::JoinError;
use tokio::time::Duration;

/// How long work rests that could not open a file, because too many were open.
const UNTIL_FILES_CLOSE: Duration = Duration::from_secs(1);

/// A kind's `Output` in JSON.
pub type Output = Value;

/// Why work has no result, by what the worker does then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkError {
    /// Try again with backoff: the world may change. At the bound of tries this is the task's error.
    Later(TaskError),
    /// Never: the input is at fault.
    Never(TaskError),
    /// Not now, and no fault of the task's: what it waits for may be there after so long. Costs no try.
    NotYet(Duration, TaskError),
    /// The worker was told to stop; it says nothing of the task.
    Stopped,
}

impl From<JoinError> for WorkError {
    /// A panic ends this attempt alone.
    fn from(_: JoinError) -> Self {
        Self::Later(TaskError::new("internal", "The worker failed at the task."))
    }
}

impl From<RecvError> for WorkError {
    /// So does one of who was asked.
    fn from(_: RecvError) -> Self {
        Self::Later(TaskError::new("internal", "The worker failed at the task."))
    }
}

impl From<BlobError> for WorkError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing => Self::Later(TaskError::new("blob-missing", "The upload is missing.")),
            // No fault of the task's.
            BlobError::Busy(_) => {
                let error = TaskError::new("overloaded", "The worker has as many files open as it may.");
                Self::NotYet(UNTIL_FILES_CLOSE, error)
            }
            BlobError::Full(_) | BlobError::Io(_) => {
                Self::Later(TaskError::new("io", "The upload could not be read."))
            }
        }
    }
}
