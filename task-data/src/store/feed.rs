//! The feed of outcomes: its part of the port, and the row that both databases return.
//!
//! Every statement that ends tasks inserts a row of the feed with their ids, in its own transaction. Rows get their numbers once they are
//! committed. So a reader with a cursor gets every outcome exactly once: nothing before the cursor appears later.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use database::types::{JsonType, SqlJson, SqlTime, SqlUuid, StatusType, TimeType, UuidType};
use database::{StoreError, UserId};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::types::SqlStatus;
use crate::kinds::{Kind, RowKind};
use crate::outcome::detail;
use crate::task::{Status, TaskId, Time};

/// A place in the feed: a cursor. After it comes what its reader has not seen. The default is before all outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The number of a row of the feed, counted from 1.
    pub no: i64,
    /// The place in that row, counted from 1; 0 is before the row's first task.
    pub within: i64,
}

impl Place {
    /// Returns the place before the row with that number.
    pub const fn before(no: i64) -> Self {
        Self { no, within: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { no, within } = self;
        write!(f, "{no}-{within}")
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor of an outcome, such as `17-2`")]
pub struct InvalidPlace;

impl FromStr for Place {
    type Err = InvalidPlace;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let number = |digits: &str| digits.parse().ok().filter(|number| *number >= 0);
        let (no, within) = text.split_once('-').ok_or(InvalidPlace)?;
        let place = number(no).zip(number(within)).map(|(no, within)| Self { no, within });
        // A sign or a leading zero would be a second text of one place.
        place.filter(|place| place.to_string() == text).ok_or(InvalidPlace)
    }
}

/// The outcome of an ended task.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The outcome's place in the feed.
    pub place: Place,
    /// The promise id.
    pub id: TaskId,
    /// The kind of task.
    pub kind: RowKind,
    /// The final status.
    pub status: Status,
    /// The user who submitted the task, if any.
    pub owner: Option<UserId>,
    /// When the task ended.
    pub finished: Time,
    /// The detail as in the outcome log; `None` for the result of a kind that only a newer version knows.
    pub detail: Option<String>,
    /// Whether the task had an upload in the blob store.
    pub has_blob: bool,
}

/// Outcomes that follow each other in the feed.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomePage {
    /// The outcomes, in the feed's order.
    pub outcomes: Vec<Outcome>,
    /// The place up to which the page is complete.
    pub until: Place,
    /// Whether the feed had no further numbered rows.
    pub is_end: bool,
    /// The place up to which outcomes were deleted: a reader that was before it has missed some.
    pub pruned: Place,
}

/// The part of the feed that is kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedRange {
    /// The place up to which outcomes were deleted.
    pub pruned: Place,
    /// The number that the next row gets.
    pub next: i64,
}

/// The row of a [`FeedRange`].
#[derive(QueryableByName)]
pub(super) struct RangeRow {
    #[diesel(sql_type = BigInt)]
    gone_no: i64,
    #[diesel(sql_type = BigInt)]
    gone_within: i64,
    #[diesel(sql_type = BigInt)]
    next: i64,
}

impl From<RangeRow> for FeedRange {
    fn from(row: RangeRow) -> Self {
        Self { pruned: Place { no: row.gone_no, within: row.gone_within }, next: row.next }
    }
}

/// The place up to which retention has deleted outcomes, as a row of SQL: that of the status which it has come farthest with.
pub(super) const GONE: &str = "(SELECT no AS gone_no, within AS gone_within FROM retention \
     WHERE subject IN ('succeeded', 'failed', 'cancelled') ORDER BY no DESC, within DESC LIMIT 1)";

/// The most places that are read at a time for one owner, however few of the outcomes are theirs.
const MOST_PLACES: i64 = 4096;

/// The feed of outcomes.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Numbers up to `limit` committed rows that have no number, and returns how many; `None` if another process does so now.
    async fn number_outcomes(&self, limit: i64) -> Result<Option<i64>, StoreError>;

    /// Returns the part that is kept whole.
    async fn feed_range(&self) -> Result<FeedRange, StoreError>;

    /// Returns up to `limit` numbered outcomes after a place, of one owner or of all. Each has some hundred bytes, without its result. Of a
    /// long stretch without the owner's outcomes only a part is read.
    async fn outcomes(
        &self,
        after: Place,
        owner: Option<UserId>,
        limit: i64,
    ) -> Result<OutcomePage, StoreError>;

    /// Returns those of the tasks whose outcomes come after a place, in any order. Reads all that comes after it.
    async fn those_after(&self, place: Place, ids: Vec<TaskId>) -> Result<Vec<TaskId>, StoreError>;

    /// Returns the place before the first of these outcomes. Reads all that comes before it.
    async fn before_first(&self, ids: Vec<TaskId>) -> Result<Place, StoreError>;
}

/// A place, and the ended task there; without one if it is another owner's or was deleted. A page without places is one row without any.
#[derive(QueryableByName)]
pub(super) struct PlaceRow {
    #[diesel(sql_type = BigInt)]
    gone_no: i64,
    #[diesel(sql_type = BigInt)]
    gone_within: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    no: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    within: Option<i64>,
    #[diesel(sql_type = Nullable<UuidType>)]
    id: Option<SqlUuid>,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<StatusType>)]
    status: Option<SqlStatus>,
    #[diesel(sql_type = Nullable<UuidType>)]
    owner: Option<SqlUuid>,
    #[diesel(sql_type = Nullable<TimeType>)]
    finished: Option<SqlTime>,
    #[diesel(sql_type = Nullable<JsonType>)]
    result: Option<SqlJson>,
    #[diesel(sql_type = Nullable<Text>)]
    error_code: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    has_blob: Option<bool>,
}

/// The place of an outcome, alone.
#[derive(QueryableByName)]
pub(super) struct FirstRow {
    #[diesel(sql_type = BigInt)]
    no: i64,
    #[diesel(sql_type = BigInt)]
    within: i64,
}

impl FirstRow {
    /// Returns the place before this one.
    pub(super) fn before(self) -> Place {
        Place { no: self.no, within: self.within - 1 }
    }
}

/// The id of a task.
#[derive(QueryableByName)]
pub(super) struct IdRow {
    #[diesel(sql_type = UuidType)]
    id: SqlUuid,
}

/// Returns the ids of the tasks.
pub(super) fn ids_of(rows: Vec<IdRow>) -> Vec<TaskId> {
    rows.into_iter().map(|row| row.id.into()).collect()
}

impl PlaceRow {
    fn place(&self) -> Option<Place> {
        Some(Place { no: self.no?, within: self.within? })
    }

    fn outcome(self) -> Option<Outcome> {
        let place = self.place()?;
        let (kind, status) = (RowKind::from(self.kind?), self.status?.0);
        let result = self.result.map(|json| json.0);
        let detail = detail(&kind, status, result.as_ref(), self.error_code.as_deref());
        Some(Outcome {
            place,
            id: self.id?.into(),
            kind,
            status,
            owner: self.owner.map(|owner| UserId(owner.0)),
            finished: self.finished?.into(),
            detail,
            has_blob: self.has_blob.unwrap_or_default(),
        })
    }
}

/// Returns how many places to read for a page of `limit` outcomes.
pub(super) fn places_to_read(owner: Option<UserId>, limit: i64) -> i64 {
    if owner.is_some() { limit.max(MOST_PLACES) } else { limit }
}

/// Makes a page of the places after `after`, of which `asked` were asked for.
pub(super) fn page_of(rows: Vec<PlaceRow>, after: Place, asked: i64, limit: i64) -> OutcomePage {
    let gone = rows.first().map(|row| Place { no: row.gone_no, within: row.gone_within });
    let rows: Vec<PlaceRow> = rows.into_iter().filter(|row| row.no.is_some()).collect();
    let is_end = (rows.len() as i64) < asked;
    let pruned = gone.unwrap_or_default();
    let mut page = OutcomePage { outcomes: Vec::new(), until: after.max(pruned), is_end, pruned };
    for row in rows {
        if page.outcomes.len() as i64 == limit {
            page.is_end = false;
            break;
        }
        page.until = row.place().unwrap_or(page.until);
        page.outcomes.extend(row.outcome());
    }
    page
}

/// Returns the kinds that this version knows, as a list of SQL.
pub(super) fn known_kinds() -> String {
    format!("'{}'", Kind::ALL.map(Kind::name).join("', '"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_text() {
        for place in [Place { no: 17, within: 2 }, Place::before(1), Place { no: i64::MAX, within: i64::MAX }]
        {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in
            ["", "17", "17-", "-1-2", "1--2", "+1-2", "01-2", "1-2 ", "1-2-3", "a-b", "9223372036854775808-1"]
        {
            assert_eq!(text.parse::<Place>(), Err(InvalidPlace), "{text}");
        }
    }
}
