//! Times that clients give: RFC 3339, or a date alone, which means that whole day in UTC.

use chrono::{DateTime, TimeDelta, Utc};
use task_data::task::Time;

use crate::http::params::wrong;
use crate::http::problem::Problem;

/// An inclusive bound of a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    From,
    To,
}

impl Bound {
    /// Reads a query's value as this bound, if there is a value.
    ///
    /// # Errors
    /// 400 if it is not a time.
    pub fn read(self, name: &str, text: Option<&str>) -> Result<Option<Time>, Problem> {
        let time = text.map(|text| self.time(text).ok_or(text)).transpose();
        time.map_err(|_| {
            wrong(name, "it is a time such as 2026-01-02T03:04:05.678901Z, or a date such as 2026-01-02")
        })
    }

    fn time(self, text: &str) -> Option<Time> {
        if text.len() == "2026-01-02".len() {
            let midnight = instant(&format!("{text}T00:00:00Z"))?;
            return match self {
                Self::From => Some(Time(midnight)),
                Self::To => Some(Time(midnight + TimeDelta::days(1) - TimeDelta::microseconds(1))),
            };
        }
        // The + of an offset arrives as a space unless the client escaped it.
        let time = instant(text).or_else(|| instant(&with_plus(text)))?;
        let microseconds = DateTime::from_timestamp_micros(time.timestamp_micros())?;
        // Judged by the nanoseconds: chrono has a leap second as the second before it, with more than a second of nanoseconds.
        let is_exact = time.timestamp_subsec_nanos().is_multiple_of(1000);
        // Records have microseconds: a bound between two of them moves to the next one inside the window.
        match self {
            Self::From if !is_exact => Some(Time(microseconds + TimeDelta::microseconds(1))),
            Self::From | Self::To => Some(Time(microseconds)),
        }
    }
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc))
}

fn with_plus(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) => format!("{time}+{offset}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bound: Bound, text: &str) -> Option<String> {
        bound.time(text).map(|time| time.to_string())
    }

    #[test]
    fn a_time_is_rfc_3339_to_the_microsecond() {
        for (text, from, to) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02t03:04:05.678901z", "2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678901Z"),
            ("2026-01-02T03:04:05.1234561Z", "2026-01-02T03:04:05.123457Z", "2026-01-02T03:04:05.123456Z"),
            ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.000000Z", "2026-01-02T01:04:05.000000Z"),
            ("2026-01-02T03:04:05 02:00", "2026-01-02T01:04:05.000000Z", "2026-01-02T01:04:05.000000Z"),
            ("1969-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00.000000Z", "1969-12-31T23:59:59.999999Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z", "2017-01-01T00:00:00.000000Z"),
            ("2016-12-31T23:59:60.1234561Z", "2017-01-01T00:00:00.123457Z", "2017-01-01T00:00:00.123456Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z"),
            ("9999-12-31", "9999-12-31T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"),
            ("2026-01-02", "2026-01-02T00:00:00.000000Z", "2026-01-02T23:59:59.999999Z"),
        ] {
            assert_eq!(read(Bound::From, text).as_deref(), Some(from), "{text}");
            assert_eq!(read(Bound::To, text).as_deref(), Some(to), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for text in [
            "",
            "now",
            "2026",
            "2026-13-01",
            "2026-02-30",
            "2026-1-2",
            "+12026-01-02",
            "2026-01-02T03:04",
            "1767323045",
            "2026-01-02T03:04:05",
            "2026-01-02T25:00:00Z",
            "2026-01-02T03:04:05Z'",
            "20260102",
            "+2026-1-02",
            " 2026-01-02",
        ] {
            assert_eq!(read(Bound::From, text), None, "{text}");
        }
    }
}
