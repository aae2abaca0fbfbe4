//! Workers as operators see them, and their draining: a worker that drains takes nothing more, and finishes or hands back what it has.

use tracing::info;

use super::Life;
use crate::store::{StoreError, WorkerState};
use crate::task::WorkerId;

impl Life {
    /// Returns the workers that have a lease, each with the tasks that have run longest.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn workers(&self) -> Result<Vec<WorkerState>, StoreError> {
        self.stack.store.workers().await
    }

    /// Records whether a worker is to take nothing more; its next heartbeat tells it. Returns `false` if it has no lease.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drain(&self, worker: WorkerId, is_draining: bool) -> Result<bool, StoreError> {
        let is_known = self.stack.store.drain(worker, is_draining).await?;
        if is_known {
            info!(%worker, "the worker is to take {}", if is_draining { "nothing more" } else { "tasks again" });
        }
        Ok(is_known)
    }
}
