//! Reads the rows once: the lines that the log should have, and the unfinished tasks that are in trouble.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use twox_hash::XxHash3_64;

use super::report::{PAGE, Report, VerifyError, VerifyProgress};
use crate::blobs::BlobError;
use crate::outcome;
use crate::settings::Settings;
use crate::stack::Remains;
use crate::store::{Filter, StoreError, TaskPage};
use crate::task::{Task, TaskId};

/// A sweep that is overdue by this has not run.
const OVERDUE: Duration = Duration::from_secs(120);

/// An ended task, reduced to what fits into memory for all of them.
pub struct Ended {
    pub id: TaskId,
    /// XXH3 of the task's line.
    pub check: u64,
    /// The number of lines seen.
    pub lines: u32,
}

/// The content of the rows.
pub struct TaskRows {
    /// Ended tasks, newest first.
    pub ended: Vec<Ended>,
    /// The number of ended tasks of kinds that only a newer version knows.
    pub newer: u64,
    /// Tasks that seem to be stuck.
    pub stuck: Vec<TaskId>,
    /// Unfinished tasks whose blob seems to be missing.
    without_blob: Vec<TaskId>,
}

/// Returns the hash by which a line is compared.
pub fn check_of(line: &[u8]) -> u64 {
    XxHash3_64::oneshot(line)
}

impl TaskRows {
    pub async fn read(
        remains: &Remains,
        settings: &Settings,
        progress: &VerifyProgress,
    ) -> Result<Self, VerifyError> {
        let mut rows = Self { ended: Vec::new(), newer: 0, stuck: Vec::new(), without_blob: Vec::new() };
        let mut after = None;
        loop {
            let filter = Filter { after, limit: PAGE, with_newer: true, ..Filter::default() };
            let TaskPage { tasks: page, next } = remains.store.list(filter).await?;
            let mut open = Vec::new();
            for task in &page {
                match outcome::line(task) {
                    Some(line) => {
                        rows.ended.push(Ended { id: task.id, check: check_of(line.as_bytes()), lines: 0 })
                    }
                    None if task.status.is_ended() => rows.newer += 1,
                    None => open.push(task.id),
                }
            }
            for task in page.iter().filter(|task| task.has_blob && !task.status.is_ended()) {
                if is_blob_missing(remains, task.id).await? {
                    rows.without_blob.push(task.id);
                }
            }
            if !open.is_empty() {
                rows.stuck.extend(stuck(remains, settings, open).await?);
            }
            progress.rows.fetch_add(page.len() as u64, Relaxed);
            let Some(next) = next else { return Ok(rows) };
            after = Some(next);
        }
    }

    /// Reports missing uploads. A blob is removed when its task has ended, so a row without one is read once more.
    pub async fn tell_missing_uploads(
        &self,
        remains: &Remains,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        for some in self.without_blob.chunks(PAGE as usize) {
            for Task { id, status, .. } in remains.store.find(some.to_vec()).await? {
                if !status.is_ended() {
                    report.lost.add(|| format!("{id} is {}, but its upload is missing", status.name()));
                }
            }
        }
        Ok(())
    }
}

async fn is_blob_missing(remains: &Remains, id: TaskId) -> Result<bool, BlobError> {
    match remains.blobs.open(id).await {
        Ok(_) => Ok(false),
        Err(BlobError::Missing) => Ok(true),
        Err(error) => Err(error),
    }
}

async fn stuck(remains: &Remains, settings: &Settings, ids: Vec<TaskId>) -> Result<Vec<TaskId>, StoreError> {
    remains.store.stuck(ids, sweep_timeout(settings), OVERDUE).await
}

/// Returns the suspects that are still stuck.
pub async fn tell_stuck(
    remains: &Remains,
    settings: &Settings,
    suspects: &[TaskId],
    report: &mut Report,
) -> Result<(), StoreError> {
    for some in suspects.chunks(PAGE as usize) {
        let stuck = stuck(remains, settings, some.to_vec()).await?;
        for Task { id, status, .. } in remains.store.find(stuck).await? {
            report.stuck.add(|| format!("{id} is {}, but nothing moves it on", status.name()));
        }
    }
    Ok(())
}

/// Returns the time within which the sweep must have done its work.
pub(super) fn sweep_timeout(settings: &Settings) -> Duration {
    settings.sweep_seconds.saturating_mul(2).max(Duration::from_secs(1))
}
