//! Counts attempts within a period, such as wrong passwords.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Limits, LimitsError, Moment, State};

/// The count under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The number of attempts, including this one.
    pub count: u32,
    /// The time until the count starts again.
    pub resets_in: Duration,
}

#[derive(Serialize, Deserialize)]
struct Count {
    count: u32,
    resets: Moment,
}

impl State for Count {
    fn missing() -> Self {
        Self { count: 0, resets: Moment(0) }
    }

    fn keep_for(&self) -> Duration {
        // The first attempt sets the period; later ones keep the count for longer than it matters.
        KEEP
    }
}

/// Longer than any period.
const KEEP: Duration = Duration::from_secs(3600);

impl Count {
    fn now(&mut self, now: Moment) -> Counted {
        if now >= self.resets {
            self.count = 0;
        }
        Counted { count: self.count, resets_in: self.resets.since(now) }
    }
}

impl dyn Limits + '_ {
    /// Counts one more attempt under the name. The count starts again `within` after its first attempt; at most an hour.
    ///
    /// # Errors
    /// If the limits can't be reached; the attempt may or may not be counted then.
    pub async fn count(&self, name: &str, within: Duration) -> Result<Counted, LimitsError> {
        self.step(&key(name), |now, state: &mut Count| {
            if state.now(now).count == 0 {
                state.resets = now.after(within.min(KEEP));
            }
            state.count = state.count.saturating_add(1);
            state.now(now)
        })
        .await
    }

    /// Returns the count under the name, without counting.
    ///
    /// # Errors
    /// If the limits can't be reached.
    pub async fn counted(&self, name: &str) -> Result<Counted, LimitsError> {
        self.look(&key(name), |now, mut state: Count| state.now(now)).await
    }

    /// Resets the count under the name.
    ///
    /// # Errors
    /// If the limits can't be reached.
    pub async fn forget(&self, name: &str) -> Result<(), LimitsError> {
        self.step(&key(name), |_, state: &mut Count| *state = Count::missing()).await
    }
}

fn key(name: &str) -> String {
    format!("count:{name}")
}
