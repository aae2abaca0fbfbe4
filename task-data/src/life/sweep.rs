//! The sweep: the one place that moves on a task that a crash has left between two steps.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tracing::{debug, info, warn};

use super::batches::publish;
use super::{Life, PUBLISH_AGAIN, SWEEP_ROWS};
use crate::blobs::SHARDS;
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::metrics;
use crate::queue::Turn;
use crate::store::{Claim, Moved, StoreError};
use crate::tail::NUMBERS;
use crate::task::{TaskId, Time};

/// The largest delay of a delivery behind younger ones: another worker may have had it, and given it back.
const IN_ORDER: Duration = Duration::from_secs(60);

/// The progress of a kind's queue, as far as this process knows it.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// When the youngest delivered task was created, by this process's clock: it was not published before.
    delivered: Option<Instant>,
    /// When the queue was last looked at, if it was empty then.
    seen_empty: Option<Instant>,
}

impl Flow {
    fn delivered(&mut self, claim: &Claim) {
        // A machine that booted less than `waited` ago can't represent that time.
        let created = claim.at.checked_sub(claim.waited);
        self.delivered = self.delivered.max(created);
        // The task was in the queue at the last look, or on its way from it: a broker that is too busy to count its messages says 0. When a
        // task that was handed back was published is not known.
        if claim.attempt == 1 && created < self.seen_empty {
            self.seen_empty = None;
        }
    }

    /// Records a look at the queue. Returns how long ago a task must have been published to count as lost if it still waits.
    fn looked(&mut self, is_empty: bool, now: Instant) -> Option<Duration> {
        let seen_before = std::mem::replace(&mut self.seen_empty, is_empty.then_some(now));
        let by_look = seen_before.filter(|_| is_empty).map(|at| now - at);
        let by_order = self.delivered.map(|at| now - at + IN_ORDER);
        by_look.into_iter().chain(by_order).min()
    }
}

impl Life {
    /// Ends all leases and makes all pending tasks due, when the one process of an embedded stack starts: no other process holds a
    /// lease, and the queue is empty.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin_alone(&self) -> Result<(), StoreError> {
        self.stack.store.begin_alone().await
    }

    /// Sweeps the rows once: returns the tasks of lost workers, publishes pending tasks that are due, and numbers and counts
    /// outcomes.
    ///
    /// # Errors
    /// If the store fails: the next sweep continues.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let returned = self.stack.store.return_lost(self.settings.rules()).await?;
        for Moved { id, status, .. } in &returned {
            metrics::lost(*status);
            warn!(task.id = %id, "task was held by a lost worker, it is {} now", status.name());
        }
        if !returned.is_empty() {
            self.moved(&returned).await;
        }
        self.publish_due().await?;
        // A process that is gone may have left lines due.
        self.owed.notify_one();
        // Readers number outcomes too; without readers, few are left for the first one.
        while self.stack.store.number_outcomes(NUMBERS).await? == Some(NUMBERS) {}
        self.count_ended().await
    }

    async fn publish_due(&self) -> Result<(), StoreError> {
        loop {
            let due = self.stack.store.due(SWEEP_ROWS, PUBLISH_AGAIN).await?;
            let confirmed = publish(&self.stack, due.clone(), Turn::Again).await;
            let missed: Vec<TaskId> =
                due.iter().filter(|ticket| !confirmed.contains(ticket)).map(|ticket| ticket.id).collect();
            if !confirmed.is_empty() {
                self.stack.store.mark_published(confirmed).await?;
            }
            if !missed.is_empty() {
                debug!("the queue has not taken {} tasks that are due", missed.len());
                return self.stack.store.due_again(missed).await;
            }
            if due.len() < SWEEP_ROWS as usize {
                return Ok(());
            }
        }
    }

    /// Publishes again what the queue has lost. A queue delivers in the order of publication. So a task has lost its message if it still
    /// waits although another one, published well after it, was delivered. A task has also lost its message if it was published before
    /// the first of two looks that both found the queue empty, and no older message arrived in between. One look would be too early:
    /// a message may be delivered and not yet claimed.
    ///
    /// # Errors
    /// If the store fails: the next look continues.
    pub async fn publish_lost(&self) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let Ok(depth) = self.stack.queue.depth(kind).await else { continue };
            let Some(ago) = self.flow(kind, |flow| flow.looked(depth == 0, Instant::now())) else { continue };
            loop {
                let store = &self.stack.store;
                let lost = store.published_before(kind, ago, SWEEP_ROWS).await?;
                let confirmed = publish(&self.stack, lost.clone(), Turn::Again).await;
                let is_done = lost.len() < SWEEP_ROWS as usize || confirmed.len() < lost.len();
                if !confirmed.is_empty() {
                    warn!("the queue has lost {} {kind} tasks; they are published again", confirmed.len());
                    self.stack.store.mark_published(confirmed).await?;
                }
                if is_done {
                    break;
                }
            }
        }
        Ok(())
    }

    fn flow<T>(&self, kind: Kind, look: impl FnOnce(&mut Flow) -> T) -> T {
        let mut flows = self.flows.lock();
        look(flows.entry(kind).or_default())
    }

    /// Remembers that these tasks came out of the queue.
    pub(super) fn delivered(&self, claimed: &[Claim]) {
        for claim in claimed {
            self.flow(claim.kind, |flow| flow.delivered(claim));
        }
    }

    /// Sweeps the bytes once: removes blobs that no unfinished task needs, once they are so old that no row can be inserted for them.
    /// The first such sweep of a process also looks at younger blobs, for those of ended tasks. The log step removes the blobs that a
    /// dead process has left; this first sweep finds the blobs that could not be removed then, or that a power cut brought back.
    ///
    /// # Errors
    /// If the store or the blob store fails: the next sweep continues.
    pub async fn remove_orphans(&self) -> Result<(), Refusal> {
        let is_first = !self.has_looked.load(Relaxed);
        let age = TimeDelta::from_std(self.settings.orphan_seconds).unwrap_or(TimeDelta::MAX);
        let now = self.stack.store.now().await?;
        let Some(before) = now.0.checked_sub_signed(age).map(Time) else { return Ok(()) };
        let mut removed = self.stack.blobs.remove_unfinished(before).await?;
        for shard in 0..SHARDS {
            let old = self.stack.blobs.kept_before(shard, before).await?;
            let kept = if is_first { self.stack.blobs.kept_before(shard, now).await? } else { old.clone() };
            for ids in kept.chunks(SWEEP_ROWS as usize) {
                let tasks = self.stack.store.find(ids.to_vec()).await?;
                let is_needed = |id: &TaskId| match tasks.iter().find(|task| task.id == *id) {
                    Some(task) => self.settings.needs_blob(task, now),
                    None => !old.contains(id),
                };
                for id in ids.iter().filter(|id| !is_needed(id)) {
                    self.stack.blobs.delete(*id).await?;
                    removed += 1;
                }
            }
        }
        self.has_looked.store(true, Relaxed);
        if removed > 0 {
            info!(removed, "{removed} uploads removed whose tasks have ended or never were");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::task::Status;

    const SECOND: Duration = Duration::from_secs(1);

    fn claim(attempt: i64, at: Instant, waited: Duration) -> Claim {
        let (id, kind, status) = (TaskId::random(), Kind::Md5, Status::Running);
        let (input, content, blob_check) = (Value::Null, None, None);
        Claim { id, kind, status, attempt, tries: 0, waited, at, input, content, blob_check }
    }

    #[test]
    fn a_queue_has_lost_what_it_should_have_given_before() {
        let start = Instant::now() + 1000 * SECOND;
        let mut flow = Flow::default();
        assert_eq!(flow.looked(false, start), None);

        for waited in [70, 40, 90] {
            flow.delivered(&claim(1, start, waited * SECOND));
        }

        assert_eq!(flow.looked(false, start + 5 * SECOND), Some(45 * SECOND + IN_ORDER));
    }

    #[test]
    fn an_empty_queue_is_looked_at_twice() {
        let start = Instant::now() + 1000 * SECOND;
        let mut flow = Flow::default();

        let looks = [true, true, true, false, true, true];
        let lost_before = looks
            .iter()
            .zip(1..)
            .map(|(is_empty, second)| flow.looked(*is_empty, start + second * SECOND))
            .map(|ago| ago.map(|ago| ago.as_secs()));

        assert_eq!(lost_before.collect::<Vec<_>>(), [None, Some(1), Some(1), None, None, Some(1)]);
    }

    #[test]
    fn a_queue_that_goes_on_giving_what_it_had_was_not_empty() {
        let start = Instant::now() + 1000 * SECOND;
        let mut flow = Flow::default();
        let by_order = |at: Instant, created: Instant| Some(at - created + IN_ORDER);

        flow.looked(true, start);
        flow.delivered(&claim(1, start + SECOND, 500 * SECOND));
        let after_an_old_one = flow.looked(true, start + 5 * SECOND);
        flow.delivered(&claim(1, start + 6 * SECOND, Duration::ZERO));
        flow.delivered(&claim(2, start + 6 * SECOND, 500 * SECOND));
        let after_others = flow.looked(true, start + 10 * SECOND);

        assert_eq!(after_an_old_one, by_order(start + 5 * SECOND, start - 499 * SECOND));
        assert_eq!(after_others, Some(5 * SECOND));
    }
}
