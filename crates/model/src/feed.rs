//! The feed of outcomes: a row for each statement that has ended tasks, the rows' numbers, and places in their order.

use crate::sets::{TaskList, TaskSet};
use crate::state::TaskIndex;

/// The most rows: one for each task, and one more, by which a task that is in two is seen.
const ROWS: usize = 4;
/// The most statements that number at a time: one, unless that guard is removed.
pub const SEQUENCERS: usize = 2;

/// The table `feed`, and the row that has the last number given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Feed {
    /// In the order of their key. A key is drawn before its row is committed, so rows are committed in any order: which of two tasks has
    /// the lower key is here a matter of their names.
    rows: [Option<FeedRow>; ROWS],
    /// The last number given. A number of its own row: the newest rows of `feed` may be gone one day.
    pub last_number: u8,
    /// Up to here the outcomes and their tasks were deleted. Their rows stay here for the properties; the program sees what comes after.
    pub pruned: Place,
}

/// A row of `feed`: the tasks that one statement has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedRow {
    pub tasks: TaskSet,
    pub number: Option<u8>,
}

/// A place in the order of all outcomes: that of the last outcome seen, as the number of its row and its position there, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    pub number: u8,
    pub within: u8,
}

/// A statement that numbers rows, in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Numbering {
    /// Has seen these rows without a number, and waits for its turn: only if that guard is removed.
    Seen(TaskSet),
    /// Has the lock; will give these rows the numbers after that one. A row is named by its first task.
    Locked { rows: TaskSet, last_number: u8 },
}

/// A client that follows the feed with a cursor: `GET /api/v1/outcomes?after=`, one outcome at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Reader {
    pub place: Place,
    pub seen: TaskSet,
    /// For the properties: it has seen an outcome again.
    pub has_seen_twice: bool,
    /// For the properties: outcomes that it was told are gone, 410.
    pub told: TaskSet,
}

impl FeedRow {
    /// Returns the row's tasks with their places.
    fn outcomes(self) -> impl Iterator<Item = (TaskIndex, Place)> {
        let number = self.number.unwrap_or_default();
        self.tasks.iter().zip(1..).map(move |(task, within)| (task, Place { number, within }))
    }
}

impl Feed {
    /// Returns the rows in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = FeedRow> + '_ {
        self.rows.iter().flatten().copied()
    }

    /// Inserts a row: `INSERT INTO feed (tasks) VALUES …`, in the transaction of the statement that has ended the tasks.
    pub fn insert(&mut self, tasks: TaskSet) {
        // A feed that is full has long had a task twice.
        if let Some(row) = self.rows.iter_mut().find(|row| row.is_none())
            && !tasks.is_empty()
        {
            *row = Some(FeedRow { tasks, number: None });
            self.rows.sort_unstable();
        }
    }

    /// Numbers those of the rows that still have no number, counting all of them. `again` is only for a removed guard.
    pub fn number(&mut self, rows: TaskSet, last_number: u8, again: bool) {
        self.last_number = last_number;
        for row in self.rows.iter_mut().flatten() {
            if row.tasks.iter().next().is_some_and(|first| rows.has(first)) {
                self.last_number += 1;
                row.number = row.number.filter(|_| !again).or(Some(self.last_number));
            }
        }
        self.rows.sort_unstable();
    }

    /// Returns the rows without a number, each named by its first task.
    pub fn unnumbered(&self) -> TaskSet {
        self.rows().filter(|row| row.number.is_none()).filter_map(|row| row.tasks.iter().next()).collect()
    }

    /// Returns the outcomes that have a number, in their order: `… WHERE no IS NOT NULL ORDER BY no, within`.
    pub fn numbered(&self) -> Vec<(TaskIndex, Place)> {
        let numbered = self.rows().filter(|row| row.number.is_some());
        let mut outcomes: Vec<_> = numbered.flat_map(FeedRow::outcomes).collect();
        outcomes.sort_unstable_by_key(|(task, place)| (*place, *task));
        outcomes
    }

    /// Returns those of the outcomes with a number that are kept, in their order.
    pub fn kept(&self) -> impl Iterator<Item = (TaskIndex, Place)> {
        let pruned = self.pruned;
        self.numbered().into_iter().filter(move |(_, at)| *at > pruned)
    }

    /// Returns the kept outcomes after a place, in their order.
    pub fn after(&self, place: Place) -> TaskList {
        self.kept().filter(|(_, at)| *at > place).map(|(task, _)| task).collect()
    }

    /// Returns whether the task was deleted.
    pub fn has_pruned(&self, task: TaskIndex) -> bool {
        self.place_of(task).is_some_and(|at| at <= self.pruned)
    }

    /// Returns the outcome's place, once it has one.
    pub fn place_of(&self, task: TaskIndex) -> Option<Place> {
        self.numbered().into_iter().find(|(other, _)| *other == task).map(|(_, place)| place)
    }

    /// Returns the number of rows that have the task.
    pub fn rows_of(&self, task: TaskIndex) -> usize {
        self.rows().filter(|row| row.tasks.has(task)).count()
    }

    /// Gives each task a row of its own, where nothing reads which tasks ended together.
    pub fn split(&mut self) {
        let joint = std::mem::take(self);
        for row in joint.rows() {
            row.tasks.iter().for_each(|task| self.insert(TaskSet::from_iter([task])));
        }
    }

    /// Renames two tasks as each other.
    pub fn swap_tasks(&mut self) {
        for row in self.rows.iter_mut().flatten() {
            row.tasks = row.tasks.iter().map(|task| if task < 2 { 1 - task } else { task }).collect();
        }
        self.rows.sort_unstable();
    }
}
