//! The state: the database's rows and leases, the queue, the log's files, and the memory of each process.
//!
//! Two things are represented more briefly than in the program, without losing anything:
//! - **An attempt is not a number.** A name of an attempt is only ever compared with the row's, and the row's only grows: names
//!   that differ once always differ. So a claim's number becomes a [`Fence`], and any number of attempts is a bounded space.
//! - **A value that is never read again is cleared** (`published` of a running row, the holder of an ended row), so that
//!   states without a relevant difference are one.

use crate::late::Late;

/// The most tasks.
pub const TASKS: usize = 2;
/// The number of worker processes.
pub const WORKERS: usize = 2;
/// The most files of the outcome log: the first, and one for each rotation.
pub const FILES: usize = 3;
/// The most faults.
pub const FAULTS: usize = 2;

/// The index of a task.
pub type TaskIndex = u8;
/// The index of a worker process.
pub type WorkerIndex = u8;
/// The index of a file of the log, in the order in which they were begun.
pub type FileIndex = u8;

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub tasks: [Task; TASKS],
    pub workers: [Worker; WORKERS],
    /// Leases that a fault made a worker abandon, and that something still names.
    pub old_leases: [Option<Lease>; FAULTS],
    /// Statements that may be committed at any moment, although no process waits for them.
    pub late: [Option<Late>; FAULTS],
    pub log: Log,
    pub faults_left: u8,
    pub rotations_left: u8,
    /// Whether the queue ever lost a message.
    pub has_lost_messages: bool,
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
    pub logged: bool,
}

impl Row {
    /// A row as it is inserted.
    pub const NEW: Self = Self {
        status: Status::Pending,
        tries: 0,
        holder: None,
        cancel_requested: false,
        published: false,
        logged: false,
    };
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

/// The outcome log: its files, and what the database knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    pub files: [File; FILES],
    /// The number of files.
    pub made: u8,
    /// The file at the log's path; `None` after a rotation, until the next is made.
    pub at_path: Option<FileIndex>,
    pub head: Option<Head>,
    /// For the properties: the head has gone back.
    pub head_went_back: bool,
}

/// A row of `log_head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    pub generation: u8,
    pub file: FileIndex,
    /// In pieces instead of bytes.
    pub committed: u8,
}

/// The most pieces of a file: a line for each task, and those that faults spoil.
pub const PIECES: usize = 6;

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct File {
    pieces: [Option<Piece>; PIECES],
}

/// A line, or the text after the last newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// The task's whole line.
    Line(TaskIndex),
    /// A whole line that belongs to no task.
    Foreign,
    /// Text without a newline.
    Torn(Torn),
}

/// The content of a torn line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Torn {
    /// The beginning of this task's line.
    Of(TaskIndex),
    /// A beginning so short that it fits any task's line.
    OfAny,
    /// Text that fits no task's line.
    Foreign,
}

impl File {
    /// Returns all pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter().map_while(|piece| *piece)
    }

    /// Returns the torn line at the end, if there is one.
    pub fn tail(&self) -> Option<Torn> {
        match self.pieces().last() {
            Some(Piece::Torn(torn)) => Some(torn),
            _ => None,
        }
    }

    /// Returns the offset after the last newline.
    pub fn end(&self) -> u8 {
        let whole = self.pieces().filter(|piece| !matches!(piece, Piece::Torn(_))).count();
        whole as u8
    }

    /// Appends a piece; it extends the torn line, if there is one.
    pub fn append(&mut self, piece: Piece) {
        let at = usize::from(self.end());
        // A file that is full has long had two lines of a task.
        if let Some(place) = self.pieces.get_mut(at) {
            *place = Some(piece);
        }
    }
}

/// A set of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaskSet(u8);

impl TaskSet {
    pub const fn has(self, task: TaskIndex) -> bool {
        self.0 & (1 << task) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, task: TaskIndex) {
        self.0 |= 1 << task;
    }

    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = TaskIndex> {
        (0..TASKS as TaskIndex).filter(move |task| self.has(*task))
    }
}

impl FromIterator<TaskIndex> for TaskSet {
    fn from_iter<I: IntoIterator<Item = TaskIndex>>(tasks: I) -> Self {
        let mut set = Self::default();
        tasks.into_iter().for_each(|task| set.insert(task));
        set
    }
}

/// A process's step of the log: what it holds while it has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Logger {
    Idle,
    /// Has read the due lines before it has the lock: only if that guard is removed.
    Ahead(TaskSet),
    /// Brings a file up to date: its own, or the one that was rotated.
    Passing(Pass, Progress),
    /// The previous file is complete: the locked one is about to be begun.
    Beginning {
        locked: FileIndex,
        seen: Option<u8>,
    },
}

/// The values that stay the same during a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// The locked file. If it isn't the head's, the head's was rotated and gets only the rest of its torn line.
    pub locked: FileIndex,
    pub head: Head,
    /// See [`Logger::Ahead`].
    pub owed_before: Option<TaskSet>,
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
    Scanned {
        found: TaskSet,
        end: u8,
        tail: Option<Torn>,
    },
    /// The due lines were read.
    ToAppend {
        found: TaskSet,
        end: u8,
        text: Text,
    },
    /// The appended text was read back.
    ToCommit {
        ids: TaskSet,
        end: u8,
        is_all: bool,
    },
}

/// The text of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    pub tail: Tail,
    /// Whole lines after it, in the order of their index. Tasks that ended in another order are the same tasks, renamed.
    pub lines: TaskSet,
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
}

/// How the torn line is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tail {
    Leave,
    Complete(TaskIndex),
    Close,
}
