//! The time and number of retries.

use std::time::Duration;

use program::Backoff;

use crate::error::ClientError;

/// How long retries go on while the server accepts nothing.
const RETRY_BUDGET: Duration = Duration::from_secs(60);
/// The most that one try counts. Tries are counted, not the time on the clock: an upload of hours that breaks at its end has not used the
/// budget up, and neither has a computer that slept in between.
const LONGEST_TRY: Duration = Duration::from_secs(8);
/// The time that a try counts that ended in silence: two such tries are enough.
const SILENT_TRY: Duration = Duration::from_secs(25);

/// The tries of one request.
pub struct Series {
    tries: u32,
    spent: Duration,
    answers: u64,
}

impl Series {
    pub const fn new(answers: u64) -> Self {
        Self { tries: 0, spent: Duration::ZERO, answers }
    }

    /// Returns the number of failed tries.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Returns the pause before the next try; `None` if it should give up.
    pub fn pause(&mut self, error: &ClientError, took: Duration, answers: u64) -> Option<Duration> {
        let mut asked = Duration::ZERO;
        if let ClientError::Busy { retry_after, .. } = error {
            asked = retry_after.unwrap_or_default();
            // A full server that accepts other files will accept this one too.
            if answers != self.answers {
                *self = Self::new(answers);
            }
        }
        self.spent += match error {
            ClientError::Silent { .. } => SILENT_TRY,
            _ => took.min(LONGEST_TRY),
        };
        let left = RETRY_BUDGET.checked_sub(self.spent).filter(|left| !left.is_zero())?;
        let pause = (asked + Backoff::CLIENT.delay(self.tries)).min(left);
        self.tries += 1;
        self.spent += pause;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_end_after_a_minute() {
        let busy = ClientError::Busy { reason: String::new(), retry_after: None };
        let mut series = Series::new(0);

        let pauses: Vec<_> = std::iter::from_fn(|| series.pause(&busy, Duration::ZERO, 0)).collect();

        assert_eq!(pauses.iter().sum::<Duration>(), RETRY_BUDGET);
        assert!(pauses.len() > 8 && pauses[0] <= Duration::from_millis(200), "{pauses:?}");
    }

    #[test]
    fn a_sleep_of_the_computer_ends_no_patience() {
        let silent = ClientError::Silent { server: String::new() };
        let mut series = Series::new(0);

        // The computer slept for a night in the middle of an upload: the connection is dead when it wakes.
        assert!(series.pause(&silent, Duration::from_secs(9 * 3600), 0).is_some());
        let tries = std::iter::from_fn(|| series.pause(&silent, Duration::from_secs(90), 0)).count();
        assert!((1..4).contains(&tries), "{tries} more tries of a server that hangs");
    }

    #[test]
    fn the_server_s_word_is_waited_for_and_others_success_renews_the_patience() {
        let busy = ClientError::Busy { reason: String::new(), retry_after: Some(Duration::from_secs(25)) };
        let mut series = Series::new(0);

        let pauses = [0, 0, 1, 1].map(|answers| series.pause(&busy, Duration::ZERO, answers));

        assert!(
            pauses.iter().all(|pause| pause.is_some_and(|pause| pause >= Duration::from_secs(20))),
            "{pauses:?}"
        );
    }
}
