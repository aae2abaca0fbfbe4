//! The work of each kind.

mod md5;

use serde_json::Value;
use task_data::blobs::BlobError;
use task_data::kinds::Kind;
use task_data::life::Life;
use task_data::store::Claim;
use task_data::task::TaskError;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

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

/// How long work that was told to stop may take to look up.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Does a claimed task, unless it is stopped. `content` is its upload, where that travels in the row.
pub async fn work(
    life: &Life,
    claim: &Claim,
    content: Option<Vec<u8>>,
    stop: CancellationToken,
) -> Result<Output, WorkError> {
    let stopped = async {
        stop.cancelled().await;
        sleep(LOOK_UP).await;
    };
    let work = async {
        match claim.kind {
            Kind::Md5 => md5::work(life, claim, content, stop.clone()).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        // A thread that hangs in a read hears nothing; its task must not hang with it.
        () = stopped => Err(WorkError::Stopped),
    }
}
