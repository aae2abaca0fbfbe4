//! The followers that write outcome logs: each one's head, and a process's step.

use crate::feed::Place;
use crate::files::{FileIndex, Torn, Written};
use crate::sets::{TaskList, TaskSet};
use crate::state::TaskIndex;

/// The most names of logs.
pub const NAMES: usize = 2;

/// The index of a log's name.
pub type NameIndex = u8;

/// A row of `followers`: how far a log is known. All of it is stored in one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    pub file: FileIndex,
    /// In pieces instead of bytes.
    pub committed: u8,
    /// The outcomes up to here have their lines before `committed`.
    pub place: Place,
    /// Outcomes after the place that have their lines before `committed` too, because an earlier one's line was spoiled: the program
    /// stores their ids. Empty, unless a foreign program has written without the lock.
    pub ahead: TaskSet,
}

/// A process's step of a log: what it holds while it has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Logger {
    Idle,
    /// Has read outcomes before it has the lock: only if that guard is removed.
    Early(TaskList),
    /// Brings a file up to date: its own, or one that was rotated.
    Passing(Pass, Progress),
    /// The previous file is complete: another is about to be begun, with this head.
    Beginning {
        locked: FileIndex,
        seen: Option<Head>,
        head: Head,
    },
}

/// The values that stay the same during a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// The locked file. If it isn't the head's, the head's was rotated and gets only the rest of its torn line.
    pub locked: FileIndex,
    pub head: Head,
    /// See [`Logger::Early`].
    pub early: Option<TaskList>,
}

impl Pass {
    pub const fn is_of_rotated(&self) -> bool {
        self.locked != self.head.file
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Progress {
    ToScan,
    /// The text after the head was read and recognized.
    Scanned(Scan, Option<Torn>),
    /// The outcomes after the place were read.
    ToAppend {
        scan: Scan,
        read: TaskList,
        text: Text,
    },
    /// The appended text was read back; the file is about to be flushed, so that this head is true.
    ToFlush(Head, Whole),
    ToCommit(Head, Whole),
    /// The head was stored without its place: only if that guard is removed.
    ToMoveOn(Head),
}

/// The text between the head and an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scan {
    /// Outcomes whose lines are there.
    pub found: TaskSet,
    pub end: u8,
}

/// Whether all of a write could be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whole {
    Yes,
    No,
}

/// The text of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    pub tail: Tail,
    /// Whole lines after it.
    pub lines: TaskList,
}

impl Text {
    pub fn is_empty(self) -> bool {
        self.tail == Tail::Leave && self.lines.is_empty()
    }

    /// Returns the tasks whose lines it contains or completes.
    pub fn tasks(self) -> TaskSet {
        let completed = match self.tail {
            Tail::Complete(task) => Some(task),
            Tail::Leave | Tail::Close => None,
        };
        self.lines.iter().chain(completed).collect()
    }

    pub fn pieces(self) -> impl Iterator<Item = Written> {
        let tail = match self.tail {
            Tail::Leave => None,
            Tail::Complete(task) => Some(Written::Rest(task)),
            Tail::Close => Some(Written::Newline),
        };
        tail.into_iter().chain(self.lines.iter().map(Written::Line))
    }
}

/// How the torn line is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tail {
    Leave,
    Complete(TaskIndex),
    Close,
}
