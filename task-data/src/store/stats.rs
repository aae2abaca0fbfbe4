//! Statistics by minute: their part of the port, and how outcomes are counted.
//!
//! Counting follows the feed: a step reads the outcomes after a place, adds them to their minutes, and moves the place, in one transaction.
//! So each end is counted once, whatever crashes, and no statement that ends tasks does more than before. A task is counted twice over: in
//! the minute in which it was accepted, and in that in which it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use database::StoreError;
use database::schema::{stats, stats_place};
use database::types::{SqlJson, SqlTime, TimeType};
use diesel::dsl::{auto_type, update};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::feed::Place;
use super::types::SqlStatus;
use crate::task::{Status, Time};

/// The seconds of a minute.
pub const MINUTE: i64 = 60;

/// The numbers of a kind's tasks in a minute.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Tasks accepted then that have ended since.
    pub accepted: i64,
    /// Tasks that succeeded then.
    pub succeeded: i64,
    /// Tasks that failed then.
    pub failed: i64,
    /// Tasks that were cancelled then.
    pub cancelled: i64,
    /// How long those that succeeded or failed had waited: from their row to the beginning of their last attempt.
    pub waits: Histogram,
    /// How long their last attempts took.
    pub works: Histogram,
}

impl Counts {
    /// Adds those of another minute.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.waits.add(&other.waits);
        self.works.add(&other.works);
    }
}

/// The counts of a minute and kind.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteCounts {
    /// The minute's beginning.
    pub minute: Time,
    /// The kind's name.
    pub kind: String,
    /// Its counts.
    pub counts: Counts,
}

/// The number of tasks of a kind accepted in a span of time that have not ended.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Unended {
    /// The number of the span since 1970.
    #[diesel(sql_type = BigInt)]
    pub span: i64,
    /// The kind's name.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The number of tasks.
    #[diesel(sql_type = BigInt)]
    pub tasks: i64,
}

/// Statistics of tasks.
#[async_trait]
pub trait Stats: Send + Sync {
    /// Counts up to `limit` of the next outcomes of the feed, and returns how many; `None` if another process does so now.
    async fn count_outcomes(&self, limit: i64) -> Result<Option<i64>, StoreError>;

    /// Returns the counts of the minutes from `from` to before `to`, in order.
    async fn minutes(&self, from: Time, to: Time) -> Result<Vec<MinuteCounts>, StoreError>;

    /// Counts the tasks created from `from` to before `to` that have not ended, by spans of that many seconds. Reads all tasks that have not
    /// ended: call it rarely.
    async fn unended(&self, from: Time, to: Time, seconds: i64) -> Result<Vec<Unended>, StoreError>;
}

/// Durations, by buckets each of which is a fifth longer than the one before. Histograms of several minutes can be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<u16, u64>);

/// The number of buckets from one duration to its double.
const BUCKETS: f64 = 4.0;

impl Histogram {
    /// Records a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = duration.as_micros() as f64;
        // Below 1 µs is the first bucket.
        let bucket = if micros < 1.0 { 0 } else { 1 + (micros.log2() * BUCKETS) as u16 };
        *self.0.entry(bucket).or_default() += 1;
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// Returns a quantile, exact to a tenth; `None` if the histogram is empty. `part` is from 0 to 1: 0.5 for the median.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.0.values().sum();
        let rank = (all as f64 * part).ceil().max(1.0) as u64;
        let mut passed = 0;
        let reached = |(_, count): &(&u16, &u64)| {
            passed += *count;
            passed >= rank
        };
        let (bucket, _) = self.0.iter().find(reached)?;
        let micros = match bucket {
            0 => 0.0,
            // The middle of the bucket.
            bucket => ((f64::from(*bucket) - 0.5) / BUCKETS).exp2(),
        };
        Some(Duration::from_secs_f64(micros / 1e6))
    }

    fn stored(&self) -> SqlJson {
        SqlJson(json!(self))
    }

    fn read(stored: SqlJson) -> Self {
        // Only this program writes them.
        serde_json::from_value(stored.0).unwrap_or_default()
    }
}

/// An outcome to count; without a kind if its task was deleted.
#[derive(QueryableByName)]
pub(super) struct EndRow {
    #[diesel(sql_type = BigInt)]
    no: i64,
    #[diesel(sql_type = BigInt)]
    within: i64,
    #[diesel(sql_type = Nullable<Text>)]
    kind: Option<String>,
    #[diesel(sql_type = Nullable<database::types::StatusType>)]
    status: Option<SqlStatus>,
    #[diesel(sql_type = Nullable<TimeType>)]
    created: Option<SqlTime>,
    #[diesel(sql_type = Nullable<TimeType>)]
    started: Option<SqlTime>,
    #[diesel(sql_type = Nullable<TimeType>)]
    finished: Option<SqlTime>,
}

/// Counts by minute and kind.
pub(super) type ByMinute = BTreeMap<(Time, String), Counts>;

/// Counts outcomes that follow each other. Returns the place of the last one; `None` without any.
pub(super) fn counted(rows: Vec<EndRow>) -> Option<(Place, ByMinute)> {
    let last = rows.last().map(|row| Place { no: row.no, within: row.within })?;
    let mut counts = ByMinute::new();
    for row in rows {
        let EndRow { kind: Some(kind), status: Some(status), created: Some(created), .. } = &row else {
            continue;
        };
        let Some(finished) = row.finished else { continue };
        counts.entry((minute_of(*created), kind.clone())).or_default().accepted += 1;
        let ended = counts.entry((minute_of(finished), kind.clone())).or_default();
        match status.0 {
            Status::Succeeded => ended.succeeded += 1,
            Status::Failed => ended.failed += 1,
            Status::Cancelled => {
                ended.cancelled += 1;
                continue;
            }
            Status::Pending | Status::Running => continue,
        }
        if let Some(started) = row.started {
            let between = |from: SqlTime, to: SqlTime| (to.0 - from.0).to_std().unwrap_or_default();
            ended.waits.record(between(*created, started));
            ended.works.record(between(started, finished));
        }
    }
    Some((last, counts))
}

fn minute_of(SqlTime(time): SqlTime) -> Time {
    Time(time - TimeDelta::microseconds(time.timestamp_micros().rem_euclid(MINUTE * 1_000_000)))
}

/// Returns the beginning of a span of so many seconds, by its number since 1970.
pub fn span_begins(span: i64, seconds: i64) -> Option<Time> {
    DateTime::from_timestamp(span.checked_mul(seconds)?, 0).map(Time)
}

/// The row of a minute and kind.
#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = stats)]
pub(super) struct StatsRow {
    minute: SqlTime,
    kind: String,
    accepted: i64,
    succeeded: i64,
    failed: i64,
    cancelled: i64,
    waits: SqlJson,
    works: SqlJson,
}

impl StatsRow {
    pub(super) fn new((minute, kind): (Time, String), counts: &Counts) -> Self {
        let Counts { accepted, succeeded, failed, cancelled, waits, works } = counts;
        Self {
            minute: SqlTime(minute.0),
            kind,
            accepted: *accepted,
            succeeded: *succeeded,
            failed: *failed,
            cancelled: *cancelled,
            waits: waits.stored(),
            works: works.stored(),
        }
    }

    fn counts(self) -> MinuteCounts {
        let Self { minute, kind, accepted, succeeded, failed, cancelled, waits, works } = self;
        let (waits, works) = (Histogram::read(waits), Histogram::read(works));
        MinuteCounts {
            minute: minute.into(),
            kind,
            counts: Counts { accepted, succeeded, failed, cancelled, waits, works },
        }
    }
}

/// Adds the counts that the rows already have.
pub(super) fn add_rows(counts: &mut ByMinute, rows: Vec<StatsRow>) {
    for MinuteCounts { minute, kind, counts: before } in of_rows(rows) {
        if let Some(counts) = counts.get_mut(&(minute, kind)) {
            counts.add(&before);
        }
    }
}

/// Makes counts of rows.
pub(super) fn of_rows(rows: Vec<StatsRow>) -> Vec<MinuteCounts> {
    rows.into_iter().map(StatsRow::counts).collect()
}

/// Selects the place up to which outcomes are counted.
#[auto_type]
pub(super) fn place() -> _ {
    stats_place::table.select((stats_place::no, stats_place::within))
}

/// Moves the place.
#[auto_type]
pub(super) fn move_place(place: Place) -> _ {
    let (no, within): (i64, i64) = (place.no, place.within);
    update(stats_place::table).set((stats_place::no.eq(no), stats_place::within.eq(within)))
}

/// Selects the rows of these minutes.
#[auto_type]
pub(super) fn rows_of(minutes: Vec<SqlTime>) -> _ {
    stats::table.filter(stats::minute.eq_any(minutes))
}

/// Selects the rows of the minutes from `from` to before `to`, in order.
#[auto_type]
pub(super) fn rows_between(from: Time, to: Time) -> _ {
    let (from, to): (SqlTime, SqlTime) = (SqlTime(from.0), SqlTime(to.0));
    stats::table
        .filter(stats::minute.ge(from))
        .filter(stats::minute.lt(to))
        .order((stats::minute, stats::kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_tenth_of_the_duration() {
        for micros in [1, 2, 3, 999, 12_345, 60_000_000, 3_600_000_000_000_u64] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(micros));
            let told = histogram.quantile(0.5).unwrap().as_secs_f64() * 1e6;
            assert!((told / micros as f64 - 1.0).abs() < 0.1, "{micros} µs: {told}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn quantiles_of_added_histograms_are_those_of_all_durations() {
        let (mut all, mut parts) = (Histogram::default(), [Histogram::default(), Histogram::default()]);
        for millis in 1..=1000 {
            all.record(Duration::from_millis(millis));
            parts[(millis % 2) as usize].record(Duration::from_millis(millis));
        }
        let [mut first, second] = parts;
        first.add(&second);

        assert_eq!(first, all);
        for (part, millis) in [(0.5, 500.0), (0.95, 950.0), (1.0, 1000.0)] {
            let told = all.quantile(part).unwrap().as_secs_f64() * 1e3;
            assert!((told / millis - 1.0).abs() < 0.1, "{part}: {told} ms");
        }
    }

    #[test]
    fn a_histogram_is_read_as_it_was_stored() {
        let mut histogram = Histogram::default();
        for millis in [0, 1, 1, 70, 5000] {
            histogram.record(Duration::from_millis(millis));
        }

        assert_eq!(Histogram::read(histogram.stored()), histogram);
    }
}
