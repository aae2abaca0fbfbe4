//! The rows, read once: what the log should have, and which tasks that have not ended are in trouble.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use twox_hash::XxHash3_64;

use super::report::{PAGE, Report, VerifyError, VerifyProgress};
use crate::blobs::BlobError;
use crate::outcome;
use crate::settings::Settings;
use crate::stack::Remains;
use crate::store::{Filter, StoreError};
use crate::task::{Task, TaskId};

/// A sweep that was due for longer has not run.
const OVERDUE: Duration = Duration::from_secs(120);

/// An ended task, as much of it as fits into memory for all of them.
pub struct Ended {
    pub id: TaskId,
    /// XXH3 of its line.
    pub check: u64,
    pub is_logged: bool,
    /// How many lines were seen.
    pub lines: u32,
}

/// What was read.
pub struct TaskRows {
    /// Newest first.
    pub ended: Vec<Ended>,
    /// How many have ended of kinds that only a newer version knows.
    pub newer: u64,
    /// Those that seem to be stuck.
    pub stuck: Vec<TaskId>,
    /// Those that have not ended, and whose blob seems to be missing.
    without_blob: Vec<TaskId>,
}

/// What a line is compared by.
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
            let page = remains.store.list(filter).await?.tasks;
            let Some(last) = page.last() else { return Ok(rows) };
            after = Some(last.id);
            let mut open = Vec::new();
            for task in &page {
                match outcome::line(task) {
                    Some(line) => rows.ended.push(Ended {
                        id: task.id,
                        check: check_of(line.as_bytes()),
                        is_logged: task.is_logged,
                        lines: 0,
                    }),
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
        }
    }

    /// A blob goes when its task has ended; so where one is missing, its row is asked once more.
    pub async fn tell_missing_uploads(
        &self,
        remains: &Remains,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        for some in self.without_blob.chunks(PAGE as usize) {
            for Task { id, status, .. } in remains.store.find(some.to_vec()).await? {
                if !status.is_ended() {
                    report.lost.add(|| format!("{id} is {}, and its upload is not there", status.name()));
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

/// Those of the suspects that still are stuck.
pub async fn tell_stuck(
    remains: &Remains,
    settings: &Settings,
    suspects: &[TaskId],
    report: &mut Report,
) -> Result<(), StoreError> {
    for some in suspects.chunks(PAGE as usize) {
        let stuck = stuck(remains, settings, some.to_vec()).await?;
        for Task { id, status, .. } in remains.store.find(stuck).await? {
            report.stuck.add(|| format!("{id} is {}, and nothing moves it on", status.name()));
        }
    }
    Ok(())
}

/// What the sweep has to do it has done by then.
pub(super) fn sweep_timeout(settings: &Settings) -> Duration {
    settings.sweep_seconds.saturating_mul(2).max(Duration::from_secs(1))
}
