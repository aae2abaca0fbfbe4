//! Delays between retries: exponential, capped, jittered.

use std::time::Duration;

/// A delay that doubles with each failure, from `first` up to `cap`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// Between the attempts of a task that met a transient error: 1 s, 2 s, 4 s … 5 min.
    pub const TASK: Self = Self { first: Duration::from_secs(1), cap: Duration::from_secs(300) };
    /// While a server is away: 200 ms … 10 s.
    pub const SERVER: Self = Self { first: Duration::from_millis(200), cap: Duration::from_secs(10) };
    /// Between the retries of a client, while the server accepts no requests: 200 ms … 8 s.
    pub const CLIENT: Self = Self { first: Duration::from_millis(200), cap: Duration::from_secs(8) };
    /// While another process holds the outcome log: 5 ms … 200 ms.
    pub const LOG: Self = Self { first: Duration::from_millis(5), cap: Duration::from_millis(200) };

    /// Returns the delay after `failures` failures in a row, of which the first is number 0: between half of and the full exponential step,
    /// so that clients that failed together don't return together.
    pub fn delay(self, failures: u32) -> Duration {
        let step = self.first.saturating_mul(2_u32.saturating_pow(failures)).min(self.cap);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_up_to_its_cap_and_is_never_nothing() {
        for failures in [0, 1, 5, 31, 32, u32::MAX] {
            let delay = Backoff::TASK.delay(failures);

            assert!(
                delay >= Duration::from_millis(500) && delay <= Duration::from_secs(300),
                "{failures}: {delay:?}"
            );
        }
        assert!(Backoff::TASK.delay(20) >= Duration::from_secs(150));
    }
}
