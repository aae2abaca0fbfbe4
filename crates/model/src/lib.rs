//! Coatcheck's protocol as a model, every state of which is visited.
//!
//! Tests try the cases that their authors thought of, and chaos those that chance brings. Here two workers, an API, a sweep, a queue, a
//! database and a log of at most three files take every possible step, in every order, with a bounded number of faults at every moment;
//! after each step the promises ([`properties`]) are checked. For every state the search also checks whether everything can still end
//! well ([`reach`]). Removing the protocol's guards one by one shows that the properties would notice ([`guards`]).
//!
//! # What is modelled
//! The program, step by step: each of [`steps`] names the function that it stands for, and `database` the
//! statements. An upload's row and 202, publishing and its mark, deliveries, the claim under a lease, acknowledgements; work that
//! succeeds, fails for a while or is given up; small work that ends without a claim; a pause of the tasks' kind; heartbeats, the hand-back of tasks held only in the
//! rows, cancelling, the sweep over leases and rows; the feed of outcomes, its numbers, and a client that reads it with a cursor; and
//! outcome logs that follow it, each with a place of its own, from the lock to the commit, byte order and all, over rotations: one log of
//! two processes, two logs on two hosts, or two names of one log; and retention, which deletes what each log has passed. The order of the steps is at the head of `steps/feed.rs` and
//! `steps/log.rs`, the statements are in `database/feed.rs`.
//!
//! Faults, at any moment: an API or a worker dies, between any two statements or in one, which is then committed late or
//! never; a commit happens and its answer is lost; a worker sleeps through its lease, or gives it up, and goes on late; a message
//! is lost or doubled; a confirm is lost; a log step fails; its write is cut anywhere; a host loses its power, and a file what was not
//! flushed; a foreign program writes half a line without the lock. Without counting as faults, as often as possible: everything is late; old
//! leases lapse; a client cancels; marks get lost; a process that numbers gives up; the log is rotated (twice at most), and rotated files
//! that no log needs are deleted.
//!
//! # What is not, and why
//! - **Times.** A step that waits for a time may happen at once or never. So the model does not rely on back-offs, due times and the
//!   ten seconds for which a heartbeat leaves a new claim alone, and neither does the protocol.
//! - **Bytes of uploads.** `task-data/tests/life` cuts every call that makes a blob durable or removes it.
//! - **Loss of flushed or committed data**: a deleted log, a disk that lies.
//! - **Idempotency keys, kinds, progress of tables, limits**: other protocols, which this one neither helps nor needs. Small work
//!   and claimed work are the same tasks here, so versions with and without it may run side by side.
//! - **More of the same**: a third worker, more slots of a process, three faults at once.
//!
//! # Bounds
//! Two tasks and two faults, for logs three tasks, not together. A log needs of a task's life only that it ends, at any moment and for good,
//! and no step of a life looks at the feed or a log; so the parts are also explored apart ([`Parts`]), where more faults can be afforded.
//! What numbers the feed is explored with a reader; for logs rows are numbered in one step, since nothing can tell when a row that has no
//! number yet was committed. Each choice of one state or one step is argued where it is made: `state` (attempts), `normal` (names),
//! [`steps`] (silent steps).

pub mod guards;
pub mod properties;
pub mod reach;
pub mod steps;

mod database;
mod feed;
mod files;
mod history;
mod late;
mod logger;
mod normal;
mod sets;
mod state;

use std::fmt;

use stateright::{Model, Property};

use crate::files::FILES;
use crate::guards::Guard;
use crate::logger::Logger;
pub use crate::state::State;
use crate::state::{
    Errand, FAULTS, History, Intake, Lease, LeaseName, Pause, Row, Slot, Status, TASKS, Task, WORKERS, Worker,
};
use crate::steps::Step;

/// `MAX_ATTEMPTS` of the program: the least with which a task survives a charge.
pub const MAX_ATTEMPTS: u8 = 2;

/// The part of the protocol to explore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// From the upload to the end of the task.
    Life,
    /// From the end to a reader: tasks end at any moment.
    Feed,
    /// From the end to the lines: tasks end at any moment.
    Log,
    /// From the upload to the line.
    Both,
}

/// The logs, and the processes that write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// Both workers write the same log.
    One,
    /// Each worker writes a log of its own, on its own host.
    OnTwoHosts,
    /// Both workers write to the same files, each under another name: the log's path was changed, or its folder restored.
    OfTwoNames,
}

/// The protocol within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    pub parts: Parts,
    pub logs: Logs,
    /// The number of tasks: at most 3, of lives 2.
    pub tasks: u8,
    /// The number of faults: at most 2.
    pub faults: u8,
    /// The number of rotations on all hosts: at most 2.
    pub rotations: u8,
    /// Whether a fault may be a program that writes to the log without its lock.
    pub has_foreign_writers: bool,
    /// The most outcomes that a log step reads.
    pub page: u8,
    /// Messages of one task that are ready at a time, beside those delivered. One more would only be one more claim that fails.
    pub messages: u8,
    /// Whether a fault may be the loss of a message by the queue itself.
    pub loses_messages: bool,
    /// Whether retention deletes outcomes with their tasks.
    pub prunes: bool,
    /// Whether an operator may pause the tasks' kind, and resume it.
    pub has_pause: bool,
    /// The guards to remove.
    pub without: &'static [Guard],
}

/// Returns the model of that many tasks' lives, with that many faults.
pub const fn life(tasks: u8, faults: u8) -> Protocol {
    Protocol {
        parts: Parts::Life,
        logs: Logs::One,
        tasks,
        faults,
        rotations: 0,
        has_foreign_writers: false,
        page: TASKS as u8,
        messages: if tasks == 1 { 2 } else { 1 },
        loses_messages: true,
        prunes: false,
        has_pause: false,
        without: &[],
    }
}

/// Returns the model of that many tasks' lives, with that many faults and a pause.
pub const fn paused(tasks: u8, faults: u8) -> Protocol {
    Protocol { has_pause: true, ..life(tasks, faults) }
}

/// Returns the model of the feed of that many tasks.
pub const fn feed(tasks: u8) -> Protocol {
    Protocol { parts: Parts::Feed, ..life(tasks, 0) }
}

/// Returns the model of the log of that many tasks, with that many faults (including a foreign program's half line) and rotations.
pub const fn log(tasks: u8, faults: u8, rotations: u8) -> Protocol {
    Protocol { parts: Parts::Log, rotations, has_foreign_writers: true, ..life(tasks, faults) }
}

/// Returns the model of two logs, each of its own process, with that many faults and rotations of both; no foreign programs.
pub const fn two_logs(logs: Logs, tasks: u8, faults: u8, rotations: u8) -> Protocol {
    Protocol { logs, has_foreign_writers: false, ..log(tasks, faults, rotations) }
}

/// Returns the model of a task from its upload to its line, with that many faults and rotations.
pub const fn both(faults: u8, rotations: u8) -> Protocol {
    Protocol { parts: Parts::Both, rotations, ..life(1, faults) }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.parts {
            Parts::Life if self.has_pause => "life with a pause",
            Parts::Life => "life",
            Parts::Feed => "feed",
            Parts::Log => match self.logs {
                Logs::One => "log",
                Logs::OnTwoHosts => "logs on two hosts",
                Logs::OfTwoNames => "log of two names",
            },
            Parts::Both => "life and log",
        };
        let Self { tasks, faults, rotations, .. } = self;
        let retention = if self.prunes { ", with retention" } else { "" };
        write!(f, "{part}, tasks: {tasks}, faults: {faults}, rotations: {rotations}{retention}")
    }
}

impl Protocol {
    pub(crate) fn has(&self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }

    /// Returns whether the lives of tasks are part of the model.
    pub(crate) fn has_life(&self) -> bool {
        matches!(self.parts, Parts::Life | Parts::Both)
    }

    pub(crate) fn has_log(&self) -> bool {
        matches!(self.parts, Parts::Log | Parts::Both)
    }

    /// Returns whether a host may lose its power. Together with lives it may not: they don't look at files.
    pub(crate) fn loses_power(&self) -> bool {
        self.parts == Parts::Log
    }

    fn task(&self, index: usize) -> Task {
        let is_there = index < usize::from(self.tasks);
        let (intake, row) = match self.parts {
            _ if !is_there => (Intake::Gone, None),
            Parts::Life | Parts::Both => (Intake::Inserting, None),
            // Under some lease: which one does not matter.
            Parts::Feed | Parts::Log => (
                Intake::Answered,
                Some(Row { status: Status::Running, holder: Some(LeaseName::Ended), ..Row::NEW }),
            ),
        };
        Task {
            intake,
            row,
            messages: 0,
            first_publish: Errand::Nothing,
            sweep_publish: Errand::Nothing,
            history: History::default(),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let worker = Worker { lease: Some(Lease::Live), slot: Slot::Free, logger: Logger::Idle };
        let state = State {
            tasks: std::array::from_fn::<_, TASKS, _>(|index| self.task(index)),
            workers: [worker; WORKERS],
            old_leases: [None; FAULTS],
            late: [None; FAULTS],
            feed: Default::default(),
            numbering: Default::default(),
            reader: Default::default(),
            folders: Default::default(),
            heads: Default::default(),
            past: Default::default(),
            pause: if self.has_pause { Pause::Possible } else { Pause::Over },
            faults_left: self.faults,
            rotations_left: self.rotations.min(FILES as u8 - 1),
            has_lost_messages: false,
        };
        vec![self.normal(state)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.offer(state, steps);
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut after = *before;
        self.apply(&mut after, step);
        after.note(before, step);
        after.note_numbers(before);
        after.note_pause(before);
        let after = self.normal(after);
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
