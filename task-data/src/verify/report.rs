//! What a check finds, and how far it has come.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use shared_log::LogError;

use crate::blobs::BlobError;
use crate::store::StoreError;

/// Rows that are read at once.
pub(super) const PAGE: i64 = 500;
/// Of each sort of finding so many are told one by one.
pub(super) const FEW: usize = 5;

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
    pub(super) fn add(&mut self, words: impl FnOnce() -> String) {
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
pub struct VerifyProgress {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) of_bytes: AtomicU64,
}

impl VerifyProgress {
    /// Rows that were read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Bytes of the log that were read, and how many there are; nothing of either before all rows were read.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.of_bytes.load(Relaxed))
    }
}
