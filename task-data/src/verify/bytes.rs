//! Finds bytes that no task needs, past the age at which the sweep removes them.

use std::time::Duration;

use chrono::TimeDelta;

use super::report::{PAGE, Report, VerifyError};
use crate::blobs::SHARDS;
use crate::settings::Settings;
use crate::stack::Remains;
use crate::task::{TaskId, Time};

/// The sweep looks for orphans at least each minute; bytes overdue by this were missed.
const OVERDUE: Duration = Duration::from_secs(120);

/// Blobs, kept and unfinished, that seem to be orphans.
#[derive(Default)]
pub struct Orphans {
    blobs: Vec<TaskId>,
    unfinished: Vec<String>,
}

impl Orphans {
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.unfinished.is_empty()
    }
}

/// Returns the blobs that are old enough and belong to no task.
pub async fn orphans(remains: &Remains, settings: &Settings) -> Result<Orphans, VerifyError> {
    let Remains { store, blobs } = remains;
    let age = TimeDelta::from_std(settings.orphan_seconds.saturating_add(OVERDUE)).unwrap_or(TimeDelta::MAX);
    let now = store.now().await?.0;
    let Some(before) = now.checked_sub_signed(age).map(Time) else {
        return Ok(Orphans::default());
    };
    // An upload that retention deletes in its next steps is not an orphan yet.
    let needed_at = Time(now - TimeDelta::from_std(OVERDUE).unwrap_or_default());
    let mut orphans = Orphans { blobs: Vec::new(), unfinished: blobs.unfinished_before(before).await? };
    for shard in 0..SHARDS {
        for ids in blobs.kept_before(shard, before).await?.chunks(PAGE as usize) {
            let tasks = store.find(ids.to_vec()).await?;
            let is_needed =
                |id: &TaskId| tasks.iter().any(|task| task.id == *id && settings.needs_blob(task, needed_at));
            orphans.blobs.extend(ids.iter().filter(|id| !is_needed(id)));
        }
    }
    Ok(orphans)
}

/// Reports orphans. If there are some, looks a second time, for they may be about to be removed.
pub async fn tell_orphans(
    remains: &Remains,
    settings: &Settings,
    suspects: &Orphans,
    report: &mut Report,
) -> Result<(), VerifyError> {
    if suspects.is_empty() {
        return Ok(());
    }
    let Orphans { blobs, unfinished } = orphans(remains, settings).await?;
    for id in blobs {
        report.orphans.add(|| format!("the blob of {id}"));
    }
    for name in unfinished {
        report.orphans.add(|| format!("the unfinished blob {name}"));
    }
    Ok(())
}
