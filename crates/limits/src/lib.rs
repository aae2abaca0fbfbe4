//! The port to limits that all processes share: a small state under a name, and its own clock.
//!
//! An adapter only changes a state in one atomic step; the states and their steps are written once: the [`window`] of a provider, the
//! [`rate`] of requests to a third party, and a [`count`] of attempts.
#![deny(missing_docs)]

pub mod count;
pub mod local;
pub mod rate;
pub mod redis;
pub mod window;

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The time within which a granted request must be sent. After it the grant must be given back: the process had been stopped, and other
/// processes may rely on what has changed since.
pub const USE_WITHIN: Duration = Duration::from_secs(1);

/// Keeps states that processes share.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Changes the state under a name in one atomic step among all processes: no other step takes effect between the state that `change`
    /// gets and the state that it returns. If another process was faster, `change` is called again; its last result is kept.
    ///
    /// # Errors
    /// If the state could not be read or may not have been kept, within 2 s.
    async fn change(&self, name: &str, change: &mut Change<'_>) -> Result<(), LimitsError>;

    /// Returns whether processes share the limits. Shared limits may lose a state while the processes that it was about live on; in limits
    /// of one process, a state is missing only when the process, and its clock, has just started.
    fn is_shared(&self) -> bool;
}

/// A step: from the time and the state, if there is one, to the new state; `None` leaves the state as it is.
pub type Change<'a> = dyn FnMut(Moment, Option<&[u8]>) -> Option<StoredState> + Send + 'a;

/// A state to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The state in bytes.
    pub bytes: Vec<u8>,
    /// The minimum time to keep it, unless it is changed again.
    pub keep_for: Duration,
}

/// A time by the limits' own clock, the same for all processes, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the moment that much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Returns the time from an earlier moment to this one; zero if the other is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The limits can't be reached now: requests that must be counted have to wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared limits can't be reached: {0}")]
pub struct LimitsError(pub String);

/// A state as it is stored under a name.
trait State: Serialize + DeserializeOwned + Send {
    /// Returns the state to assume if none is stored: at the very first, or when the store has lost it.
    fn missing() -> Self;

    /// Returns how long the state is of use.
    fn keep_for(&self) -> Duration;
}

impl dyn Limits + '_ {
    /// Changes a state of that type in one step.
    async fn step<S: State, A: Send>(
        &self,
        name: &str,
        mut step: impl FnMut(Moment, &mut S) -> A + Send,
    ) -> Result<A, LimitsError> {
        let mut answer = None;
        self.change(name, &mut |now, bytes| {
            let mut state: S = read(bytes);
            answer = Some(step(now, &mut state));
            let bytes = serde_json::to_vec(&state).ok()?;
            Some(StoredState { bytes, keep_for: state.keep_for() })
        })
        .await?;
        answer.ok_or_else(|| LimitsError("the store of the limits did not run the step".to_owned()))
    }

    /// Reads a state of that type, and leaves it as it is.
    async fn look<S: State, A: Send>(
        &self,
        name: &str,
        look: impl Fn(Moment, S) -> A + Send + Sync,
    ) -> Result<A, LimitsError> {
        let mut answer = None;
        self.change(name, &mut |now, bytes| {
            answer = Some(look(now, read(bytes)));
            None
        })
        .await?;
        answer.ok_or_else(|| LimitsError("the store of the limits did not run the read".to_owned()))
    }
}

/// Parses a state. One that another version wrote and this one can't parse counts as missing.
fn read<S: State>(bytes: Option<&[u8]>) -> S {
    bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_else(S::missing)
}
