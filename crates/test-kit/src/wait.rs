//! Waiting with a deadline.

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// The longest wait for any event: after it the event counts as missing.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// The pauses between looks: an eighth of the wait so far, so that a long wait leaves the processors to what it waits for.
const PAUSES: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(20);

/// The result of a look: the awaited value, or what was seen instead.
pub trait Look {
    /// The awaited value.
    type Found;
    /// The value that is shown at the deadline.
    type Seen: Debug;

    /// Returns the awaited value.
    ///
    /// # Errors
    /// The value that was seen instead.
    fn found(self) -> Result<Self::Found, Self::Seen>;
}

impl<T, S: Debug> Look for Result<T, S> {
    type Found = T;
    type Seen = S;

    fn found(self) -> Self {
        self
    }
}

impl<T> Look for Option<T> {
    type Found = T;
    type Seen = ();

    fn found(self) -> Result<T, ()> {
        self.ok_or(())
    }
}

impl Look for bool {
    type Found = ();
    type Seen = ();

    fn found(self) -> Result<(), ()> {
        self.then_some(()).found()
    }
}

/// Looks again and again until `look` finds the awaited value.
///
/// # Panics
/// At the [`DEADLINE`], with `what` and the last value seen.
pub async fn eventually<L: Look>(what: &str, mut look: impl AsyncFnMut() -> L) -> L::Found {
    let begun = Instant::now();
    loop {
        match look().await.found() {
            Ok(found) => return found,
            Err(seen) if begun.elapsed() > DEADLINE => {
                panic!("{what}: not within {DEADLINE:?}, but {seen:?}")
            }
            Err(_) => {
                let pause = (begun.elapsed() / 8).clamp(*PAUSES.start(), *PAUSES.end());
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Waits for `event`.
///
/// # Panics
/// At the [`DEADLINE`], with `what`.
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
