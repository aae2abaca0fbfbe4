//! The requests that a provider has received and its decisions, without HTTP.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::control::{Control, ControlChange};
use crate::provider::Provider;
use crate::window::{Blocked, Window};

/// The number of arrivals that are kept; the oldest are dropped first.
const KEPT: usize = 1_000_000;

/// A well-formed request
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Arrival {
    /// Its time of arrival, in microseconds since the Unix epoch; never decreases
    #[schema(example = 1_767_225_600_000_000_u64)]
    at: u64,
    /// Its `Idempotency-Key`
    #[schema(example = "019dc0de-0000-7000-8000-000000000000")]
    key: Option<String>,
    /// The status of its answer, or the one it would have had if its connection was dropped
    #[schema(example = 200)]
    status: u16,
}

/// Counts since the start or the last reset
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Counts {
    /// Requests that were accepted
    #[schema(example = 3)]
    accepted: u64,
    /// Requests that arrived while the provider was blocked
    #[schema(example = 0)]
    refused: u64,
    /// Requests that the provider was told to fail
    #[schema(example = 0)]
    failed: u64,
    /// Requests with the same `Idempotency-Key` as an accepted one of the last million requests
    #[schema(example = 0)]
    repeated: u64,
}

/// The provider's counts
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    provider: Provider,
    #[serde(flatten)]
    counts: Counts,
    /// Requests that it would accept now; free provider only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 97)]
    remaining: Option<u32>,
    /// Seconds for which it is still blocked, 0 when it is open; free provider only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.0)]
    blocked_for: Option<f64>,
    /// The most requests accepted between two ends of blocks; free provider only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    most_in_window: Option<u32>,
}

/// A decision on a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted, with its number, counted from 1.
    Accepted(u64),
    /// Refused: it arrived during a block, which lasts that much longer.
    Refused(Duration),
    /// Failed, as the provider was told.
    Failed,
}

/// The state of a provider.
#[derive(Debug)]
pub struct State {
    provider: Provider,
    control: Control,
    window: Option<Window>,
    counts: Counts,
    arrivals: VecDeque<Arrival>,
    /// The keys of the kept arrivals that were accepted.
    keys: HashSet<String>,
}

impl State {
    pub fn new(provider: Provider, control: Control) -> Self {
        Self {
            provider,
            window: window(&control),
            control,
            counts: Counts::default(),
            arrivals: VecDeque::new(),
            keys: HashSet::new(),
        }
    }

    /// Decides on a request that arrives now; `at` is its time of day for the list of arrivals.
    pub fn take(&mut self, now: Instant, at: u64, key: Option<String>, fails: bool) -> Verdict {
        let verdict = if fails {
            self.counts.failed += 1;
            Verdict::Failed
        } else if let Some(Err(Blocked(wait))) = self.window.as_mut().map(|window| window.take(now)) {
            self.counts.refused += 1;
            Verdict::Refused(wait)
        } else {
            self.counts.accepted += 1;
            Verdict::Accepted(self.counts.accepted)
        };
        if key.as_ref().is_some_and(|key| self.keys.contains(key)) {
            self.counts.repeated += 1;
        }
        let status = match verdict {
            Verdict::Accepted(_) => {
                self.keys.extend(key.clone());
                self.provider.accepted().as_u16()
            }
            Verdict::Refused(_) => 429,
            Verdict::Failed => 500,
        };
        self.keep(Arrival { at, key, status });
        verdict
    }

    fn keep(&mut self, arrival: Arrival) {
        if self.arrivals.len() == KEPT
            && let Some(Arrival { key: Some(oldest), .. }) = self.arrivals.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.arrivals.push_back(arrival);
    }

    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Changes the behaviour from now on. A change of the window begins a new one.
    ///
    /// # Errors
    /// A sentence for a person, if a value is out of range; then nothing has changed.
    pub fn obey(&mut self, change: &ControlChange) -> Result<(), String> {
        self.control = self.control.changed(change)?;
        if change.is_of_window() {
            self.window = window(&self.control);
        }
        Ok(())
    }

    /// Forgets all requests, but not the behaviour.
    pub fn reset(&mut self) {
        *self = Self::new(self.provider, self.control.clone());
    }

    pub fn stats(&self, now: Instant) -> Stats {
        let window = self.window.as_ref();
        Stats {
            provider: self.provider,
            counts: self.counts.clone(),
            remaining: window.map(|window| window.remaining(now)),
            blocked_for: window.map(|window| window.blocked_for(now).as_secs_f64()),
            most_in_window: window.map(Window::most),
        }
    }

    /// Returns the last million well-formed requests, in the order of arrival.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.iter().cloned().collect()
    }
}

fn window(control: &Control) -> Option<Window> {
    let (requests, seconds) = control.requests.zip(control.block_seconds)?;
    Some(Window::new(requests, Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Duration = Duration::from_secs(60);

    fn free(requests: u32) -> State {
        State::new(Provider::Free, Control::new(Some((requests, BLOCK))))
    }

    #[test]
    fn a_failed_request_takes_nothing_of_the_window() {
        let (mut state, now) = (free(1), Instant::now());

        assert_eq!(state.take(now, 1, None, true), Verdict::Failed);
        assert_eq!(state.take(now, 2, None, false), Verdict::Accepted(1));
        assert_eq!(state.take(now, 3, None, false), Verdict::Refused(BLOCK));

        let Counts { accepted, refused, failed, .. } = state.counts;
        assert_eq!((accepted, refused, failed), (1, 1, 1));
        let seen: Vec<_> = state.arrivals().iter().map(|arrival| (arrival.at, arrival.status)).collect();
        assert_eq!(seen, [(1, 500), (2, 200), (3, 429)]);
    }

    #[test]
    fn a_key_is_repeated_once_a_request_with_it_was_accepted() {
        let (mut state, now) = (free(2), Instant::now());
        let key = || Some("a".to_owned());

        state.take(now, 1, key(), true);
        state.take(now, 2, key(), false);
        assert_eq!(state.counts.repeated, 0);

        state.take(now, 3, key(), false);
        state.take(now, 4, key(), false);
        state.take(now, 5, Some("b".to_owned()), false);
        state.take(now, 6, None, false);
        assert_eq!(state.counts.repeated, 2);
    }

    #[test]
    fn a_reset_forgets_what_came_and_keeps_what_was_told() {
        let (mut state, now) = (free(100), Instant::now());
        state.obey(&serde_json::from_str(r#"{"requests": 1, "latency": 0.5}"#).unwrap()).unwrap();
        state.take(now, 1, None, false);
        assert_eq!(state.take(now, 2, None, false), Verdict::Refused(BLOCK));

        state.reset();

        assert_eq!((state.stats(now).remaining, state.arrivals().len()), (Some(1), 0));
        assert_eq!(state.control.pause(), Duration::from_millis(500));
        assert_eq!(state.take(now, 3, None, false), Verdict::Accepted(1));
    }

    #[test]
    fn only_the_free_provider_has_a_window() {
        let mut paid = State::new(Provider::Paid, Control::new(None));

        let now = Instant::now();
        assert!((1..=1000).all(|number| paid.take(now, number, None, false) == Verdict::Accepted(number)));

        let stats = serde_json::to_value(paid.stats(now)).unwrap();
        assert_eq!((&stats["accepted"], stats.get("remaining")), (&1000.into(), None));
    }
}
