//! What the caller's table must do. Nothing here touches the file.

use std::fmt::Debug;
use std::hash::Hash;

/// What owes lines to the log and remembers which were written: the caller's table, shared by all processes.
///
/// An entry's line never changes, and no two entries have the same. It isn't empty, has no newline in it and at most
/// [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES) bytes.
///
/// All methods are called while the log is locked, but a call of a process that has died since may still take effect at
/// any later time; that is why [`begin`](Self::begin) and [`commit`](Self::commit) are conditional.
pub trait Ledger {
    /// Tells entries apart.
    type Id: Clone + Eq + Hash + Debug;
    /// What the table fails with.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How far the log is known to be written, if it ever was.
    ///
    /// # Errors
    /// The table's.
    fn head(&mut self) -> Result<Option<Head>, Self::Error>;

    /// Stores `new`, the first head of another file, and returns true; but changes nothing and returns false unless the
    /// stored head's generation still is `seen` (`None`: there is no head yet).
    ///
    /// # Errors
    /// The table's. It may have taken effect.
    fn begin(&mut self, seen: Option<u32>, new: &Head) -> Result<bool, Self::Error>;

    /// For each line (any bytes, without the newline) the id of the entry whose line it is, equal to the byte and
    /// whether logged or not; `None` for what others wrote. As long as `lines`, which aren't empty.
    ///
    /// # Errors
    /// The table's.
    fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<Self::Id>>, Self::Error>;

    /// The oldest entries that still owe their line, at most `limit`.
    ///
    /// # Errors
    /// The table's.
    fn owed(&mut self, limit: usize) -> Result<Vec<Entry<Self::Id>>, Self::Error>;

    /// An entry that still owes its line, and whose line begins with `prefix`: any bytes, perhaps not ours, perhaps cut
    /// within a character.
    ///
    /// # Errors
    /// The table's.
    fn owed_beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<Self::Id>>, Self::Error>;

    /// In one transaction, marks `written` as logged and stores `head`.
    ///
    /// If the stored head is of another generation or already at or after `head.committed`, the head must stay, and
    /// the answer is false. The entries may be marked even then: their lines are in the file.
    ///
    /// # Errors
    /// The table's. It may have taken effect.
    fn commit(&mut self, written: &[Self::Id], head: &Head) -> Result<bool, Self::Error>;
}

/// Up to where which file is settled. Stored by the ledger, made only by this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// 1 for the first file; one more for each file after it.
    pub generation: u32,
    /// The file's device number when it was begun. It may be another after the next mount, so nothing is compared with it.
    pub dev: u64,
    /// The file's inode number, which a later file may get again: see `tail_check`.
    pub ino: u64,
    /// Bytes from the file's start to just after the newline of the last settled line.
    pub committed: u64,
    /// XXH3 of the (at most 64) bytes before `committed`, to tell another file with the same inode number.
    pub tail_check: i64,
}

/// Something that owes the log one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<Id> {
    /// Its name in the ledger.
    pub id: Id,
    /// Its line, without the newline.
    pub line: String,
}
