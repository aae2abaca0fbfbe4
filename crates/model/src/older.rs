//! The version before, whose workers write the same log beside the new ones during an upgrade: it does not know the feed, marks rows as
//! logged, and has a head of its own (`log_head`), without a place. A trigger adds the tasks that it ends to the feed.
//!
//! The new version keeps both true: the statement that stores a follower's head also marks the rows of the lines known by then, and moves
//! the older head, if that is behind. Its follower begins where the older head stands, with the marked rows as known lines. It finds the
//! older version's lines behind its own head, perhaps before their outcomes have numbers and in another order: they are remembered as lines
//! ahead of the place. A torn line may be such a line too, so a step that meets one waits until all rows have numbers.

use crate::feed::Place;
use crate::files::Torn;
use crate::guards::Guard;
use crate::logger::{Head, NameIndex};
use crate::sets::{TaskList, TaskSet};
use crate::state::{State, TASKS, TaskIndex, WorkerIndex};
use crate::{Logs, Protocol};

/// The older version's head, in place of a second name's.
pub const OLDER: NameIndex = 1;

impl Protocol {
    pub(crate) fn is_older(&self, name: NameIndex) -> bool {
        self.logs == Logs::BesideOlder && name == OLDER
    }

    /// Returns whether a step may go on from its scan: a torn line may be one of the older version, so all outcomes must have their numbers.
    pub(crate) fn may_read(&self, state: &State, worker: WorkerIndex, torn: Option<Torn>) -> bool {
        let waits = self.logs == Logs::BesideOlder && !self.is_older(self.name_of(worker)) && torn.is_some();
        !waits || !self.has(Guard::NumberBeforeTorn) || state.feed.unnumbered().is_empty()
    }

    /// Stores the older version's head: `Outcomes::begin_log` and `Outcomes::commit_log`. Here `head.ahead` are the tasks to mark, which are
    /// marked in any case.
    pub(crate) fn store_older_head(&self, state: &mut State, seen: Option<Head>, head: Head) -> bool {
        state.mark(head.ahead);
        let stored = state.heads[usize::from(OLDER)];
        let is_seen = match (stored, seen) {
            (None, None) => true,
            // A file's index stands for its generation.
            (Some(stored), Some(seen)) => {
                stored.file == seen.file && (stored.file != head.file || stored.committed < head.committed)
            }
            _ => false,
        };
        if is_seen {
            state.heads[usize::from(OLDER)] = Some(Head { ahead: TaskSet::default(), ..head });
        }
        is_seen
    }

    /// Keeps the older version's head and marks true: part of the statement that stores a follower's head.
    pub(crate) fn keep_older_true(&self, state: &mut State, head: Head) {
        let place = |task| state.feed.place_of(task);
        let is_known =
            |task: &TaskIndex| head.ahead.has(*task) || place(*task).is_some_and(|place| place <= head.place);
        let known: TaskSet = (0..TASKS as TaskIndex).filter(is_known).collect();
        if self.has(Guard::MarkWithOlderHead) {
            state.mark(known);
        }
        let older = &mut state.heads[usize::from(OLDER)];
        if older.is_none_or(|older| (older.file, older.committed) < (head.file, head.committed)) {
            *older = Some(Head { place: Place::default(), ahead: TaskSet::default(), ..head });
        }
    }

    /// Makes the new version's follower from the older head, if there is one: part of the upgrade, one transaction.
    pub(crate) fn follow_older(&self, state: &mut State, name: NameIndex) {
        if self.logs != Logs::BesideOlder || name == OLDER || state.heads[usize::from(name)].is_some() {
            return;
        }
        let marked: TaskSet = (0..TASKS as TaskIndex).filter(|task| state.is_logged(*task)).collect();
        let numbered = state.feed.numbered().into_iter();
        let passed = numbered.take_while(|(task, _)| marked.has(*task)).last();
        let place = passed.map(|(_, place)| place).unwrap_or_default();
        let is_after = |task: &TaskIndex| state.feed.place_of(*task).is_none_or(|at| at > place);
        let ahead = match self.has(Guard::FollowFromMarks) {
            true => marked.iter().filter(is_after).collect(),
            false => TaskSet::default(),
        };
        let older = state.heads[usize::from(OLDER)];
        state.heads[usize::from(name)] = older.map(|older| Head { place, ahead, ..older });
    }
}

impl State {
    /// Returns the ended tasks that are not marked: `Outcomes::unlogged`.
    pub(crate) fn unlogged(&self) -> TaskList {
        let is_due = |task: &TaskIndex| {
            self.row(*task).is_some_and(|row| row.status.is_ended()) && !self.is_logged(*task)
        };
        (0..TASKS as TaskIndex).filter(is_due).collect()
    }

    fn is_logged(&self, task: TaskIndex) -> bool {
        self.row(task).is_some_and(|row| row.logged)
    }

    fn mark(&mut self, tasks: TaskSet) {
        for task in tasks.iter() {
            if let Some(row) = self.tasks[usize::from(task)].row.as_mut() {
                row.logged = true;
            }
        }
    }
}
