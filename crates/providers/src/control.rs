//! The behaviour of a provider, which can be changed at run time: delays, failures, dropped connections.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest delay, or block, in seconds: longer ones might overflow a sum of times.
const LONGEST: f64 = 366.0 * 86400.0;
/// The longest delay of a reply, in seconds.
const SLOWEST: f64 = 600.0;

/// The provider's behaviour
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Control {
    /// Seconds from a request's arrival to its answer
    #[schema(example = 0.0)]
    latency: f64,
    /// Up to this many further seconds of latency, at random for each request
    #[schema(example = 0.0)]
    jitter: f64,
    /// Share of the requests that are answered with 500 and not accepted
    #[schema(example = 0.0)]
    pub failure_rate: f64,
    /// Share of the accepted requests that get no answer: the connection is closed
    #[schema(example = 0.0)]
    pub drop_rate: f64,
    /// Requests that the free provider accepts until it blocks; absent for others
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 100)]
    pub requests: Option<u32>,
    /// The length of a block in seconds; free provider only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 60.0)]
    pub block_seconds: Option<f64>,
}

/// A change of the provider's behaviour; omitted fields stay as they are
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"latency": 0.2, "failure_rate": 0.1}))]
pub struct ControlChange {
    /// Seconds from a request's arrival to its answer
    #[schema(minimum = 0, maximum = 600)]
    latency: Option<f64>,
    /// Up to this many further seconds of latency, at random for each request
    #[schema(minimum = 0, maximum = 600)]
    jitter: Option<f64>,
    /// Share of the requests that are answered with 500 and not accepted
    #[schema(minimum = 0, maximum = 1)]
    failure_rate: Option<f64>,
    /// Share of the accepted requests that get no answer: the connection is closed
    #[schema(minimum = 0, maximum = 1)]
    drop_rate: Option<f64>,
    /// Requests that the free provider accepts until it blocks; a change starts its count again
    #[schema(minimum = 1)]
    requests: Option<u32>,
    /// The length of a block in seconds; free provider only; a change starts its count again
    block_seconds: Option<f64>,
}

impl Control {
    /// Creates a provider that answers at once: to all requests, or by the rule of that many requests and then a block of that length.
    pub fn new(rule: Option<(u32, Duration)>) -> Self {
        Self {
            latency: 0.0,
            jitter: 0.0,
            failure_rate: 0.0,
            drop_rate: 0.0,
            requests: rule.map(|(requests, _)| requests),
            block_seconds: rule.map(|(_, block)| block.as_secs_f64()),
        }
    }

    /// Returns the delay of the next reply.
    pub fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.latency + self.jitter * fastrand::f64())
    }

    /// Returns the behaviour after the change.
    ///
    /// # Errors
    /// A sentence for a person, if a value is out of range.
    pub fn changed(&self, change: &ControlChange) -> Result<Self, String> {
        if change.is_of_window() && self.requests.is_none() {
            return Err("`requests` and `block_seconds`: only the free provider has them.".to_owned());
        }
        if change.requests == Some(0) {
            return Err("`requests`: expected at least 1, got 0.".to_owned());
        }
        if let Some(seconds) = change.block_seconds {
            block(seconds).map_err(|wrong| format!("`block_seconds` {wrong}."))?;
        }
        Ok(Self {
            latency: within("latency", 0.0..=SLOWEST, change.latency, self.latency)?,
            jitter: within("jitter", 0.0..=SLOWEST, change.jitter, self.jitter)?,
            failure_rate: within("failure_rate", 0.0..=1.0, change.failure_rate, self.failure_rate)?,
            drop_rate: within("drop_rate", 0.0..=1.0, change.drop_rate, self.drop_rate)?,
            requests: change.requests.or(self.requests),
            block_seconds: change.block_seconds.or(self.block_seconds),
        })
    }
}

impl ControlChange {
    /// Returns whether it changes the free provider's window.
    pub const fn is_of_window(&self) -> bool {
        self.requests.is_some() || self.block_seconds.is_some()
    }
}

/// Returns the length of a block.
///
/// # Errors
/// The expected range, for a person.
pub fn block(seconds: f64) -> Result<Duration, String> {
    if seconds > 0.0 && seconds <= LONGEST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("expected more than 0 and at most 366 days".to_owned())
    }
}

fn within(name: &str, range: RangeInclusive<f64>, told: Option<f64>, before: f64) -> Result<f64, String> {
    match told {
        None => Ok(before),
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => Err(format!("`{name}` is between {} and {}.", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> Result<ControlChange, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_stays_as_it_is() {
        let rule = Some((100, Duration::from_secs(60)));
        let control = Control::new(rule).changed(&change(r#"{"latency": 2}"#).unwrap()).unwrap();

        let control = control.changed(&change(r#"{"failure_rate": 0.5, "requests": 3}"#).unwrap()).unwrap();

        assert_eq!((control.latency, control.failure_rate), (2.0, 0.5));
        assert_eq!((control.requests, control.block_seconds), (Some(3), Some(60.0)));
        assert_eq!(control.pause(), Duration::from_secs(2));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let free = Control::new(Some((100, Duration::from_secs(60))));
        for (json, name) in [
            (r#"{"latency": -1}"#, "latency"),
            (r#"{"latency": 601}"#, "latency"),
            (r#"{"jitter": 1e300}"#, "jitter"),
            (r#"{"failure_rate": 1.1}"#, "failure_rate"),
            (r#"{"drop_rate": -0.1}"#, "drop_rate"),
            (r#"{"requests": 0}"#, "requests"),
            (r#"{"block_seconds": 0}"#, "block_seconds"),
            (r#"{"block_seconds": 1e300}"#, "block_seconds"),
        ] {
            let wrong = free.changed(&change(json).unwrap()).unwrap_err();
            assert!(wrong.contains(name), "{json}: {wrong}");
        }
        assert!(change(r#"{"latencies": 1}"#).unwrap_err().contains("latencies"));
        assert!(Control::new(None).changed(&change(r#"{"requests": 5}"#).unwrap()).is_err());
    }
}
