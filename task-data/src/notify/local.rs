//! The embedded adapter: wakes within this process.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{BACKLOG, Notify};
use crate::task::TaskId;

/// Wakes within this process.
pub struct LocalNotify {
    wakes: broadcast::Sender<TaskId>,
}

impl LocalNotify {
    /// Creates the adapter, without listeners yet.
    pub fn new() -> Self {
        Self { wakes: broadcast::Sender::new(BACKLOG) }
    }
}

impl Default for LocalNotify {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Notify for LocalNotify {
    async fn wake(&self, ids: Vec<TaskId>) {
        for id in ids {
            // Without listeners, no client waits.
            let _ = self.wakes.send(id);
        }
    }

    fn wakes(&self) -> broadcast::Receiver<TaskId> {
        self.wakes.subscribe()
    }
}
