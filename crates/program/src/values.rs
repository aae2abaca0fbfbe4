//! Parses values of settings: durations, sizes, addresses.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Parses a duration: seconds with decimals (`0.5`), or with a unit of `ms`, `s`, `m`, `h`, `d` (`5m`).
///
/// # Errors
/// One line for a person, if the text is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        "expected a number of seconds such as 10 or 0.5, or a duration such as 200ms, 10s, 5m, 2h, 1d"
            .to_owned()
    };
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// Parses a [`duration`] of more than 0.
///
/// # Errors
/// One line for a person, if the text is not such a duration.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is never deleted.
    Forever,
    /// It is deleted when it is as old as that.
    For(Duration),
}

impl Keep {
    /// Returns the age at which it is deleted; `None`: never.
    pub fn age(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(age) => Some(age),
        }
    }
}

/// Parses `forever` or a [`duration`].
///
/// # Errors
/// One line for a person, if the text is neither.
pub fn keep(text: &str) -> Result<Keep, String> {
    match text {
        "forever" => Ok(Keep::Forever),
        _ => duration(text)
            .map(Keep::For)
            .map_err(|_| "expected `forever`, or a duration such as 30d, 12h or 90 (seconds)".to_owned()),
    }
}

/// Parses a size: bytes, or with a unit of `KiB`, `MiB`, `GiB`, `TiB` or `kB`, `MB`, `GB`, `TB`.
///
/// # Errors
/// One line for a person, if the text is not a size.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || "expected a number of bytes such as 4096, or a size such as 64KiB, 10MiB, 2GiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// Parses an address to listen on: a host and a port.
///
/// # Errors
/// One line for a person, if the text is not an address, or the host does not resolve.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |reason: &str| {
        format!("expected a host and a port such as 127.0.0.1:9000, [::]:9000 or localhost:9000{reason}")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong(""))?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(wrong(", the port from 0 to 65535"));
    }
    let addresses = text.to_socket_addrs().map_err(|_| wrong(", and a host that has an address"))?;
    addresses.into_iter().next().ok_or_else(|| wrong(""))
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        for (text, milliseconds) in
            [("10", 10_000), ("0.5", 500), ("10s", 10_000), ("5m", 300_000), ("200ms", 200)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-1", "s", "1 fortnight", "1e3", "1.2.3", "NaN"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_is_kept_forever_or_so_long() {
        assert_eq!(keep("forever"), Ok(Keep::Forever));
        assert_eq!(keep("30d"), Ok(Keep::For(Duration::from_secs(30 * 86_400))));
        assert_eq!(keep("2"), Ok(Keep::For(Duration::from_secs(2))));
        for text in ["", "Forever", "never", "30 days", "-1"] {
            assert!(keep(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in
            [("0", 0), ("16384", 16384), ("10MiB", 10 << 20), ("1GiB", 1 << 30), ("2 kB", 2000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "MiB", "1.5MiB", "99999999999999999999", "18446744073709551615KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_size_is_its_number_times_its_unit(number in 0..1_u64 << 20, unit in 0..5_usize) {
            let (name, bytes) = [("", 1), ("kB", 1000), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("TiB", 1 << 40)][unit];
            prop_assert_eq!(size(&format!("{number}{name}")), Ok(number * bytes));
        }

        #[test]
        fn a_duration_is_told_to_the_millisecond(milliseconds in 0..1_u64 << 30) {
            let expected = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&format!("{milliseconds}ms")).map(|read| read.as_millis()), Ok(expected.as_millis()));
        }

        #[test]
        fn no_value_is_too_strange(text in any::<String>(), number in "[0-9.]{0,40} ?(ms|s|m|h|d|KiB|TB|x|)") {
            for text in [text, number] {
                let _ = (duration(&text), positive_duration(&text), size(&text));
            }
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(address("127.0.0.1:0").unwrap().port(), 0);
        assert_eq!(address("[::1]:80").unwrap().port(), 80);
        for text in ["", "9000", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9000"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
