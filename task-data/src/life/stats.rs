//! Statistics of tasks, for operators. The sweep counts what has ended; a reader does too, so that it does not wait for the sweep.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Life;
use crate::store::{Counts, StoreError, Unended, span_begins};
use crate::task::Time;

/// The most outcomes that are counted in one transaction.
const COUNTED: i64 = 1000;
/// The minutes that are read at a time, as a day has.
const READ: TimeDelta = TimeDelta::days(1);

/// The counts of a kind in a span of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The span's beginning.
    pub at: Time,
    /// The kind's name.
    pub kind: String,
    /// Its counts. Those of tasks that have not ended are among `accepted`.
    pub counts: Counts,
}

impl Life {
    /// Counts what has ended, and not been counted yet.
    ///
    /// # Errors
    /// If the store fails: the next call continues.
    pub(super) async fn count_ended(&self) -> Result<(), StoreError> {
        while self.stack.store.count_outcomes(COUNTED).await? == Some(COUNTED) {}
        Ok(())
    }

    /// Returns the counts of the spans of `seconds` from `from` to before `to`, in order, those without tasks left out. `from`, `to` and
    /// `seconds` are whole minutes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn stats(&self, from: Time, to: Time, seconds: i64) -> Result<Vec<Point>, StoreError> {
        self.count_ended().await?;
        let mut spans: BTreeMap<(i64, String), Counts> = BTreeMap::new();
        let mut begin = from;
        while begin < to {
            let end = Time(begin.0 + READ).min(to);
            for minute in self.stack.store.minutes(begin, end).await? {
                let span = minute.minute.0.timestamp().div_euclid(seconds);
                spans.entry((span, minute.kind)).or_default().add(&minute.counts);
            }
            begin = end;
        }
        for Unended { span, kind, tasks } in self.stack.store.unended(from, to, seconds).await? {
            spans.entry((span, kind)).or_default().accepted += tasks;
        }
        let point = |((span, kind), counts)| Some(Point { at: span_begins(span, seconds)?, kind, counts });
        Ok(spans.into_iter().filter_map(point).collect())
    }
}
