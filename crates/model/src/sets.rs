//! Sets and sequences of tasks.

use crate::state::{TASKS, TaskIndex};

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

    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub fn iter(self) -> impl Iterator<Item = TaskIndex> {
        (0..TASKS as TaskIndex).filter(move |task| self.has(*task))
    }

    /// Returns all its subsets but the empty one.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        (1..=self.0).map(Self).filter(move |set| set.without(self).is_empty())
    }
}

impl FromIterator<TaskIndex> for TaskSet {
    fn from_iter<I: IntoIterator<Item = TaskIndex>>(tasks: I) -> Self {
        let mut set = Self::default();
        tasks.into_iter().for_each(|task| set.insert(task));
        set
    }
}

/// Different tasks in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaskList([Option<TaskIndex>; TASKS]);

impl TaskList {
    pub fn iter(self) -> impl Iterator<Item = TaskIndex> {
        self.0.into_iter().flatten()
    }

    pub fn set(self) -> TaskSet {
        self.iter().collect()
    }

    pub const fn is_empty(self) -> bool {
        self.0[0].is_none()
    }

    #[must_use]
    pub fn without(self, others: TaskSet) -> Self {
        self.iter().filter(|task| !others.has(*task)).collect()
    }
}

impl FromIterator<TaskIndex> for TaskList {
    fn from_iter<I: IntoIterator<Item = TaskIndex>>(tasks: I) -> Self {
        let mut list = Self::default();
        for (place, task) in list.0.iter_mut().zip(tasks) {
            *place = Some(task);
        }
        list
    }
}
