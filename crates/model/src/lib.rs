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
//! succeeds, fails for a while or is given up; heartbeats, the hand-back of tasks held only in the rows, cancelling, the sweep over
//! leases and rows; and the outcome log from its lock to its commit, byte order and all, over rotations.
//!
//! Faults, at any moment: an API or a worker dies, between any two statements or in one, which is then committed late or
//! never; a commit happens and its answer is lost; a worker sleeps through its lease, or gives it up, and goes on late; a message
//! is lost or doubled; a confirm is lost; a log step fails; its write is cut anywhere; a foreign program writes half a line without the
//! lock. Without counting as faults, as often as possible: everything is late; old leases lapse; a client cancels; marks get lost; the
//! log is rotated (twice at most).
//!
//! # What is not, and why
//! - **Times.** A step that waits for a time may happen at once or never. So the model does not rely on back-offs, due times and the
//!   ten seconds for which a heartbeat leaves a new claim alone, and neither does the protocol.
//! - **Bytes of uploads.** `task-data/tests/life` cuts every call that makes a blob durable or removes it.
//! - **Loss of flushed or committed data**: a machine's end, a deleted log. Flushing is not a step here.
//! - **Idempotency keys, kinds, progress of tables, limits**: other protocols, which this one neither helps nor needs.
//! - **More of the same**: a third worker, more slots of a process, three faults at once.
//!
//! # Bounds
//! Two tasks and two faults, not together. The log needs of a task's life only that it ends, at any moment and for good,
//! and no step of a life looks at the log; so the halves are also explored apart ([`Parts`]), where more faults can be afforded. Each
//! choice of one state or one step is argued where it is made: `state` (attempts), `normal` (names), [`steps`] (silent steps).

pub mod guards;
pub mod properties;
pub mod reach;
pub mod steps;

mod database;
mod history;
mod late;
mod normal;
mod state;

use std::fmt;

use stateright::{Model, Property};

use crate::guards::Guard;
pub use crate::state::State;
use crate::state::{
    Errand, FAULTS, FILES, History, Intake, Lease, LeaseName, Log, Logger, Row, Slot, Status, TASKS, Task,
    WORKERS, Worker,
};
use crate::steps::Step;

/// `MAX_ATTEMPTS` of the program: the least with which a task survives a charge.
pub const MAX_ATTEMPTS: u8 = 2;

/// The part of the protocol to explore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// From the upload to the end of the task.
    Life,
    /// From the end to the line: tasks end at any moment.
    Log,
    /// The whole protocol.
    Both,
}

/// The protocol within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    pub parts: Parts,
    /// The number of tasks: 1 or 2.
    pub tasks: u8,
    /// The number of faults: at most 2.
    pub faults: u8,
    /// The number of rotations: at most 2.
    pub rotations: u8,
    /// Whether a fault may be a program that writes to the log without its lock.
    pub has_foreign_writers: bool,
    /// Messages of one task that are ready at a time, beside those delivered. One more would only be one more claim that fails.
    pub messages: u8,
    /// Whether a fault may be the loss of a message by the queue itself.
    pub loses_messages: bool,
    /// The guards to remove.
    pub without: &'static [Guard],
}

/// Returns the model of that many tasks' lives, with that many faults.
pub const fn life(tasks: u8, faults: u8) -> Protocol {
    Protocol {
        parts: Parts::Life,
        tasks,
        faults,
        rotations: 0,
        has_foreign_writers: false,
        messages: if tasks == 1 { 2 } else { 1 },
        loses_messages: true,
        without: &[],
    }
}

/// Returns the model of the log of that many tasks, with that many faults (including a foreign program's half line) and rotations.
pub const fn log(tasks: u8, faults: u8, rotations: u8) -> Protocol {
    Protocol { parts: Parts::Log, rotations, has_foreign_writers: true, ..life(tasks, faults) }
}

/// Returns the model of a task from its upload to its line, with that many faults and rotations.
pub const fn both(faults: u8, rotations: u8) -> Protocol {
    Protocol { parts: Parts::Both, rotations, ..life(1, faults) }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.parts {
            Parts::Life => "life",
            Parts::Log => "log",
            Parts::Both => "life and log",
        };
        write!(f, "{part}, tasks: {}, faults: {}, rotations: {}", self.tasks, self.faults, self.rotations)
    }
}

impl Protocol {
    pub(crate) fn has(&self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }

    fn task(&self, index: usize) -> Task {
        let is_there = index < usize::from(self.tasks);
        let (intake, row) = match self.parts {
            _ if !is_there => (Intake::Gone, None),
            Parts::Life | Parts::Both => (Intake::Inserting, None),
            // Under some lease: which one does not matter.
            Parts::Log => (
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
            log: Log { files: Default::default(), made: 0, at_path: None, head: None, head_went_back: false },
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
        let after = self.normal(after);
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
