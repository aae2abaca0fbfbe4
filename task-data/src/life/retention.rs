//! Retention: deletes what ended long ago. A step takes few rows, and the next one waits for some times as long as it took, so that promises
//! have most of the database's time however much there is to delete.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Life;
use crate::blobs::delete_all;
use crate::metrics;
use crate::store::{PruneStep, StoreError};

/// The rows of a first step, and the least and most of any.
const FIRST_ROWS: i64 = 100;
const LEAST_ROWS: i64 = 10;
const MOST_ROWS: i64 = 1000;
/// How long a step should take.
const STEP: Duration = Duration::from_millis(10);
/// The pause after a step, in times of what it took.
const REST: u32 = 4;
/// How often what is kept for a time is looked through: so many times within it, but not less often than each minute.
const LOOKS: u32 = 100;
const LEAST_OFTEN: Duration = Duration::from_secs(60);

impl Life {
    /// Returns how often [`prune`](Self::prune) is to be called; `None` if everything is kept forever.
    pub fn prune_every(&self) -> Option<Duration> {
        let least = self.settings.retention().map(|(_, age)| age).min()?;
        Some((least / LOOKS).clamp(self.settings.sweep_seconds.min(LEAST_OFTEN), LEAST_OFTEN))
    }

    /// Deletes what is old enough now.
    ///
    /// # Errors
    /// If the store fails: the next call goes on.
    ///
    /// # Cancel safety
    /// What a step has deleted stays deleted; a blob that it leaves is an orphan.
    pub async fn prune(&self) -> Result<(), StoreError> {
        let log = self.log.as_ref().map(|(_, log)| log.name.clone());
        for (subject, age) in self.settings.retention() {
            let mut limit = FIRST_ROWS;
            loop {
                let begun = Instant::now();
                let pruned =
                    self.stack.store.prune(PruneStep { subject, age, limit, log: log.clone() }).await?;
                let took = begun.elapsed();
                metrics::pruned(subject, pruned.rows);
                if self.settings.rules().keep_uploads.keeps(subject.status()) {
                    delete_all(&*self.stack.blobs, pruned.blobs).await;
                }
                if !pruned.has_more {
                    break;
                }
                limit = next_limit(limit, took);
                sleep(took * REST).await;
            }
        }
        loop {
            let begun = Instant::now();
            if !self.stack.store.give_space_back().await? {
                return Ok(());
            }
            sleep(begun.elapsed() * REST).await;
        }
    }
}

fn next_limit(limit: i64, took: Duration) -> i64 {
    let next = if took < STEP { limit * 2 } else { limit / 2 };
    next.clamp(LEAST_ROWS, MOST_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_long_is_followed_by_a_smaller_one() {
        assert_eq!(next_limit(100, STEP / 2), 200);
        assert_eq!(next_limit(100, STEP * 2), 50);
        assert_eq!(next_limit(LEAST_ROWS, STEP * 100), LEAST_ROWS);
        assert_eq!(next_limit(MOST_ROWS, Duration::ZERO), MOST_ROWS);
    }
}
