//! The pace of long deletions: a step takes few rows, and the next one waits for some times as long as it took, so that others have most of
//! the database's time however much there is to delete.

use std::time::Duration;

/// The rows of a first step, and the least and most of any.
const FIRST_ROWS: i64 = 100;
const LEAST_ROWS: i64 = 10;
const MOST_ROWS: i64 = 1000;
/// How long a step should take.
const STEP: Duration = Duration::from_millis(10);
/// The pause after a step, in times of what it took.
const REST: u32 = 4;
/// How often what is kept for a time is looked through within it.
const LOOKS: u32 = 100;
const LEAST_OFTEN: Duration = Duration::from_secs(60);

/// The size of the next step, and the pause before it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    rows: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: FIRST_ROWS }
    }
}

impl Pace {
    /// Returns the number of rows to take next.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// Returns how long to pause after a step that took so long.
    pub fn pause(&mut self, took: Duration) -> Duration {
        let rows = if took < STEP { self.rows * 2 } else { self.rows / 2 };
        self.rows = rows.clamp(LEAST_ROWS, MOST_ROWS);
        took * REST
    }
}

/// Returns how often to look for what is to be deleted at that age: at least each minute, but not more often than `most_often`.
pub fn look_every(age: Duration, most_often: Duration) -> Duration {
    (age / LOOKS).clamp(most_often.min(LEAST_OFTEN), LEAST_OFTEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_long_is_followed_by_a_smaller_one() {
        let mut pace = Pace::default();
        assert_eq!((pace.pause(STEP / 2), pace.rows()), (STEP * 2, 2 * FIRST_ROWS));
        assert_eq!((pace.pause(STEP * 2), pace.rows()), (STEP * 8, FIRST_ROWS));
        for _ in 0..10 {
            pace.pause(Duration::ZERO);
        }
        assert_eq!(pace.rows(), MOST_ROWS);
        for _ in 0..10 {
            pace.pause(STEP);
        }
        assert_eq!(pace.rows(), LEAST_ROWS);
    }

    #[test]
    fn what_is_kept_for_long_is_looked_for_each_minute() {
        let second = Duration::from_secs(1);
        assert_eq!(look_every(30 * 86_400 * second, second), LEAST_OFTEN);
        assert_eq!(look_every(second, second / 10), second / 10);
        assert_eq!(look_every(second, 3600 * second), LEAST_OFTEN);
    }
}
