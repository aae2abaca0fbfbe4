//! What the tests of several crates share: private servers, and waiting with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy excuses only functions that are marked as tests"
)]
#![deny(missing_docs)]

mod servers;

use std::time::{Duration, Instant};

pub use self::servers::{OwnServers, Servers, psql, servers};

/// What must have happened by then has not happened.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer; panics with `what` at the deadline.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for `event`; panics with `what` at the deadline.
pub async fn in_time<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {DEADLINE:?} in vain: {what}"),
    }
}
