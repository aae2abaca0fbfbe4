//! Lists of tasks: the index that leads to a list's tasks in their order, and how far a page or a count reads along it.
//!
//! A list is read along one index, between two of its entries. What that index does not decide is compared row by row, and only for so many
//! rows: a page is then shorter, and says where the next one begins. So the time of a page does not grow with the table. Plans are made
//! once, so the words here leave the planner one choice: an order that only the index has, or none, and comparisons that no other index
//! serves.

use chrono::{DateTime, TimeDelta, Utc};
use database::UserId;
use database::types::{SqlTime, SqlUuid, TimeType};
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use uuid::Uuid;

use super::filter::{Filter, ListOrder, ListPlace, Period, TaskCount};
use super::port::LIST_BYTES;
use crate::kinds::Kind;
use crate::kinds::md5::Md5Digest;
use crate::task::{Status, Task, TaskId, Time, WorkerId};

/// The most rows that a page looks at.
pub const LOOKED_AT: i64 = 10_000;
/// The most rows that a count looks at.
pub const COUNTED_AMONG: i64 = 100_000;

/// The characters of a file's name that are in its index.
pub const NAME_CHARS: usize = 32;

/// How much earlier than its row a task's id may have been made: the time that an upload takes.
const LONGEST_UPLOAD: TimeDelta = TimeDelta::days(1);
/// How far the clocks of the processes, which make ids, and of the database may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::hours(1);

/// The index by which the tasks of a list are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// All tasks, in the order of their ids.
    Id,
    /// An owner's tasks, in that order.
    Owner(UserId),
    /// Tasks that failed or were cancelled, in that order.
    Ended(Status),
    /// Tasks that failed with a code, in that order.
    Code(String),
    /// Ended tasks, in the order of their ends.
    Finished,
    /// An owner's ended tasks, in that order.
    OwnerFinished(UserId),
    /// Running tasks, all or a worker's: as many as workers run at once, which are then sorted.
    Running(Option<WorkerId>),
    /// Pending tasks, to be counted: those that are due first come first.
    Pending,
    /// Tasks whose file's name begins so, which are then sorted: the caller sees to it that they are few.
    Name(String),
    /// Tasks that found a digest, all or an owner's, in the order of their ids.
    Digest(Md5Digest, Option<UserId>),
}

impl Lead {
    fn of(filter: &Filter) -> Self {
        let only = <[Status; 1]>::try_from(&*filter.statuses).ok().map(|[status]| status);
        match filter {
            Filter { digest: Some(digest), owner, .. } => Self::Digest(*digest, *owner),
            Filter { finished, owner: Some(owner), .. } if finished.is_bounded() => {
                Self::OwnerFinished(*owner)
            }
            Filter { owner: Some(owner), .. } => Self::Owner(*owner),
            Filter { finished, .. } if finished.is_bounded() => Self::Finished,
            Filter { worker: Some(worker), .. } => Self::Running(Some(*worker)),
            Filter { error_code: Some(code), .. } => Self::Code(code.clone()),
            Filter { filename: Some(name), .. } => Self::Name(name.chars().take(NAME_CHARS).collect()),
            _ => match only {
                Some(Status::Running) => Self::Running(None),
                Some(status @ (Status::Failed | Status::Cancelled)) => Self::Ended(status),
                _ => Self::Id,
            },
        }
    }

    /// Returns whether the index has the order of the list.
    const fn is_ordered(&self) -> bool {
        !matches!(self, Self::Running(_) | Self::Pending | Self::Name(_) | Self::Digest(..))
    }

    /// Returns whether the list is in the order of the ends.
    pub const fn is_by_end(&self) -> bool {
        matches!(self, Self::Finished | Self::OwnerFinished(_))
    }

    /// Returns whether all tasks to which it leads have one of these statuses.
    fn decides(&self, statuses: &[Status]) -> bool {
        let status = match self {
            Self::Ended(status) => *status,
            Self::Code(_) => Status::Failed,
            Self::Running(_) => Status::Running,
            Self::Pending => Status::Pending,
            _ => return statuses.is_empty(),
        };
        statuses.is_empty() || statuses.contains(&status)
    }

    /// Returns the order in which the tasks are read.
    pub fn order(&self, order: ListOrder) -> SqlLiteral<Text> {
        let columns: &[&str] = match self {
            Self::Id | Self::Digest(..) => &["id"],
            Self::Owner(_) => &["owner", "id"],
            Self::Ended(_) => &["status", "id"],
            Self::Code(_) => &["error_code", "id"],
            Self::Finished => &["finished", "id"],
            Self::OwnerFinished(_) => &["owner", "finished", "id"],
            // An order that no index has.
            Self::Running(_) | Self::Name(_) => &["coalesce(id, id)"],
            Self::Pending => &["sweep_at"],
        };
        let direction = match order {
            ListOrder::Newest => "DESC",
            ListOrder::Oldest => "ASC",
        };
        let columns: Vec<_> = columns.iter().map(|column| format!("{column} {direction}")).collect();
        sql(&columns.join(", "))
    }

    /// Returns the time of the end, in a list in that order, else NULL.
    pub fn finished(&self) -> SqlLiteral<Nullable<TimeType>> {
        sql(if self.is_by_end() { "finished" } else { "NULL" })
    }
}

/// A condition of a filter that the index does not decide: it is compared row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    Kinds(Vec<Kind>),
    Statuses(Vec<Status>),
    Created(Period),
    Worker(WorkerId),
    Code(String),
    Name(String),
}

/// The way along an index that a list is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    pub lead: Lead,
    pub order: ListOrder,
    pub rest: Vec<Rest>,
    /// Whether tasks of kinds that only a newer version knows are included.
    pub with_newer: bool,
    low: (ListPlace, &'static str),
    high: (ListPlace, &'static str),
}

impl Walk {
    /// Returns the way along which a page of the list is read.
    pub fn of(filter: &Filter) -> Self {
        Self::led(filter, Lead::of(filter))
    }

    /// Returns the way along which the list's tasks are counted.
    pub fn to_count(filter: &Filter) -> Self {
        let filter = Filter { after: None, ..filter.clone() };
        let lead = match Lead::of(&filter) {
            Lead::Id if filter.statuses == [Status::Pending] => Lead::Pending,
            lead => lead,
        };
        Self::led(&filter, lead)
    }

    fn led(filter: &Filter, lead: Lead) -> Self {
        let (lowest, highest) = match lead.is_by_end() {
            true => (Some(Time(DateTime::UNIX_EPOCH)), Some(Time(DateTime::<Utc>::MAX_UTC))),
            false => (None, None),
        };
        let mut low = (ListPlace { finished: lowest, id: TaskId(Uuid::nil()) }, ">=");
        let mut high = (ListPlace { finished: highest, id: TaskId(Uuid::max()) }, "<=");
        if lead.is_by_end() {
            low.0.finished = filter.finished.from.or(lowest);
            if let Some(before) = filter.finished.before {
                high = (ListPlace { finished: Some(before), id: TaskId(Uuid::nil()) }, "<");
            }
        } else {
            if let Some(from) = filter.created.from {
                low.0.id = first_id(from.0 - LONGEST_UPLOAD);
            }
            if let Some(before) = filter.created.before {
                high.0.id = first_id(before.0 + CLOCK_SKEW);
            }
        }
        let (order, with_newer) = (filter.order, filter.with_newer);
        let mut walk = Self { order, rest: rest_of(filter, &lead), with_newer, lead, low, high };
        if let Some(after) = filter.after {
            match walk.order {
                ListOrder::Newest if after <= walk.high.0 => walk.high = (after, "<"),
                ListOrder::Oldest if after >= walk.low.0 => walk.low = (after, ">"),
                ListOrder::Newest | ListOrder::Oldest => {}
            }
        }
        walk
    }

    /// Returns whether the way may be long between two tasks of the list.
    pub fn may_be_long(&self) -> bool {
        self.lead.is_ordered() && !self.rest.is_empty()
    }

    /// Ends the way at this place.
    pub fn end_at(&mut self, place: ListPlace) {
        match self.order {
            ListOrder::Newest => self.low = (place, ">="),
            ListOrder::Oldest => self.high = (place, "<="),
        }
    }

    /// Returns the way from one place to another, both included.
    pub fn between(mut self, first: ListPlace, last: ListPlace) -> Self {
        match self.order {
            ListOrder::Newest => self.high = (first, "<="),
            ListOrder::Oldest => self.low = (first, ">="),
        }
        self.end_at(last);
        self
    }

    /// Returns both ends, each with how places compare with it.
    pub const fn ends(&self) -> [(ListPlace, &'static str); 2] {
        [self.low, self.high]
    }
}

/// Returns the place of a row.
pub fn place((id, finished): PlaceRow) -> ListPlace {
    ListPlace { finished: finished.map(Time::from), id: id.into() }
}

/// Returns the least id that is made at that time.
fn first_id(time: DateTime<Utc>) -> TaskId {
    let milliseconds = time.timestamp_millis().clamp(0, (1 << 48) - 1);
    TaskId(Uuid::from_u128(u128::from(milliseconds.unsigned_abs()) << 80))
}

fn rest_of(filter: &Filter, lead: &Lead) -> Vec<Rest> {
    let Filter { kinds, statuses, created, worker, error_code, filename, .. } = filter;
    let code = error_code.as_ref().filter(|_| !matches!(lead, Lead::Code(_)));
    let worker = worker.filter(|_| !matches!(lead, Lead::Running(_)));
    // Of a long name, the index has only the beginning.
    let name = filename.as_ref().filter(|name| !matches!(lead, Lead::Name(start) if start == *name));
    [
        (!kinds.is_empty()).then(|| Rest::Kinds(kinds.clone())),
        (!lead.decides(statuses)).then(|| Rest::Statuses(statuses.clone())),
        created.is_bounded().then_some(Rest::Created(*created)),
        worker.map(Rest::Worker),
        code.cloned().map(Rest::Code),
        name.cloned().map(Rest::Name),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the least text that is greater than all that begin so, if there is one.
pub fn after_all(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // A range of characters leaves out what is not one.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// A task on the way: its id, and the time of its end in a list in that order.
pub type PlaceRow = (SqlUuid, Option<SqlTime>);
/// A task on the way, with its size as JSON, in bytes.
pub type SizeRow = (PlaceRow, i64);

/// Returns the size of a task as JSON, in bytes.
pub fn task_bytes() -> SqlLiteral<BigInt> {
    sql("CAST(octet_length(CAST(input AS text)) + coalesce(octet_length(CAST(result AS text)), 0) AS bigint)")
}

/// Returns the first and the last of the tasks of these sizes that make up a page, their number, and whether more follow.
pub fn page_of(sizes: &[SizeRow], limit: i64) -> Option<(ListPlace, ListPlace, i64, bool)> {
    let mut bytes = 0;
    let fitting = sizes.iter().take(limit as usize).enumerate().take_while(|(position, (_, size))| {
        bytes += size;
        *position == 0 || bytes <= LIST_BYTES
    });
    let count = fitting.count();
    let (first, last) = (place(sizes.first()?.0), place(sizes.get(count.checked_sub(1)?)?.0));
    Some((first, last, count as i64, count < sizes.len()))
}

/// Returns the place after which the next page begins, if there is one: `last` is the last task of this one as its sizes were read, and
/// `following` what followed it then. Tasks that have come in since may have pushed some out of the page: those begin the next one.
pub fn next_of(
    walk: &Walk,
    page: &[Task],
    (last, count): (ListPlace, i64),
    following: Option<ListPlace>,
) -> Option<ListPlace> {
    let end = page
        .last()
        .filter(|_| page.len() as i64 == count)
        .map(|task| ListPlace { finished: task.finished.filter(|_| walk.lead.is_by_end()), id: task.id });
    end.filter(|end| *end != last).or(following)
}

/// Returns the outcome of a count that found so many tasks before its end or the place where it was cut.
pub fn counted(found: usize, most: i64, cut: Option<ListPlace>) -> TaskCount {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    TaskCount { count: found.min(most), is_exact: found <= most && cut.is_none() }
}

/// Returns SQL that is true for a row with one of these words, in a form that no index has.
pub fn one_of(column: &str, words: impl Iterator<Item = &'static str>) -> SqlLiteral<Bool> {
    let words: Vec<_> = words.collect();
    sql(&format!("CAST(tasks.{column} AS text) IN ('{}')", words.join("', '")))
}
