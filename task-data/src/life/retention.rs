//! Retention: deletes what ended long ago, at a [`Pace`] that leaves the database to promises.

use std::time::Duration;

use database::pace::{Pace, look_every};
use tokio::time::{Instant, sleep};

use super::Life;
use crate::blobs::delete_all;
use crate::metrics;
use crate::store::{PruneStep, StoreError};

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
                let begun = Instant::now();
                let step = PruneStep { subject, age, limit: pace.rows(), log: log.clone() };
                let pruned = self.stack.store.prune(step).await?;
                let took = begun.elapsed();
                metrics::pruned(subject, pruned.rows);
                if self.settings.rules().keep_uploads.keeps(subject.status()) {
                    delete_all(&*self.stack.blobs, pruned.blobs).await;
                }
                if !pruned.has_more {
                    break;
                }
                sleep(pace.pause(took)).await;
            }
        }
        let mut pace = Pace::default();
        loop {
            let begun = Instant::now();
            if !self.stack.store.give_space_back().await? {
                return Ok(());
            }
            sleep(pace.pause(begun.elapsed())).await;
        }
    }
}
