//! Which tasks a list has, in which order, and where a page of it begins.

use std::fmt;
use std::str::FromStr;

use chrono::DateTime;
use database::UserId;

use crate::kinds::Kind;
use crate::kinds::md5::Md5Digest;
use crate::task::{Status, Task, TaskId, Time, WorkerId};

/// The filter of a list of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only tasks of these kinds; all if it is empty.
    pub kinds: Vec<Kind>,
    /// Only tasks with these statuses; all if it is empty.
    pub statuses: Vec<Status>,
    /// Only tasks of kind md5 with that digest as their result.
    pub digest: Option<Md5Digest>,
    /// Only tasks of that owner.
    pub owner: Option<UserId>,
    /// Only tasks that this worker runs.
    pub worker: Option<WorkerId>,
    /// Only tasks that failed with that code.
    pub error_code: Option<String>,
    /// Only tasks with a file whose name begins so.
    pub filename: Option<String>,
    /// Only tasks that were created in this period.
    pub created: Period,
    /// Only tasks that ended in this period. If it is bounded, the list is in the order of the ends.
    pub finished: Period,
    /// The order of the list.
    pub order: ListOrder,
    /// Only tasks after this place in the list.
    pub after: Option<ListPlace>,
    /// Also tasks of kinds that only a newer version knows.
    pub with_newer: bool,
    /// The most tasks to return.
    pub limit: i64,
}

/// A period of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub from: Option<Time>,
    /// The first instant after it.
    pub before: Option<Time>,
}

impl Period {
    /// Returns whether it has a beginning or an end.
    pub const fn is_bounded(self) -> bool {
        self.from.is_some() || self.before.is_some()
    }
}

/// The order of a list of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// The text is not the name of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an order: newest or oldest")]
pub struct InvalidOrder;

impl FromStr for ListOrder {
    type Err = InvalidOrder;

    fn from_str(name: &str) -> Result<Self, InvalidOrder> {
        match name {
            "newest" => Ok(Self::Newest),
            "oldest" => Ok(Self::Oldest),
            _ => Err(InvalidOrder),
        }
    }
}

/// A place in a list of tasks: that of a task. Its text is what clients go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPlace {
    /// The time of the end, in a list in the order of the ends.
    pub finished: Option<Time>,
    /// The task.
    pub id: TaskId,
}

impl From<TaskId> for ListPlace {
    fn from(id: TaskId) -> Self {
        Self { finished: None, id }
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finished {
            Some(finished) => write!(f, "{}.{}", finished.0.timestamp_micros(), self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The text is not a place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the `next` of another page")]
pub struct InvalidListPlace;

impl FromStr for ListPlace {
    type Err = InvalidListPlace;

    fn from_str(text: &str) -> Result<Self, InvalidListPlace> {
        let (finished, id) = text.split_once('.').map_or((None, text), |(finished, id)| (Some(finished), id));
        let time = |text: &str| {
            let time = text.parse().ok().and_then(DateTime::from_timestamp_micros);
            time.map(Time).ok_or(InvalidListPlace)
        };
        let finished = finished.map(time).transpose()?;
        Ok(Self { finished, id: id.parse().map_err(|_| InvalidListPlace)? })
    }
}

/// A page of listed tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskPage {
    /// The tasks, in the order of the list.
    pub tasks: Vec<Task>,
    /// The place after which the list may go on: that of the last task, or of the last one that was looked at. `None` at its end.
    pub next: Option<ListPlace>,
}

/// The number of tasks that pass a filter, as far as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCount {
    /// The tasks that were counted.
    pub count: i64,
    /// Whether these are all.
    pub is_exact: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let id = TaskId::random();
        let finished = Some(Time(DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap()));
        for place in [ListPlace::from(id), ListPlace { finished, id }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for garbage in ["", ".", "1.", "abc", &format!(".{id}"), &format!("x.{id}"), &format!("1.2.{id}")] {
            assert_eq!(garbage.parse::<ListPlace>(), Err(InvalidListPlace), "{garbage}");
        }
    }
}
