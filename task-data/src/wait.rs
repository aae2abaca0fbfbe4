//! Looking at tasks and waiting for them: many who ask, one query.
//!
//! A waiter subscribes first and reads the row then, so no change falls between. One task of the process reads the rows
//! of all that are waited for: those that were told to have changed at once, all of them each second.

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

/// How often all that is waited for is read, for wakes may be lost.
const LOOK: Duration = Duration::from_secs(1);
/// Rows read by one query: messages may have a third of a MiB each.
const ROWS: usize = 250;

/// All that is looked at and waited for in this process.
pub(crate) struct Waiters {
    store: Arc<dyn Store>,
    finds: Batcher<TaskId, Result<Option<Task>, StoreError>>,
    watched: Mutex<HashMap<TaskId, watch::Sender<Option<Task>>>>,
}

impl Waiters {
    /// Starts the one task that reads for all, on the current runtime.
    pub(crate) fn start(store: Arc<dyn Store>, wakes: broadcast::Receiver<TaskId>) -> Arc<Self> {
        let finds = Batcher::start(ROWS, {
            let store = store.clone();
            move |ids| find_all(store.clone(), ids)
        });
        let waiters = Arc::new(Self { store, finds, watched: Mutex::default() });
        tokio::spawn(waiters.clone().run(wakes));
        waiters
    }

    /// The task as it stands; `None` if there is none.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn find(&self, id: TaskId) -> Result<Option<Task>, StoreError> {
        self.finds.send(id).await.unwrap_or_else(|stopped| Err(StoreError::Unavailable(Arc::new(stopped))))
    }

    /// From now on, each change of the task is seen.
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
                    debug!(%error, "some who wait are told later");
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

/// Looks up a batch; if a row in it can't be read, one by one, so that it can't hold up its neighbours.
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

/// A look-out for one task's changes. It never goes back: a look that was overtaken by a later one is not told.
pub struct Watch {
    id: TaskId,
    receiver: watch::Receiver<Option<Task>>,
    waiters: Arc<Waiters>,
    /// How far the task had come when it was last told.
    seen: Option<(i64, u8)>,
}

impl Watch {
    /// The task as it stands now; `None` if there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn now(&mut self) -> Result<Option<Task>, StoreError> {
        let task = self.waiters.find(self.id).await?;
        self.seen = task.as_ref().map(Task::progress);
        Ok(task)
    }

    /// The task when it has come further than it was last told here; `None` if nobody looks any more.
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
        // This one's receiver is still counted.
        if watched.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.remove(&self.id);
        }
    }
}
