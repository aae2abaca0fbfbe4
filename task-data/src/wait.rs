//! Looks at tasks and waits for them: many callers, one query.
//!
//! A waiter subscribes first and reads the row then, so no change is missed in between. One task of the process reads all awaited rows:
//! changed ones as soon as a wake arrives, all of them each second.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use database::batch::Batcher;
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::metrics;
use crate::store::{Store, StoreError};
use crate::task::{Task, TaskId};

/// The interval at which all awaited rows are read, since wakes may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// The most rows read by one query: a message may have a third of a MiB.
const ROWS: usize = 250;

/// All reads and waits of this process.
pub(crate) struct Waiters {
    store: Arc<dyn Store>,
    finds: Batcher<TaskId, Result<Option<Task>, StoreError>>,
    watched: Mutex<HashMap<TaskId, watch::Sender<Option<Task>>>>,
}

impl Waiters {
    /// Starts the one task that reads for all callers, on the current runtime.
    pub(crate) fn start(store: Arc<dyn Store>, wakes: broadcast::Receiver<TaskId>) -> Arc<Self> {
        let finds = Batcher::start(ROWS, {
            let store = store.clone();
            move |ids| find_all(store.clone(), ids)
        });
        let waiters = Arc::new(Self { store, finds, watched: Mutex::default() });
        tokio::spawn(waiters.clone().run(wakes));
        waiters
    }

    /// Returns the task; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn find(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.finds.send(id).await.unwrap_or_else(|stopped| Err(StoreError::Unavailable(Arc::new(stopped))))
    }

    /// Watches a task: sees each of its changes from now on.
    pub(crate) fn watch(self: &Arc<Self>, id: TaskId) -> Watch {
        metrics::waiter_came();
        let receiver = self.watched.lock().entry(id).or_insert_with(|| watch::Sender::new(None)).subscribe();
        Watch { id, receiver, waiters: self.clone(), seen: None }
    }

    async fn run(self: Arc<Self>, mut wakes: broadcast::Receiver<TaskId>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut ids = HashSet::new();
            tokio::select! {
                _ = look.tick() => ids.extend(self.watched.lock().keys().copied()),
                woken = wakes.recv() => match woken {
                    Ok(id) => {
                        ids.insert(id);
                        while let Ok(id) = wakes.try_recv() {
                            ids.insert(id);
                        }
                    }
                    Err(RecvError::Lagged(_)) => ids.extend(self.watched.lock().keys().copied()),
                    Err(RecvError::Closed) => return,
                },
            }
            let ids: Vec<TaskId> = {
                let watched = self.watched.lock();
                ids.into_iter().filter(|id| watched.contains_key(id)).collect()
            };
            for ids in ids.chunks(ROWS) {
                let found = find_all(self.store.clone(), ids.to_vec()).await;
                if let Some(error) = found.iter().find_map(|found| found.as_ref().err()) {
                    debug!(%error, "awaited rows could not be read; trying again");
                }
                self.tell(found.into_iter().filter_map(|found| found.ok().flatten()));
            }
        }
    }

    fn tell(&self, tasks: impl Iterator<Item = Task>) {
        let watched = self.watched.lock();
        for task in tasks {
            if let Some(sender) = watched.get(&task.id) {
                sender.send_if_modified(|seen| {
                    let is_news = seen.as_ref() != Some(&task);
                    *seen = Some(task);
                    is_news
                });
            }
        }
    }
}

/// Looks up a batch of tasks; if a row in it can't be read, one by one, so that it can't hold up the others.
async fn find_all(store: Arc<dyn Store>, ids: Vec<TaskId>) -> Vec<Result<Option<Task>, StoreError>> {
    match store.find(ids.clone()).await {
        Ok(tasks) => {
            let tasks: HashMap<TaskId, Task> = tasks.into_iter().map(|task| (task.id, task)).collect();
            ids.iter().map(|id| Ok(tasks.get(id).cloned())).collect()
        }
        Err(StoreError::Internal(_)) if ids.len() > 1 => {
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.push(store.find(vec![id]).await.map(|mut tasks| tasks.pop()));
            }
            found
        }
        Err(error) => ids.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// A watch on one task's changes. It never goes back: of two looks, an overtaken older one is dropped.
pub struct Watch {
    id: TaskId,
    receiver: watch::Receiver<Option<Task>>,
    waiters: Arc<Waiters>,
    /// The task's progress when it was last returned.
    seen: Option<(i64, u8)>,
}

impl Watch {
    /// Returns the current task; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn now(&mut self) -> Result<Option<Task>, StoreError> {
        let task = self.waiters.find(self.id).await?;
        self.seen = task.as_ref().map(Task::progress);
        Ok(task)
    }

    /// Waits until the task has come further than it was when last returned here, and returns it; `None` if the reading task has ended.
    ///
    /// # Cancel safety
    /// A change that was not returned is returned by the next call.
    pub async fn changed(&mut self) -> Option<Task> {
        loop {
            self.receiver.changed().await.ok()?;
            let task = self.receiver.borrow_and_update().clone();
            let progress = task.as_ref().map(Task::progress);
            if progress > self.seen {
                self.seen = progress;
                return task;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        metrics::waiter_left();
        let mut watched = self.waiters.watched.lock();
        // This watch's receiver is still counted.
        if watched.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.id);
        }
    }
}
