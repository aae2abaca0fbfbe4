//! Parses and bounds `Retry-After` (RFC 9110, 10.2.3) of other services, for workers and commands alike.

use std::time::{Duration, SystemTime};

use httpdate::parse_http_date;

/// The longest pause that another service is granted, whatever it asks for.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Returns the pause that a response asks for, at most [`LONGEST`]; `None` if the response has no valid `Retry-After`. `header` returns a
/// header of the response by name.
///
/// Accepts seconds, also fractions of them, and a date. A date counts from the response's own `Date`, so that two clocks are never
/// compared; without a `Date`, from this machine's clock. A date in the past gives `None`.
pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<Duration> {
    let value = header("retry-after")?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = value.parse().ok()?;
        // Rounded up: a request that comes a moment too early is rejected again.
        return Some(Duration::try_from_secs_f64(seconds.ceil()).map_or(LONGEST, |pause| pause.min(LONGEST)));
    }
    let until = parse_http_date(value).ok()?;
    let sent = header("date").and_then(|date| parse_http_date(date.trim()).ok());
    Some(until.duration_since(sent.unwrap_or_else(SystemTime::now)).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "Sat, 28 Nov 2026 10:00:00 GMT";

    fn pause(value: &str) -> Option<u64> {
        let header = |name: &str| match name {
            "retry-after" => Some(value),
            "date" => Some(SENT),
            _ => None,
        };
        read(header).map(|pause| pause.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        let endless = "9".repeat(1000);
        for (value, seconds) in [
            ("0", 0),
            ("7", 7),
            (" 7 ", 7),
            ("0.2", 1),
            ("1.5", 2),
            ("3600", 3600),
            ("3601", 3600),
            ("1800000000", 3600),
            ("99999999999999999999999999", 3600),
            (&*endless, 3600),
            (SENT, 0),
            ("Sat, 28 Nov 2026 10:00:20 GMT", 20),
            ("Saturday, 28-Nov-26 10:00:20 GMT", 20),
            ("Sat Nov 28 10:00:20 2026", 20),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
            ("Fri, 01 Jan 2083 00:00:00 GMT", 3600),
        ] {
            assert_eq!(pause(value), Some(seconds), "{value}");
        }
    }

    #[test]
    fn what_says_nothing_is_none() {
        for value in [
            "",
            " ",
            "-1",
            "-0.5",
            "+5",
            "1e9",
            "NaN",
            "inf",
            ".",
            "1.2.3",
            "soon",
            "5s",
            "2026-11-28T10:00:20Z",
        ] {
            assert_eq!(pause(value), None, "{value}");
        }
        assert_eq!(read(|_| None), None);
    }

    #[test]
    fn a_date_without_a_date_of_its_response_counts_from_now() {
        let until = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let header = |name: &str| (name == "retry-after").then_some(until.as_str());

        assert!(
            read(header)
                .is_some_and(|pause| pause > Duration::from_secs(50) && pause <= Duration::from_secs(100))
        );
    }
}
