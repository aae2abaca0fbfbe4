//! The interface to the caller's table. This module does not touch the file.

use std::fmt::Debug;
use std::hash::Hash;

/// The caller's table, shared by all processes, which has the lines that are due and remembers which were written.
///
/// An entry's line never changes, and no two entries have the same line. It isn't empty, contains no newline and has at most
/// [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES) bytes.
///
/// All methods are called while the log is locked. But a call of a process that has died since may still take effect at any later time, so
/// [`begin`](Self::begin) and [`commit`](Self::commit) are conditional.
pub trait Ledger {
    /// Identifies an entry.
    type Id: Clone + Eq + Hash + Debug;
    /// The table's error.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns how far the log is known to be written, if it ever was.
    ///
    /// # Errors
    /// If the table fails.
    fn head(&mut self) -> Result<Option<Head>, Self::Error>;

    /// Stores `new`, the first head of another file, and returns true; but changes nothing and returns false unless the
    /// stored head's generation still is `seen` (`None`: no head is stored).
    ///
    /// # Errors
    /// If the table fails. The call may have taken effect.
    fn begin(&mut self, seen: Option<u32>, new: &Head) -> Result<bool, Self::Error>;

    /// Returns for each line (any bytes, without the newline) the id of the entry that has exactly this line, whether logged or
    /// not; `None` for foreign lines. The result is as long as `lines`, which isn't empty.
    ///
    /// # Errors
    /// If the table fails.
    fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<Self::Id>>, Self::Error>;

    /// Returns up to `limit` of the oldest entries whose line is due.
    ///
    /// # Errors
    /// If the table fails.
    fn owed(&mut self, limit: usize) -> Result<Vec<Entry<Self::Id>>, Self::Error>;

    /// Returns an entry whose line is due and begins with `prefix`: any bytes, perhaps foreign, perhaps cut within a character.
    ///
    /// # Errors
    /// If the table fails.
    fn owed_beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<Self::Id>>, Self::Error>;

    /// In one transaction, marks `written` as logged and stores `head`.
    ///
    /// If the stored head is of another generation or already at or after `head.committed`, the head must stay, and
    /// the method returns false. The entries may be marked even then: their lines are in the file.
    ///
    /// # Errors
    /// If the table fails. The call may have taken effect.
    fn commit(&mut self, written: &[Self::Id], head: &Head) -> Result<bool, Self::Error>;
}

/// The file, and the position in it, up to which the log is settled. The ledger stores it; only this crate creates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// 1 for the first file; one more for each file after it.
    pub generation: u32,
    /// The file's device number when it was begun. The next mount may change it, so it is never compared.
    pub dev: u64,
    /// The file's inode number, which a later file may get again: see `tail_check`.
    pub ino: u64,
    /// Bytes from the file's start to just after the newline of the last settled line.
    pub committed: u64,
    /// XXH3 of the (at most 64) bytes before `committed`, which detects another file with the same inode number.
    pub tail_check: i64,
}

/// An entry whose line is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<Id> {
    /// The entry's id in the ledger.
    pub id: Id,
    /// The entry's line, without the newline.
    pub line: String,
}
