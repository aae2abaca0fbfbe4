//! The port that wakes clients that wait for a task. A wake is a hint: a waiting client's row is also read each second.

pub mod local;
pub mod redis;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::task::TaskId;

/// The number of wakes that a slow listener may fall behind before it must look at everything.
const BACKLOG: usize = 4096;

/// Tells every process which tasks have changed.
#[async_trait]
pub trait Notify: Send + Sync {
    /// Announces that these tasks have changed. The announcement may be lost.
    async fn wake(&self, ids: Vec<TaskId>);

    /// Returns the wakes from now on, of this and other processes. A listener that lags behind gets an error, and must then look at all
    /// tasks that it waits for.
    fn wakes(&self) -> broadcast::Receiver<TaskId>;
}
