//! The sweep: the one place that brings on what a crash has left between two steps.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use chrono::TimeDelta;
use tracing::{debug, info, warn};

use super::batches::publish;
use super::{BATCH, LOOK_AGAIN, Life, PUBLISH_AGAIN, SWEEP_ROWS};
use crate::blobs::SHARDS;
use crate::error::Refusal;
use crate::kinds::Kind;
use crate::metrics;
use crate::store::{StoreError, Ticket};
use crate::task::{TaskId, Time};

impl Life {
    /// For the one process of an embedded stack, when it starts: nobody else holds a lease, and the queue is empty.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_alone(&self) -> Result<(), StoreError> {
        self.stack.store.begin_alone().await
    }

    /// One sweep over the rows: tasks of lost workers go back, and what is pending and due is published.
    ///
    /// # Errors
    /// The store's: the next sweep goes on.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let returned = self.stack.store.return_lost(self.settings.rules()).await?;
        for (id, status) in &returned {
            metrics::lost(*status);
            warn!(task.id = %id, "task {id} was held by a lost worker, it is {} now", status.name());
        }
        if !returned.is_empty() {
            self.moved(&returned).await;
        }
        self.publish_due().await?;
        // A line may be owed by a process that is gone.
        self.owed.notify_one();
        Ok(())
    }

    async fn publish_due(&self) -> Result<(), StoreError> {
        loop {
            let due = self.stack.store.due(SWEEP_ROWS, PUBLISH_AGAIN).await?;
            let count = due.len() as i64;
            let mut tickets = Vec::with_capacity(due.len());
            let mut queued = Vec::new();
            for kind in Kind::ALL {
                let of_kind = || due.iter().filter(move |due| due.ticket.kind == kind);
                tickets.extend(of_kind().filter(|due| !due.published).map(|due| due.ticket));
                let published: Vec<Ticket> =
                    of_kind().filter(|due| due.published).map(|due| due.ticket).collect();
                // A long backlog is not published again, a lost queue is.
                match published.is_empty() || self.is_queue_whole(kind).await? {
                    true => queued.extend(published),
                    false => tickets.extend(published),
                }
            }
            let confirmed = publish(&self.stack, tickets.clone()).await;
            let missed: Vec<TaskId> =
                tickets.iter().filter(|ticket| !confirmed.contains(ticket)).map(|ticket| ticket.id).collect();
            queued.extend(confirmed);
            if !queued.is_empty() {
                self.stack.store.mark_published(queued, LOOK_AGAIN).await?;
            }
            if !missed.is_empty() {
                debug!("the queue has not taken {} tasks that are due", missed.len());
                return self.stack.store.due_again(missed).await;
            }
            if count < SWEEP_ROWS {
                return Ok(());
            }
        }
    }

    /// Publishes again what the queue has lost: where it lacks messages for published tasks that wait, twice in a row, the
    /// longest published are it. Once would be too early: what is delivered and not yet claimed is in neither count.
    ///
    /// # Errors
    /// The store's: the next look goes on.
    pub async fn publish_lost(&self) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let Ok(depth) = self.stack.queue.depth(kind).await else { continue };
            let published = self.stack.store.published_pending(kind).await?;
            let lacks = published - i64::try_from(depth).unwrap_or(i64::MAX);
            let lacked = self.lacking().insert(kind, lacks).unwrap_or(0);
            let lost = lacks.min(lacked);
            if lost > 0 {
                warn!("the queue of {kind} tasks lacks {lost} messages; they are published again");
                self.lacking().remove(&kind);
                let tickets = self.stack.store.longest_published(kind, lost).await?;
                for some in tickets.chunks(BATCH) {
                    let confirmed = publish(&self.stack, some.to_vec()).await;
                    self.stack.store.mark_published(confirmed, LOOK_AGAIN).await?;
                }
            }
        }
        Ok(())
    }

    fn lacking(&self) -> MutexGuard<'_, HashMap<Kind, i64>> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the queue still has a message for each published row that waits.
    async fn is_queue_whole(&self, kind: Kind) -> Result<bool, StoreError> {
        match self.stack.queue.depth(kind).await {
            Ok(depth) => {
                let rows = self.stack.store.published_pending(kind).await?;
                Ok(i64::try_from(depth).unwrap_or(i64::MAX) >= rows)
            }
            Err(_) => Ok(false),
        }
    }

    /// One sweep over the bytes: what no task that lives needs, and is old enough, is removed.
    ///
    /// # Errors
    /// The store's and the blobs': the next sweep goes on.
    pub async fn remove_orphans(&self) -> Result<(), Refusal> {
        let age = TimeDelta::from_std(self.settings.orphan_seconds).unwrap_or(TimeDelta::MAX);
        let now = self.stack.store.now().await?;
        let Some(before) = now.0.checked_sub_signed(age).map(Time) else { return Ok(()) };
        let mut removed = self.stack.blobs.remove_unfinished(before).await?;
        for shard in 0..SHARDS {
            let kept = self.stack.blobs.kept_before(shard, before).await?;
            for ids in kept.chunks(SWEEP_ROWS as usize) {
                let tasks = self.stack.store.find(ids.to_vec()).await?;
                let keep_uploads = self.settings.keep_uploads;
                let is_needed =
                    |id: &TaskId| tasks.iter().any(|task| task.id == *id && task.needs_blob(keep_uploads));
                for id in ids.iter().filter(|id| !is_needed(id)) {
                    self.stack.blobs.delete(*id).await?;
                    removed += 1;
                }
            }
        }
        if removed > 0 {
            info!(removed, "{removed} orphaned uploads removed");
        }
        Ok(())
    }
}
