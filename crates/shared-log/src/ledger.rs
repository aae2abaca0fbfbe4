//! The interface to the caller's table. This module does not touch the file.

use std::fmt::Debug;
use std::hash::Hash;

/// The caller's table of entries, shared by all processes. The entries have an order, and a log remembers its place in it.
///
/// An entry's line never changes, and no two entries have the same line. It isn't empty, contains no newline and has at most
/// [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES) bytes. The order never changes either: an entry that appears later comes after all that were
/// ever read.
///
/// All methods are called while the log is locked. But a call of a process that has died since may still take effect at any later time, so
/// [`store`](Self::store) is conditional.
pub trait Ledger {
    /// Identifies an entry.
    type Id: Clone + Eq + Hash + Debug;
    /// A place in the order of the entries. The default is before all of them.
    type Place: Copy + Ord + Default + Debug;
    /// The table's error.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns how far the log is known to be written, if it ever was.
    ///
    /// # Errors
    /// If the table fails.
    fn head(&mut self) -> Result<Option<HeadOf<Self>>, Self::Error>;

    /// Returns the head of a log of another name that this log goes on with if its file is here: see [`inherit`](Self::inherit). Called
    /// only if [`head`](Self::head) returned `None`.
    ///
    /// # Errors
    /// If the table fails.
    fn inherited(&mut self) -> Result<Option<HeadOf<Self>>, Self::Error> {
        Ok(None)
    }

    /// Makes `head` this log's in place of the other one's, and returns true; but changes nothing and returns false if the other one is
    /// gone, or this log has a head.
    ///
    /// # Errors
    /// If the table fails. The call may have taken effect.
    fn inherit(&mut self, head: &HeadOf<Self>) -> Result<bool, Self::Error> {
        let _ = head;
        Ok(false)
    }

    /// Returns where a process has written the log of this name lately, if that was at another path or on another host.
    ///
    /// # Errors
    /// If the table fails.
    fn other_location(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(None)
    }

    /// Stores `head` and returns true; but changes nothing and returns false unless the stored head's version still is `seen` (`None`: no
    /// head is stored).
    ///
    /// # Errors
    /// If the table fails. The call may have taken effect.
    fn store(&mut self, seen: Option<u64>, head: &HeadOf<Self>) -> Result<bool, Self::Error>;

    /// Returns the `limit` entries that follow a place, or all if they are fewer, with every entry that was added before the call among
    /// those that follow. `None` if another process is about to give entries their places: look again later.
    ///
    /// # Errors
    /// If the table fails.
    fn after(&mut self, place: Self::Place, limit: usize) -> Result<Option<PageOf<Self>>, Self::Error>;

    /// Returns those of the entries that come after a place.
    ///
    /// # Errors
    /// If the table fails.
    fn those_after(&mut self, place: Self::Place, ids: Vec<Self::Id>) -> Result<Vec<Self::Id>, Self::Error>;

    /// Returns the place before the first of the entries.
    ///
    /// # Errors
    /// If the table fails.
    fn before_first(&mut self, ids: Vec<Self::Id>) -> Result<Self::Place, Self::Error>;

    /// Returns for each line (any bytes, without the newline) the id of the entry that has exactly this line; `None` for foreign lines. The
    /// result is as long as `lines`, which isn't empty.
    ///
    /// # Errors
    /// If the table fails.
    fn recognize(&mut self, lines: &[&[u8]]) -> Result<Vec<Option<Self::Id>>, Self::Error>;

    /// Returns an entry whose line begins with `prefix`: any bytes, perhaps foreign, perhaps cut within a character. May return `None` if
    /// the prefix doesn't identify the entry.
    ///
    /// # Errors
    /// If the table fails.
    fn beginning_with(&mut self, prefix: &[u8]) -> Result<Option<Entry<Self::Id>>, Self::Error>;
}

/// The head of a ledger's log.
pub type HeadOf<L> = Head<<L as Ledger>::Place, <L as Ledger>::Id>;

/// Entries of a ledger that follow each other.
pub type PageOf<L> = Vec<Placed<<L as Ledger>::Place, <L as Ledger>::Id>>;

/// How far a log is settled: a file, an offset in it, and a place in the order of the entries. The ledger stores it; only this crate
/// creates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<Place, Id> {
    /// 1 at first; one more each time it is stored.
    pub version: u64,
    /// The file's device number when it was begun. The next mount may change it, so it is never compared.
    pub dev: u64,
    /// The file's inode number, which a later file may get again: see `tail_check`.
    pub ino: u64,
    /// Bytes from the file's start to just after the newline of the last settled line.
    pub committed: u64,
    /// XXH3 of the (at most 64) bytes before `committed`, which detects another file with the same inode number.
    pub tail_check: i64,
    /// All entries up to here have their lines before `committed`, or in an earlier file.
    pub place: Place,
    /// The entries after the place that have their lines there too, because the line of one before them was spoiled, or can't be written
    /// by this version. Empty as a rule.
    pub ahead: Vec<Id>,
}

/// An entry and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<Id> {
    /// The entry's id in the ledger.
    pub id: Id,
    /// The entry's line, without the newline.
    pub line: String,
}

/// An entry at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<Place, Id> {
    /// The entry's place.
    pub place: Place,
    /// The entry's id in the ledger.
    pub id: Id,
    /// The entry's line, without the newline; `None` if only a later version of the program can write it.
    pub line: Option<String>,
}
