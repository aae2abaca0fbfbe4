//! Times by the database's clock.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// An instant by the database's clock, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub DateTime<Utc>);

impl fmt::Display for Time {
    /// Writes RFC 3339 in UTC, always with six decimals, so that equal times are equal text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_decimals_even_when_they_are_zero() {
        let time = Time(DateTime::from_timestamp_micros(1_700_000_000_000_000).unwrap());

        assert_eq!(time.to_string(), "2023-11-14T22:13:20.000000Z");
    }
}
