//! The followers of the feed: their part of the port. Each has a place that moves only forward.

use async_trait::async_trait;
use database::StoreError;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double, Text};
use shared_log::Head;

use super::feed::Place;
use crate::task::TaskId;

/// The head of an outcome log.
pub type LogHead = Head<Place, TaskId>;

/// A follower that is an outcome log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFollower {
    /// The log's name among all logs.
    pub name: String,
    /// The host name and the path of the process that wrote it last.
    pub location: String,
    /// How far it is written.
    pub head: LogHead,
}

/// How far an outcome log is behind the feed.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct LogLag {
    /// The log's name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The bytes of its file that are settled.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
    /// How long its next outcome has waited for its line, in seconds; 0 if it has all.
    #[diesel(sql_type = Double)]
    pub seconds: f64,
}

/// How long a log that is not written any more is followed, in seconds: a week.
pub(super) const FOLLOWED_SECONDS: f64 = 604_800.0;

/// The followers of the feed of outcomes.
#[async_trait]
pub trait Followers: Send + Sync {
    /// Returns a log, and the seconds since it was stored.
    async fn log(&self, name: String) -> Result<Option<(LogFollower, i64)>, StoreError>;

    /// Stores a log's head if the stored one's version still is `seen` (`None`: nothing is stored), and returns whether it was stored.
    async fn store_log(&self, seen: Option<u64>, log: LogFollower) -> Result<bool, StoreError>;

    /// Returns how far each log is behind that was written in the last week.
    async fn log_lags(&self) -> Result<Vec<LogLag>, StoreError>;

    /// Gives a log another name, with this head, and returns whether it did: not if it is gone, or if the new name is taken.
    async fn rename_log(&self, from: String, log: LogFollower) -> Result<bool, StoreError>;
}

/// A row of `followers` but for `ahead`, which each database stores in its own way; unsigned numbers keep their bits.
#[derive(QueryableByName)]
pub(super) struct LogRow {
    #[diesel(sql_type = Text)]
    location: String,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    dev: i64,
    #[diesel(sql_type = BigInt)]
    ino: i64,
    #[diesel(sql_type = BigInt)]
    committed: i64,
    #[diesel(sql_type = BigInt)]
    tail_check: i64,
    #[diesel(sql_type = BigInt)]
    no: i64,
    #[diesel(sql_type = BigInt)]
    within: i64,
    #[diesel(sql_type = BigInt)]
    seconds_ago: i64,
}

/// The columns of [`LogRow`].
pub(super) const LOG_COLUMNS: &str = "location, version, dev, ino, committed, tail_check, no, within";

/// Binds the name of a log and its [`LOG_COLUMNS`] to a statement of either database, as its first nine values. `ahead` is the tenth.
macro_rules! bind_log {
    ($statement:expr, $log:expr) => {{
        use diesel::sql_types::{BigInt, Text};
        let head = &$log.head;
        $statement
            .bind::<Text, _>($log.name.clone())
            .bind::<Text, _>($log.location.clone())
            .bind::<BigInt, _>(head.version.cast_signed())
            .bind::<BigInt, _>(head.dev.cast_signed())
            .bind::<BigInt, _>(head.ino.cast_signed())
            .bind::<BigInt, _>(head.committed.cast_signed())
            .bind::<BigInt, _>(head.tail_check)
            .bind::<BigInt, _>(head.place.no)
            .bind::<BigInt, _>(head.place.within)
    }};
}
pub(super) use bind_log;

impl LogRow {
    /// Returns the log of that name.
    pub(super) fn log(self, name: String, ahead: Vec<TaskId>) -> (LogFollower, i64) {
        let head = Head {
            version: self.version.cast_unsigned(),
            dev: self.dev.cast_unsigned(),
            ino: self.ino.cast_unsigned(),
            committed: self.committed.cast_unsigned(),
            tail_check: self.tail_check,
            place: Place { no: self.no, within: self.within },
            ahead,
        };
        (LogFollower { name, location: self.location, head }, self.seconds_ago)
    }
}
