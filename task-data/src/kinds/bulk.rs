//! A bulk act: cancels, retries or deletes all tasks that a filter selects, some at a time.

use chrono::{DateTime, Utc};
use database::UserId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Kind;
use crate::store::{Filter, ListOrder, Period};
use crate::task::{Status, Time, WorkerId};

/// The most tickets in one message of the queue.
pub(super) const TOGETHER: usize = 1;

/// The act on each task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is cancelled, if it has not ended.
    Cancel,
    /// It is done again as a new task, if it has failed or was cancelled.
    Retry,
    /// It is deleted, if it has ended.
    Purge,
}

impl Action {
    /// Returns the statuses of tasks that it changes.
    pub const fn of(self) -> &'static [Status] {
        match self {
            Self::Cancel => &[Status::Pending, Status::Running],
            Self::Retry => &[Status::Failed, Status::Cancelled],
            Self::Purge => &[Status::Succeeded, Status::Failed, Status::Cancelled],
        }
    }
}

/// The act, and the tasks that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The act on each task.
    pub action: Action,
    /// The tasks.
    pub filter: Selection,
    /// Only tasks that were created before this time: when they were counted.
    pub counted: DateTime<Utc>,
}

/// A filter of the list of tasks, as a row keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The kinds; all if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<Kind>,
    /// The statuses; all if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<Status>,
    /// The owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    /// The worker that runs the tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Uuid>,
    /// The code with which they failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The beginning of the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// When they were created, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<DateTime<Utc>>,
    /// Before when they were created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<DateTime<Utc>>,
    /// When they ended, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_after: Option<DateTime<Utc>>,
    /// Before when they ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_before: Option<DateTime<Utc>>,
}

impl From<&Filter> for Selection {
    fn from(filter: &Filter) -> Self {
        let at = |time: Option<Time>| time.map(|time| time.0);
        Self {
            kind: filter.kinds.clone(),
            status: filter.statuses.clone(),
            owner: filter.owner.map(|owner| owner.0),
            worker: filter.worker.map(|worker| worker.0),
            error_code: filter.error_code.clone(),
            filename: filter.filename.clone(),
            created_after: at(filter.created.from),
            created_before: at(filter.created.before),
            finished_after: at(filter.finished.from),
            finished_before: at(filter.finished.before),
        }
    }
}

impl Input {
    /// Returns the tasks that the act is for: those that it changes, of those that were counted, oldest first; `None` if it changes none with
    /// the statuses of the selection.
    pub fn filter(&self) -> Option<Filter> {
        let Self { action, filter, counted } = self;
        let is_changed = |status: &Status| filter.status.is_empty() || filter.status.contains(status);
        let statuses: Vec<Status> = action.of().iter().copied().filter(is_changed).collect();
        // To a filter, no status is any status.
        if statuses.is_empty() {
            return None;
        }
        let period = |from: Option<DateTime<Utc>>, before: Option<DateTime<Utc>>| Period {
            from: from.map(Time),
            before: before.map(Time),
        };
        let before = filter.created_before.map_or(*counted, |before| before.min(*counted));
        Some(Filter {
            kinds: filter.kind.clone(),
            statuses,
            owner: filter.owner.map(UserId),
            worker: filter.worker.map(WorkerId),
            error_code: filter.error_code.clone(),
            filename: filter.filename.clone(),
            created: period(filter.created_after, Some(before)),
            finished: period(filter.finished_after, filter.finished_before),
            order: ListOrder::Oldest,
            ..Filter::default()
        })
    }
}

/// The result of a bulk act.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The number of tasks that were changed.
    pub affected: u64,
    /// The number of tasks that could not be changed any more, such as those whose upload is gone; not told if there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the number for the outcome log; `-` if the result lacks it, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    let affected = result.get("affected").and_then(Value::as_u64);
    affected.map_or_else(|| "-".to_owned(), |affected| format!("affected={affected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_for_those_that_it_changes_of_those_that_were_counted() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let wide = Filter {
            kinds: vec![Kind::Md5],
            filename: Some("a".to_owned()),
            created: Period { from: Some(Time(at(1))), before: Some(Time(at(100))) },
            ..Filter::default()
        };
        let input = |action, filter: &Filter| Input { action, filter: filter.into(), counted: at(50) };
        let read = |input: &Input| {
            let json = serde_json::to_value(input).unwrap();
            serde_json::from_value::<Input>(json).unwrap().filter()
        };

        let retry = read(&input(Action::Retry, &wide)).unwrap();
        assert_eq!(retry.statuses, [Status::Failed, Status::Cancelled]);
        assert_eq!((retry.created.from, retry.created.before), (Some(Time(at(1))), Some(Time(at(50)))));
        assert_eq!((retry.kinds, retry.filename), (wide.kinds.clone(), wide.filename.clone()));
        let narrow = Filter { statuses: vec![Status::Failed], ..wide };
        assert_eq!(read(&input(Action::Purge, &narrow)).unwrap().statuses, [Status::Failed]);
        for action in [Action::Cancel, Action::Retry, Action::Purge] {
            for status in Status::ALL {
                let one = Filter { statuses: vec![status], ..Filter::default() };
                let statuses = read(&input(action, &one)).map(|filter| filter.statuses);
                let expected = action.of().contains(&status).then(|| vec![status]);
                assert_eq!(statuses, expected, "{action:?} of {}", status.name());
            }
        }
    }
}
