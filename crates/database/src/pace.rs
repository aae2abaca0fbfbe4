//! The pace of long deletions: a step takes few rows, and the next one waits for some times as long as it took, so that others have most of
//! the database's time however much there is to delete.

use std::time::{Duration, Instant};

/// The rows of a first step, and the least and most of any.
const FIRST_ROWS: i64 = 100;
const LEAST_ROWS: i64 = 10;
const MOST_ROWS: i64 = 1000;
/// How often what is kept for a time is looked through within it.
const LOOKS: u32 = 100;
const LEAST_OFTEN: Duration = Duration::from_secs(60);

/// The steps of a database.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    /// How long the statements of one should take.
    pub most: Duration,
    /// The pause after a step, in times of what it took.
    pub rest: u32,
}

/// The time that a step took, as far as it matters for the next one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    is_long: bool,
    pause: Duration,
}

impl Took {
    /// Returns what the statements of a step took that began then: without the wait for a turn before them and the commit after them, which
    /// fewer rows would not shorten.
    pub fn since(begun: Instant, steps: Steps) -> Self {
        Self::of(begun.elapsed(), steps)
    }

    fn of(time: Duration, Steps { most, rest }: Steps) -> Self {
        Self { is_long: time > most, pause: time * rest }
    }
}

/// The size of the next step.
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
    /// Returns the number of rows to take next, or of pages to give back.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// Returns how long to pause after a step.
    pub fn pause(&mut self, took: Took) -> Duration {
        let rows = if took.is_long { self.rows / 2 } else { self.rows * 2 };
        self.rows = rows.clamp(LEAST_ROWS, MOST_ROWS);
        took.pause
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
        const MOST: Duration = Duration::from_millis(10);
        const STEPS: Steps = Steps { most: MOST, rest: 4 };
        let mut pace = Pace::default();
        let took = |time| Took::of(time, STEPS);
        assert_eq!((pace.pause(took(MOST / 2)), pace.rows()), (MOST * 2, 2 * FIRST_ROWS));
        assert_eq!((pace.pause(took(MOST * 2)), pace.rows()), (MOST * 8, FIRST_ROWS));
        for _ in 0..10 {
            pace.pause(Took::default());
        }
        assert_eq!(pace.rows(), MOST_ROWS);
        for _ in 0..10 {
            pace.pause(took(MOST * 2));
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
