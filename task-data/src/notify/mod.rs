//! The port that wakes those who wait for a task. A wake is a hint: who waits also reads the rows each second.

pub mod local;
pub mod redis;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::task::TaskId;

/// Wakes that a slow listener may be behind before it is told to look at everything.
const BACKLOG: usize = 4096;

/// Tells every process which tasks have changed.
#[async_trait]
pub trait Notify: Send + Sync {
    /// Tells that these tasks have changed. May be lost.
    async fn wake(&self, ids: Vec<TaskId>);

    /// What is told from now on, here and in other processes. Who lags behind is told so, and must look at all that
    /// he waits for.
    fn wakes(&self) -> broadcast::Receiver<TaskId>;
}
