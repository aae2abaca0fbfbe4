//! The feed: the sequencer, which any process may be, and a client that reads with a cursor. The order is
//!
//! 1. a statement ends tasks and inserts their row, without a number, in one transaction;
//! 2. any process numbers the rows that are committed: takes the lock, reads the rows, numbers them, and releases the lock by its commit;
//! 3. followers and clients read what has a number, each after its own place;
//! 4. retention deletes outcomes with their tasks, oldest first; a client whose cursor is before that is told.
//!
//! A process that dies while it numbers leaves nothing: its statement is committed or not, and until then it has the lock.

use super::Step;
use crate::Protocol;
use crate::feed::{Feed, Numbering, Place, SEQUENCERS};
use crate::guards::Guard;
use crate::sets::TaskSet;
use crate::state::{Fence, State, Status, TaskIndex};

impl Protocol {
    /// Adds the ends of tasks, where their lives are not part of the model: in batches, as one statement ends them.
    pub(crate) fn offer_ends(&self, state: &State, steps: &mut Vec<Step>) {
        let runs = |task: &TaskIndex| state.row(*task).is_some_and(|row| row.status == Status::Running);
        let running: TaskSet = (0..self.tasks).filter(runs).collect();
        steps.extend(running.subsets().map(Step::End));
    }

    pub(crate) fn offer_feed(&self, state: &State, steps: &mut Vec<Step>) {
        let is_locked = |numbering: &Option<Numbering>| matches!(numbering, Some(Numbering::Locked { .. }));
        let may_lock = !state.numbering.iter().any(is_locked) || !self.has(Guard::NumberUnderLock);
        // A waiting statement exists only without that guard.
        let may_begin = may_lock || !self.has(Guard::SnapshotAfterLock);
        for index in 0..SEQUENCERS as u8 {
            match state.numbering[usize::from(index)] {
                None if may_begin && !state.feed.unnumbered().is_empty() => {
                    steps.push(Step::BeginNumbering(index));
                }
                None => {}
                Some(Numbering::Seen(_)) => {
                    steps.extend(may_lock.then_some(Step::LockNumbers(index)));
                    steps.push(Step::RollBackNumbers(index));
                }
                Some(Numbering::Locked { .. }) => {
                    steps.extend([Step::StoreNumbers(index), Step::RollBackNumbers(index)]);
                }
            }
        }
        if self.has_more_to_read(state) {
            steps.push(Step::Read);
        }
    }

    /// Returns whether outcomes after the reader's cursor were deleted: 410.
    fn is_expired(&self, state: &State) -> bool {
        self.has(Guard::ExpiredCursor) && state.reader.place < state.feed.pruned
    }

    /// Returns whether the reader is given anything if it asks.
    pub(crate) fn has_more_to_read(&self, state: &State) -> bool {
        self.is_expired(state) || self.next_to_read(state).is_some()
    }

    /// Returns the outcome that the reader is given next, and the cursor with it.
    pub(crate) fn next_to_read(&self, state: &State) -> Option<(TaskIndex, Place)> {
        let mut outcomes = match self.has(Guard::ReadByNumber) {
            true => state.feed.kept().collect(),
            false => by_key(&state.feed),
        };
        outcomes.retain(|(_, place)| *place > state.reader.place);
        let (task, place) = outcomes.into_iter().next()?;
        let within = if self.has(Guard::CursorWithinRow) { place.within } else { u8::MAX };
        Some((task, Place { within, ..place }))
    }

    pub(crate) fn apply_feed(&self, state: &mut State, step: Step) {
        match step {
            Step::End(tasks) => self.complete_all(state, tasks, Fence::Current),
            Step::Number => self.number(state),
            Step::BeginNumbering(index) => {
                state.numbering[usize::from(index)] = Some(self.begin_numbering(state));
            }
            Step::LockNumbers(index) => {
                if let Some(Numbering::Seen(rows)) = state.numbering[usize::from(index)] {
                    let last_number = state.feed.last_number;
                    state.numbering[usize::from(index)] = Some(Numbering::Locked { rows, last_number });
                }
            }
            Step::StoreNumbers(index) => {
                if let Some(Numbering::Locked { rows, last_number }) = state.numbering[usize::from(index)] {
                    state.feed.number(rows, last_number, !self.has(Guard::NumberOnce));
                    state.numbering[usize::from(index)] = None;
                }
            }
            Step::RollBackNumbers(index) => state.numbering[usize::from(index)] = None,
            Step::Prune => {
                if let Some(place) = self.next_to_prune(state) {
                    state.feed.pruned = place;
                }
            }
            Step::Read if self.is_expired(state) => {
                let gone = state.feed.numbered().into_iter().filter(|(_, at)| *at <= state.feed.pruned);
                state.reader.told = state.reader.told.and(gone.map(|(task, _)| task).collect());
                state.reader.place = state.feed.pruned;
            }
            Step::Read => {
                if let Some((task, place)) = self.next_to_read(state) {
                    let reader = &mut state.reader;
                    reader.has_seen_twice |= reader.seen.has(task);
                    reader.seen.insert(task);
                    reader.place = place;
                }
            }
            _ => {}
        }
    }
}

/// Returns all outcomes in the order of their rows' keys, whether they have a number or not.
fn by_key(feed: &Feed) -> Vec<(TaskIndex, Place)> {
    let rows = feed.rows().map(|row| row.tasks);
    let mut outcomes = Vec::new();
    for tasks in rows {
        let number = 1 + tasks.iter().fold(0, |key, task| key | 1 << task);
        outcomes.extend(tasks.iter().zip(1..).map(|(task, within)| (task, Place { number, within })));
    }
    outcomes.sort_unstable_by_key(|(_, place)| *place);
    outcomes
}
