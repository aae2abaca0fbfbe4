//! Checks that what was promised is so: each ended task has its one line, each that has not ended its bytes, and nothing is
//! left lying about. Reads rows, log and blobs as they are, beside a running service or without one, and changes nothing.
//!
//! A service that works on meanwhile must not look like one that fails. So rows are read before the log: a row that is marked as
//! logged then has its line in a file that is there afterwards. And of each line that no row had, the row is asked for after the
//! line was read: a line is written only when its row has ended. What may still be on its way is looked at once more.

mod bytes;
mod log;
mod rebuild;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use shared_log::LogError;
use tokio::time::sleep;

use self::log::Reading;
pub use self::rebuild::{RebuildError, Rebuilt, rebuild};
use self::rows::Rows;
use crate::blobs::BlobError;
use crate::settings::Settings;
use crate::stack::Remains;
use crate::store::StoreError;

/// Rows that are read at once.
const PAGE: i64 = 500;
/// Of each sort of finding so many are told one by one.
const FEW: usize = 5;

/// Why it could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The rows can't be had.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// The log can't be read.
    #[error("OUTCOME_LOG")]
    Log(#[from] LogError),
    /// The blobs can't be looked at.
    #[error("BLOB_URL")]
    Blobs(#[from] BlobError),
}

/// What was found of one sort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// How many there are.
    pub count: u64,
    /// The first few of them, a line of words each.
    pub first: Vec<String>,
}

impl Found {
    fn add(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < FEW {
            self.first.push(words());
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows marked as logged whose line stands nowhere, and uploads of tasks that have not ended which are not there.
    pub lost: Found,
    /// Tasks with more than one line.
    pub doubled: Found,
    /// Lines that begin as those of tasks do, and are no task's.
    pub malformed: Found,
    /// Other lines, and bytes after the last line.
    pub foreign: Found,
    /// Tasks that nothing moves on.
    pub stuck: Found,
    /// Blobs and unfinished ones, past their age, that no task needs.
    pub orphans: Found,
    /// Ended tasks whose line is yet to be written: no finding.
    pub owed: u64,
    /// Ended tasks of kinds that only a newer version knows, which can tell whether each has its line: no finding.
    pub newer: u64,
    /// Tasks that have ended.
    pub ended: u64,
    /// Lines of theirs.
    pub lines: u64,
    /// Files of the log.
    pub files: usize,
}

impl Report {
    /// Each sort of finding by its name.
    pub fn sorts(&self) -> [(&'static str, &Found); 6] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("malformed", &self.malformed),
            ("foreign", &self.foreign),
            ("stuck", &self.stuck),
            ("orphans", &self.orphans),
        ]
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.sorts().iter().all(|(_, found)| found.count == 0)
    }
}

/// How far a check or a rebuild has come; may be asked from elsewhere meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    bytes: AtomicU64,
    of_bytes: AtomicU64,
}

impl Progress {
    /// Rows that were read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Bytes of the log that were read, and how many there are; nothing of either before all rows were read.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.of_bytes.load(Relaxed))
    }
}

/// Checks rows, log and blobs against each other.
///
/// # Errors
/// If one of them can't be read.
pub async fn verify(
    remains: &Remains,
    settings: &Settings,
    progress: Arc<Progress>,
) -> Result<Report, VerifyError> {
    let log = Path::new(&settings.outcome_log);
    let mut report = Report::default();

    let rows = Rows::read(remains, settings, &progress).await?;
    let suspects = (rows.stuck.clone(), bytes::orphans(remains, settings).await?);
    rows.tell_missing_uploads(remains, &mut report).await?;
    report.newer = rows.newer;

    Reading::read(remains.store.clone(), log, rows.ended, progress).await?.tell(log, &mut report).await?;

    let (stuck, orphans) = suspects;
    if !stuck.is_empty() || !orphans.is_empty() {
        sleep(patience(settings)).await;
    }
    rows::tell_stuck(remains, settings, &stuck, &mut report).await?;
    bytes::tell_orphans(remains, settings, &orphans, &mut report).await?;
    Ok(report)
}

/// What the sweep has to do it has done by then.
fn patience(settings: &Settings) -> Duration {
    settings.sweep_seconds.saturating_mul(2).max(Duration::from_secs(1))
}
