//! The findings of a check, and its progress.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use shared_log::LogError;

use crate::blobs::BlobError;
use crate::store::StoreError;

/// The number of rows that are read at once.
pub(super) const PAGE: i64 = 500;
/// The number of findings of each sort that are described.
pub(super) const FEW: usize = 5;

/// Why the check failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The rows can't be read.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// The log can't be read.
    #[error("OUTCOME_LOG")]
    Log(#[from] LogError),
    /// The blobs can't be read.
    #[error("BLOB_URL")]
    Blobs(#[from] BlobError),
}

/// The findings of one sort.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The number of findings.
    pub count: u64,
    /// The first findings, each described in a line.
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

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Outcomes before the log's place in the feed whose line is missing, and unfinished tasks whose uploads are missing.
    pub lost: Found,
    /// Tasks with more than one line.
    pub doubled: Found,
    /// Lines that begin as those of tasks do but belong to no task.
    pub malformed: Found,
    /// Other lines, and bytes after the last line.
    pub foreign: Found,
    /// Tasks that nothing moves on.
    pub stuck: Found,
    /// Blobs, kept and unfinished, past their age, that no task needs.
    pub orphans: Found,
    /// Ended tasks whose line is due: not a finding.
    pub owed: u64,
    /// Ended tasks of kinds that only a newer version knows; that version can check their lines. Not a finding.
    pub newer: u64,
    /// The number of ended tasks.
    pub ended: u64,
    /// The number of their lines.
    pub lines: u64,
    /// The number of lines of tasks that were deleted since.
    pub pruned: u64,
    /// The number of files of the log.
    pub files: usize,
}

impl Report {
    /// Returns each sort of finding with its name.
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

    /// Returns whether there are no findings.
    pub fn is_clean(&self) -> bool {
        self.sorts().iter().all(|(_, found)| found.count == 0)
    }
}

/// The progress of a check or a rebuild; other threads may read it meanwhile.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) of_bytes: AtomicU64,
}

impl VerifyProgress {
    /// Returns the number of rows that were read.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Returns the bytes of the log that were read, and the size of the log; both 0 before all rows were read.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes.load(Relaxed), self.of_bytes.load(Relaxed))
    }
}
