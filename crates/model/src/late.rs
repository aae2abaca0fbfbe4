//! Statements that the database may still commit although nobody waits for them: of a process that died, or whose connection did.
//!
//! A process that is merely slow needs no such thing: any step may come as late as it likes.

use crate::state::{Fence, FileIndex, Head, LeaseName, TaskIndex, TaskSet};

/// A statement under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Late {
    Insert(TaskIndex),
    /// It had seen the lease live.
    Claim(TaskIndex, LeaseName),
    Complete(TaskIndex, Fence),
    HandBack(TaskIndex, Fence, Charge),
    BeginLog {
        seen: Option<u8>,
        file: FileIndex,
    },
    CommitLog {
        ids: TaskSet,
        head: Head,
    },
}

/// Whether an attempt that is given up costs a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Charge {
    /// A transient error.
    Try,
    /// A stop, or a wait.
    Nothing,
}

/// What becomes of a statement whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Committed,
    /// Committed at any later time, or never.
    Late,
}
