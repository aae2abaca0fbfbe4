//! Retention: deletes what ended long ago, at a [`Pace`] that leaves the database to promises; and one ended task at once.

use std::time::Duration;

use database::pace::{Pace, look_every};
use tokio::time::{Instant, sleep};

use super::Life;
use crate::blobs::delete_all;
use crate::metrics;
use crate::store::{PruneStep, Purge, StoreError};
use crate::task::TaskId;

/// How long the outcome logs are waited for before a task is deleted, and how often they are looked at.
const LOGGED_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Life {
    /// Returns how often [`prune`](Self::prune) is to be called; `None` if everything is kept forever.
    pub fn prune_every(&self) -> Option<Duration> {
        let least = self.settings.retention().map(|(_, age)| age).min()?;
        Some(look_every(least, self.settings.sweep_seconds))
    }

    /// Deletes what is old enough now.
    ///
    /// # Errors
    /// If the store fails: the next call goes on.
    ///
    /// # Cancel safety
    /// The effect of a step stays; a blob that it leaves is an orphan.
    pub async fn prune(&self) -> Result<(), StoreError> {
        let log = self.log.as_ref().map(|(_, log)| log.name.clone());
        for (subject, age) in self.settings.retention() {
            let mut pace = Pace::default();
            loop {
                let step = PruneStep { subject, age, limit: pace.rows(), log: log.clone() };
                let pruned = self.stack.store.prune(step).await?;
                metrics::pruned(subject, pruned.rows);
                if self.settings.rules().keep_uploads.keeps(subject.status()) {
                    delete_all(&*self.stack.blobs, pruned.blobs).await;
                }
                if !pruned.has_more {
                    break;
                }
                sleep(pace.pause(pruned.took)).await;
            }
        }
        let mut pace = Pace::default();
        while let Some(took) = self.stack.store.give_space_back(pace.rows()).await? {
            sleep(pace.pause(took)).await;
        }
        Ok(())
    }

    /// Deletes an ended task and its upload. Waits for outcome logs that are about to write its line.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn purge(&self, id: TaskId) -> Result<Purge, StoreError> {
        let deadline = Instant::now() + LOGGED_WITHIN;
        loop {
            let purge = self.stack.store.purge(id).await?;
            if purge == Purge::Unlogged && Instant::now() < deadline {
                self.owed.notify_one();
                sleep(LOOK_AGAIN).await;
                continue;
            }
            if purge == (Purge::Done { has_blob: true }) {
                delete_all(&*self.stack.blobs, [id]).await;
            }
            return Ok(purge);
        }
    }
}
