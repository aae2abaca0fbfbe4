//! What a state holds: the database's rows and leases, the queue, the log's files, and what each process remembers.
//!
//! Two things are told more briefly than in the program, and lose nothing by it:
//! - **An attempt is no number.** Everything that names an attempt is only ever compared with the row's, and the row's only grows: what
//!   is not equal once never is again. So a claim's number is told as [`Fence`], and any number of attempts is a bounded space.
//! - **What is never read again is forgotten** (`published` of a row that runs, the holder of a row that has ended), so that
//!   states which differ in nothing that matters are one.

use crate::late::Late;

/// Tasks at most.
pub const TASKS: usize = 2;
/// Worker processes.
pub const WORKERS: usize = 2;
/// Files of the outcome log at most: the first, and one for each rotation.
pub const FILES: usize = 3;
/// Faults at most.
pub const FAULTS: usize = 2;

/// Which task.
pub type TaskIndex = u8;
/// Which worker process.
pub type WorkerIndex = u8;
/// Which file of the log, in the order in which they were begun.
pub type FileIndex = u8;

/// All that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub tasks: [Task; TASKS],
    pub workers: [Worker; WORKERS],
    /// Leases that were abandoned, each by a fault, and that something still names.
    pub old_leases: [Option<Lease>; FAULTS],
    /// What may be committed at any moment, though nobody waits for it.
    pub late: [Option<Late>; FAULTS],
    pub log: Log,
    pub faults_left: u8,
    pub rotations_left: u8,
    /// Whether the queue ever lost a message.
    pub has_lost_messages: bool,
}

/// A promise: what the API, the database, the queue and the sweep have of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    pub intake: Intake,
    pub row: Option<Row>,
    /// Messages that are ready in the queue.
    pub messages: u8,
    /// The API's way to the queue and back.
    pub first_publish: Errand,
    /// The sweep's.
    pub sweep_publish: Errand,
    pub history: History,
}

/// The API's handler of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intake {
    /// The bytes are durable, the row is to be inserted.
    Inserting,
    /// The insert's answer was lost: the row is looked for.
    Looking,
    /// The row is known to stand.
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
    /// Column `worker`.
    pub holder: Option<LeaseName>,
    pub cancel_requested: bool,
    pub published: bool,
    pub logged: bool,
}

impl Row {
    /// As an insert makes it.
    pub const NEW: Self = Self {
        status: Status::Pending,
        tries: 0,
        holder: None,
        cancel_requested: false,
        published: false,
        logged: false,
    };
}

/// What a claim, a ticket or a statement that names an attempt is worth: whether it is still the row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fence {
    Current,
    Passed,
}

/// The lease that a row's `worker` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// The one that this worker process keeps.
    Kept(WorkerIndex),
    /// One whose process is gone or has another; it still has its row.
    Old(u8),
    /// One that has no row any more.
    Ended,
}

/// A row of `workers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    Live,
    /// Its time is over; the row stands until the sweep takes it.
    Lapsed,
}

/// A ticket on its way to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Errand {
    Nothing,
    ToPublish(Fence),
    /// The queue has confirmed it, the row isn't marked yet.
    ToMark(Fence),
}

/// A worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Worker {
    /// `None`: the row was taken, and the process does not know it yet.
    pub lease: Option<Lease>,
    pub slot: Slot,
    pub logger: Logger,
}

/// A slot of the worker's pool, from a delivery to the end of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    Free,
    /// A message was delivered, nothing is claimed.
    Delivered(TaskIndex),
    /// The claim has seen a pending row and a live lease, and is about to commit. In PostgreSQL that is no one moment: the lease is
    /// another table's row, which is not locked and not looked at again.
    Claiming(TaskIndex, LeaseName),
    /// Claimed, not acknowledged.
    Claimed(TaskIndex, Fence),
    /// Acknowledged and held.
    Working(TaskIndex, Fence),
    /// The end's answer was lost: it is repeated.
    Ending(TaskIndex, Fence),
}

/// What only the properties read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct History {
    /// How often the task has come to an end; 2 is too often already.
    pub ends: u8,
    /// An ended row has changed.
    pub changed_after_end: bool,
    /// A claim that was superseded has changed the row.
    pub changed_by_superseded: bool,
    /// Tries that were charged for a lost worker.
    pub losses: u8,
}

/// The outcome log: files, and what the database knows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Log {
    pub files: [File; FILES],
    /// How many of the files there are.
    pub made: u8,
    /// The file at the log's path; `None` after a rotation, until the next is made.
    pub at_path: Option<FileIndex>,
    pub head: Option<Head>,
    /// For the properties: it has gone back.
    pub head_went_back: bool,
}

/// Row of `log_head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    pub generation: u8,
    pub file: FileIndex,
    /// In pieces instead of bytes.
    pub committed: u8,
}

/// Pieces of a file at most: a line for each task, and what faults spoil.
pub const PIECES: usize = 6;

/// A file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct File {
    pieces: [Option<Piece>; PIECES],
}

/// A line, or what stands after the last newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Piece {
    /// The task's line, whole.
    Line(TaskIndex),
    /// A whole line that is no task's.
    Foreign,
    /// No newline yet.
    Torn(Torn),
}

/// What a torn tail shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Torn {
    /// The beginning of this task's line.
    Of(TaskIndex),
    /// So little of a line that any task's begins so.
    OfAny,
    /// Nobody's of ours.
    Foreign,
}

impl File {
    /// All pieces, in their order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter().map_while(|piece| *piece)
    }

    /// What stands after the last newline.
    pub fn tail(&self) -> Option<Torn> {
        match self.pieces().last() {
            Some(Piece::Torn(torn)) => Some(torn),
            _ => None,
        }
    }

    /// The offset after the last newline.
    pub fn end(&self) -> u8 {
        let whole = self.pieces().filter(|piece| !matches!(piece, Piece::Torn(_))).count();
        whole as u8
    }

    /// Bytes are only ever appended: to the torn tail, if there is one.
    pub fn append(&mut self, piece: Piece) {
        let at = usize::from(self.end());
        // A file that is full has two lines of a task long since.
        if let Some(place) = self.pieces.get_mut(at) {
            *place = Some(piece);
        }
    }
}

/// Some of the tasks.
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
    /// Knows what was owed before it has the lock: only where that guard is taken away.
    Ahead(TaskSet),
    /// Brings a file up to date: its own, or the one that it was rotated from.
    Passing(Pass, Progress),
    /// The file before is complete: the locked one is to be begun.
    Beginning {
        locked: FileIndex,
        seen: Option<u8>,
    },
}

/// What stays the same over a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// The file that is locked. If it isn't the head's, that one was rotated and gets the rest of its torn line alone.
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
    /// What stands after the head was read and recognized.
    Scanned {
        found: TaskSet,
        end: u8,
        tail: Option<Torn>,
    },
    /// What is owed was read.
    ToAppend {
        found: TaskSet,
        end: u8,
        text: Text,
    },
    /// What was appended was read back.
    ToCommit {
        ids: TaskSet,
        end: u8,
        is_all: bool,
    },
}

/// What one write appends.
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

    /// The tasks whose lines it has or completes.
    pub fn tasks(self) -> TaskSet {
        let completed = match self.tail {
            Tail::Complete(task) => Some(task),
            Tail::Leave | Tail::Close => None,
        };
        self.lines.iter().chain(completed).collect()
    }
}

/// How the torn tail is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tail {
    Leave,
    Complete(TaskIndex),
    Close,
}
