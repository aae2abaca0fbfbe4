//! The outcome of work: a result, or the reason for its absence.

use serde_json::Value;
use task_data::blobs::BlobError;
use task_data::task::TaskError;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::JoinError;
use tokio::time::Duration;

/// The delay after work that could not open a file, because too many were open.
const UNTIL_FILES_CLOSE: Duration = Duration::from_secs(1);

/// A kind's `Output` in JSON.
pub type Output = Value;

/// Why work has no result; each variant calls for another reaction of the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkError {
    /// Retry with backoff: the error may pass. When the attempts are used up, this is the task's error.
    Later(TaskError),
    /// Fail at once: the input is at fault.
    Never(TaskError),
    /// Retry after that time, without a charge: the task waits for something else.
    NotYet(Duration, TaskError),
    /// The worker was stopped, which says nothing about the task.
    Stopped,
}

impl From<JoinError> for WorkError {
    /// A panic ends only this attempt.
    fn from(_: JoinError) -> Self {
        Self::Later(TaskError::new("internal", "The worker failed at the task because of an internal error."))
    }
}

impl From<RecvError> for WorkError {
    /// A thread that does not reply has panicked, which ends only this attempt.
    fn from(_: RecvError) -> Self {
        Self::Later(TaskError::new("internal", "The worker failed at the task because of an internal error."))
    }
}

impl From<BlobError> for WorkError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing => Self::Later(TaskError::new("blob-missing", "The upload is missing.")),
            // Not the task's fault.
            BlobError::Busy(_) => {
                let error = TaskError::new("overloaded", "The worker has too many files open.");
                Self::NotYet(UNTIL_FILES_CLOSE, error)
            }
            BlobError::Full(_) | BlobError::Io(_) => {
                Self::Later(TaskError::new("io", "The upload could not be read."))
            }
        }
    }
}
