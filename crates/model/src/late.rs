//! Statements that the database may still commit although their process has died or lost its connection.
//!
//! A process that is merely slow is modelled without them: any step may come late.

use crate::logger::{Head, NameIndex};
use crate::state::{Fence, LeaseName, TaskIndex};

/// A statement in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Late {
    Insert(TaskIndex),
    /// A claim that had seen the lease live.
    Claim(TaskIndex, LeaseName),
    Complete(TaskIndex, Fence),
    EndSmall(TaskIndex, Fence),
    HandBack(TaskIndex, Fence, Charge),
    StoreHead {
        name: NameIndex,
        seen: Option<Head>,
        head: Head,
    },
}

/// Whether an attempt that is given up is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Charge {
    /// A transient error.
    Try,
    /// A stop, or a wait.
    Nothing,
}

/// The fate of a statement whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Committed,
    /// Committed at any later time, or never.
    Late,
}
