//! The state: the database's rows and leases, the queue, the memory of each process; [`feed`](crate::feed) has the feed,
//! [`files`](crate::files) and [`logger`](crate::logger) the logs.
//!
//! Two things are represented more briefly than in the program, without losing anything:
//! - **An attempt is not a number.** A name of an attempt is only ever compared with the row's, and the row's only grows: names
//!   that differ once always differ. So a claim's number becomes a [`Fence`], and any number of attempts is a bounded space.
//! - **A value that is never read again is cleared** (`published` of a running row, the holder of an ended row), so that
//!   states without a relevant difference are one.

use crate::feed::{Feed, Numbering, Reader, SEQUENCERS};
use crate::files::Folder;
use crate::late::Late;
use crate::logger::{Head, Logger, NAMES};

/// The most tasks.
pub const TASKS: usize = 3;
/// The number of worker processes.
pub const WORKERS: usize = 2;
/// The most faults.
pub const FAULTS: usize = 2;

/// The index of a task.
pub type TaskIndex = u8;
/// The index of a worker process.
pub type WorkerIndex = u8;

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub tasks: [Task; TASKS],
    pub workers: [Worker; WORKERS],
    /// Leases that a fault made a worker abandon, and that something still names.
    pub old_leases: [Option<Lease>; FAULTS],
    /// Statements that may be committed at any moment, although no process waits for them.
    pub late: [Option<Late>; FAULTS],
    pub feed: Feed,
    pub numbering: [Option<Numbering>; SEQUENCERS],
    pub reader: Reader,
    /// The files of the logs, by host.
    pub folders: [Folder; NAMES],
    /// How far each log is known, by its name.
    pub heads: [Option<Head>; NAMES],
    pub past: Past,
    pub pause: Pause,
    pub faults_left: u8,
    pub rotations_left: u8,
    /// Whether the queue ever lost a message.
    pub has_lost_messages: bool,
}

/// The pause of the tasks' kind, of which there is one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pause {
    /// An operator may begin it.
    Possible,
    /// It has begun: the operator has the answer.
    On,
    /// The kind was resumed.
    Over,
}

/// A promise, as the API, the database, the queue and the sweep have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    pub intake: Intake,
    pub row: Option<Row>,
    /// Messages that are ready in the queue.
    pub messages: u8,
    /// The API's ticket on its way to the queue.
    pub first_publish: Errand,
    /// The sweep's ticket on its way to the queue.
    pub sweep_publish: Errand,
    pub history: History,
}

/// The API's handler of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intake {
    /// The bytes are durable; the row is about to be inserted.
    Inserting,
    /// The insert's answer was lost: the handler looks for the row.
    Looking,
    /// The row is known to be committed.
    Recorded,
    /// 202 was sent.
    Answered,
    /// Refused, or its process is gone: nothing was promised.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A row of `tasks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub status: Status,
    pub tries: u8,
    /// The column `worker`.
    pub holder: Option<LeaseName>,
    pub cancel_requested: bool,
    pub published: bool,
}

impl Row {
    /// A row as it is inserted.
    pub const NEW: Self =
        Self { status: Status::Pending, tries: 0, holder: None, cancel_requested: false, published: false };
}

/// Whether the attempt that a claim, a ticket or a statement names is still the row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fence {
    Current,
    Passed,
}

/// The lease that a row's `worker` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// The lease that this worker process keeps.
    Kept(WorkerIndex),
    /// A lease whose process is gone or has another one, while its row still exists.
    Old(u8),
    /// A lease without a row.
    Ended,
}

/// A row of `workers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    Live,
    /// Its time is over; the row stays until the sweep deletes it.
    Lapsed,
}

/// A ticket on its way to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    Nothing,
    ToPublish(Fence),
    /// The queue has confirmed it; the row isn't marked yet.
    ToMark(Fence),
}

/// A worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker {
    /// `None`: the row was deleted, and the process does not know it yet.
    pub lease: Option<Lease>,
    pub slot: Slot,
    pub logger: Logger,
}

/// A slot of the worker's pool, from a delivery to the end of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Free,
    /// A message was delivered; nothing is claimed.
    Delivered(TaskIndex),
    /// The claim has seen a pending row and a live lease, and is about to commit. In PostgreSQL these are several moments: the lease is
    /// another table's row, which is not locked and not checked again.
    Claiming(TaskIndex, LeaseName),
    /// Claimed, not acknowledged.
    Claimed(TaskIndex, Fence),
    /// Acknowledged and held.
    Working(TaskIndex, Fence),
    /// The answer to the end was lost: it is repeated.
    Ending(TaskIndex, Fence),
    /// Small work: its row was read as pending, in that attempt. Nothing is claimed, nothing acknowledged.
    Hashing(TaskIndex, Fence),
    /// Small work whose end has seen that its kind is not paused, and is about to commit. Only spaces with pauses have it.
    EndingSmall(TaskIndex, Fence),
    /// Small work has ended; its message is about to be acknowledged.
    Ended(TaskIndex),
}

/// Values that only the properties read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct History {
    /// How often the task has ended; 2 is an error already.
    pub ends: u8,
    /// An ended row has changed.
    pub changed_after_end: bool,
    /// A superseded claim has changed the row.
    pub changed_by_superseded: bool,
    /// Attempts charged for a lost worker.
    pub losses: u8,
}

/// Values of the feed and its followers that only the properties read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Past {
    /// A number that was given has changed.
    pub has_changed_number: bool,
    /// A log's head or place has gone back.
    pub has_gone_back: bool,
    /// A task has begun while its kind was paused.
    pub has_begun_in_pause: bool,
}
