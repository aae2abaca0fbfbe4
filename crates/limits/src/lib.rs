//! The port to limits that all processes share: a small state under a name, and a clock of its own.
//!
//! An adapter only changes a state as one step; what the states are, and what a step does, is written once: a provider's
//! [`window`], the [`rate`] of requests to a third party, and a [`count`] of attempts.
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

/// Leave to send a request that was not used by then must be given back, and the request not be sent: the process had been stopped,
/// and others may go by what has changed since.
pub const USE_WITHIN: Duration = Duration::from_secs(1);

/// Keeps states that processes share.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Changes the state under a name, as one step among all processes: no other step comes between what `change` is
    /// given and what it gives back. It may be called again, when another was faster; what it gave last is what stands.
    ///
    /// # Errors
    /// If the state could not be read or may not have been kept, within 2 s.
    async fn change(&self, name: &str, change: &mut Change<'_>) -> Result<(), LimitsError>;

    /// Whether processes share it. One that is shared may lose a state while those that it was about live on; in one that is
    /// not, a state is missing only when its process, and the clock with it, has just begun.
    fn is_shared(&self) -> bool;
}

/// A step: from the time and the state, if there is one, to the state that is kept; `None` leaves it as it is.
pub type Change<'a> = dyn FnMut(Moment, Option<&[u8]>) -> Option<StoredState> + Send + 'a;

/// A state to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The state.
    pub bytes: Vec<u8>,
    /// How long it must be kept at least, unless it is changed again.
    pub keep_for: Duration,
}

/// A time by the limits' own clock, the same for all processes: microseconds since a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment so much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long it is from an earlier moment to this one; nothing, if that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The limits can't be asked now: what may not go uncounted must wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared limits can't be reached: {0}")]
pub struct LimitsError(pub String);

/// What is kept under a name.
trait State: Serialize + DeserializeOwned + Send {
    /// The state where none is kept: at the very first, or when what kept it has lost it.
    fn missing() -> Self;

    /// How long it means something.
    fn keep_for(&self) -> Duration;
}

impl dyn Limits + '_ {
    /// Makes a step with a state of that form.
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
        answer.ok_or_else(|| LimitsError("no step was made".to_owned()))
    }

    /// Looks at a state of that form, and leaves it as it is.
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
        answer.ok_or_else(|| LimitsError("no look was had".to_owned()))
    }
}

/// What another version of the program wrote, and this one can't read, is as good as none.
fn read<S: State>(bytes: Option<&[u8]>) -> S {
    bytes.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_else(S::missing)
}
