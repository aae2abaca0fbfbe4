//! A record of the access log: one request that another server has served, as a line reports it.
//!
//! A [`LogLine`] is created only by parsing, so it can always be written as one line.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use database::Time;
use program::is_bidi_control;
use serde::{Serialize, Serializer};

/// The longest method in bytes.
const MAX_METHOD: usize = 32;
/// The longest URI in bytes.
const MAX_URI: usize = 8 << 10;

database::id! {
    /// The id of a record: a UUIDv4.
    RecordId, v4
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The record's id, which is also the cursor of readers.
    pub id: RecordId,
    /// When it was committed. Never decreases from one record to the next.
    pub created: Time,
    /// The line that was reported.
    pub log: LogLine,
}

/// A line `{IP} {METHOD} {URI} {STATUS}`, with single spaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub(crate) ip: String,
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) status_code: StatusCode,
}

impl LogLine {
    /// Takes it apart: the IP address, the method, the URI and the status.
    pub fn into_parts(self) -> (String, String, String, StatusCode) {
        (self.ip, self.method, self.uri, self.status_code)
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, method, uri, status_code } = self;
        write!(f, "{ip} {method} {uri} {status_code}")
    }
}

/// An HTTP status: 100 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusCode(pub(crate) i16);

impl StatusCode {
    /// The lowest status.
    pub const MIN: Self = Self(100);
    /// The highest status.
    pub const MAX: Self = Self(599);

    /// Returns the statuses of a class, by its digit: 1 to 5.
    pub fn of_class(class: u8) -> Option<RangeInclusive<Self>> {
        let first = 100 * i16::from(class);
        (1..=5).contains(&class).then_some(Self(first)..=Self(first + 99))
    }

    /// Returns the class: the first digit.
    pub const fn class(self) -> i16 {
        self.0 / 100
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for StatusCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(self.0)
    }
}

/// Why a line is malformed, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at character {character}: {reason}")]
pub struct InvalidLog {
    /// The position of the error, counted from 1.
    pub character: usize,
    /// The expected text, for people.
    pub reason: &'static str,
}

impl FromStr for LogLine {
    type Err = InvalidLog;

    /// Parses a line; every part is kept as it was given.
    fn from_str(line: &str) -> Result<Self, InvalidLog> {
        let mut parts = line.splitn(4, ' ');
        let mut part = || parts.next();
        let (ip, method, uri, status) = (part(), part(), part(), part());
        let missing = |what| InvalidLog { character: line.chars().count() + 1, reason: what };
        let wrong = |part: &str, at: usize, reason| {
            let byte = part.as_ptr() as usize - line.as_ptr() as usize + at;
            InvalidLog { character: line[..byte].chars().count() + 1, reason }
        };

        let ip = ip.unwrap_or_default();
        check_ip(ip).map_err(|reason| wrong(ip, 0, reason))?;
        let method = method.ok_or(missing("expected a method after the IP address"))?;
        check_method(method).map_err(|reason| wrong(method, 0, reason))?;
        let uri = uri.ok_or(missing("expected a URI after the method"))?;
        check_uri(uri).map_err(|(at, reason)| wrong(uri, at, reason))?;
        let status = status.ok_or(missing("expected a status after the URI"))?;
        let status_code = status.parse().map_err(|InvalidStatusCode| {
            wrong(status, 0, "expected a status at the end of the line: three digits from 100 to 599")
        })?;
        Ok(Self { ip: ip.to_owned(), method: method.to_owned(), uri: uri.to_owned(), status_code })
    }
}

/// Checks that the text is an IPv4 or IPv6 address, without a zone.
///
/// # Errors
/// The expected text, for people.
pub fn check_ip(ip: &str) -> Result<(), &'static str> {
    let is_one = ip.parse::<Ipv4Addr>().is_ok() || ip.parse::<Ipv6Addr>().is_ok();
    is_one.then_some(()).ok_or("expected an IPv4 or IPv6 address, without a zone")
}

/// Checks that the text is a token of RFC 9110, 5.6.2, and not too long.
///
/// # Errors
/// The expected text, for people.
pub fn check_method(method: &str) -> Result<(), &'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_one = (1..=MAX_METHOD).contains(&method.len()) && method.bytes().all(is_token);
    is_one.then_some(()).ok_or("expected a method: 1 to 32 letters, digits or !#$%&'*+-.^_`|~")
}

/// Checks that the text is a URI without spaces and line breaks.
///
/// # Errors
/// The position of the error in bytes, and the expected text, for people.
pub fn check_uri(uri: &str) -> Result<(), (usize, &'static str)> {
    match uri.len() {
        0 => return Err((0, "expected a URI, got an empty text")),
        length if length > MAX_URI => return Err((0, "expected a URI of at most 8192 bytes")),
        _ => {}
    }
    match uri.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace() || is_bidi_control(*c)) {
        Some((at, _)) => Err((at, "expected a URI without spaces and control characters")),
        None => Ok(()),
    }
}

/// The text is not an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a status from 100 to 599")]
pub struct InvalidStatusCode;

impl FromStr for StatusCode {
    type Err = InvalidStatusCode;

    fn from_str(text: &str) -> Result<Self, InvalidStatusCode> {
        let is_plain = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_plain.then(|| text.parse().ok()).flatten();
        number.filter(|number| (100..=599).contains(number)).map(Self).ok_or(InvalidStatusCode)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrong_at(line: &str) -> Option<usize> {
        line.parse::<LogLine>().err().map(|error| error.character)
    }

    #[test]
    fn what_is_well_made_is_kept_as_it_was_given() {
        let long_uri = format!("1.2.3.4 GET {} 200", "x".repeat(8192));
        let long_method = format!("1.2.3.4 {} / 200", "M".repeat(32));
        for line in [
            "127.0.0.1 GET /a?b=c#d 200",
            "::1 get * 100",
            "FE80::1 M-SEARCH /%zz 599",
            "::ffff:1.2.3.4 FOO https://example.org:8080/äöü/日本 404",
            &long_uri,
            &long_method,
        ] {
            assert_eq!(line.parse::<LogLine>().map(|line| line.to_string()).as_deref(), Ok(line));
        }
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is() {
        let long_uri = format!("1.1.1.1 GET {} 200", "x".repeat(8193));
        let long_method = format!("1.1.1.1 {} / 200", "M".repeat(33));
        for (line, character) in [
            ("", 1),
            ("999.1.1.1 GET / 200", 1),
            ("01.02.03.04 GET / 200", 1),
            ("fe80::1%eth0 GET / 200", 1),
            ("[::1] GET / 200", 1),
            (" 1.1.1.1 GET / 200", 1),
            ("1.1.1.1", 8),
            ("1.1.1.1  / 200", 9),
            ("1.1.1.1 G(T / 200", 9),
            ("1.1.1.1 GÈT / 200", 9),
            (&long_method, 9),
            ("1.1.1.1 GET", 12),
            ("1.1.1.1 GET  200", 13),
            ("1.1.1.1 GET /ä\u{1b}[31m 200", 15),
            ("1.1.1.1 GET /\n1.1.1.1 GET /fake 200", 14),
            ("1.1.1.1 GET /\r 200", 14),
            ("1.1.1.1 GET /\t 200", 14),
            ("1.1.1.1 GET /\u{0} 200", 14),
            ("1.1.1.1 GET /\u{7f} 200", 14),
            ("1.1.1.1 GET /\u{85} 200", 14),
            ("1.1.1.1 GET /\u{a0} 200", 14),
            ("1.1.1.1 GET /\u{2028} 200", 14),
            ("1.1.1.1 GET /\u{202e} 200", 14),
            (&long_uri, 13),
            ("1.1.1.1 GET /", 14),
            ("1.1.1.1 GET /a b 200", 16),
            ("1.1.1.1 GET / 99", 15),
            ("1.1.1.1 GET / 600", 15),
            ("1.1.1.1 GET / 2OO", 15),
            ("1.1.1.1 GET / +20", 15),
            ("1.1.1.1 GET / 0200", 15),
            ("1.1.1.1 GET / 200 ", 15),
            ("1.1.1.1 GET / 200\n", 15),
            ("1.1.1.1 GET / 200 1.1.1.1 GET / 200", 15),
        ] {
            assert_eq!(wrong_at(line), Some(character), "{line:?}");
        }
    }

    /// Generates lines of every form, well-formed and almost so.
    fn lines() -> impl Strategy<Value = String> {
        let ip = prop_oneof![
            any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
            "[0-9a-f:.%]{0,12}",
        ];
        (ip, "[!-~]{1,34}", "[ -~äß\u{2028}\u{1b}日]{1,20}", 90_u16..610, " ?")
            .prop_map(|(ip, method, uri, status, end)| format!("{ip} {method} {uri} {status}{end}"))
    }

    proptest! {
        #[test]
        fn a_line_that_is_read_is_told_as_it_was(line in lines()) {
            if let Ok(log) = line.parse::<LogLine>() {
                prop_assert_eq!(log.to_string(), line);
            }
        }

        #[test]
        fn a_well_made_line_is_read(ip in any::<std::net::IpAddr>(), method in "[A-Za-z!~_-]{1,32}", uri in "[!-~é日]{1,99}", status in 100_u16..600) {
            let line = format!("{ip} {method} {uri} {status}");
            prop_assert_eq!(line.parse::<LogLine>().map(|log| log.to_string()), Ok(line));
        }

        #[test]
        fn an_id_is_read_as_it_is_told_and_in_no_other_form(id: u128, strange in "[0-9a-fA-F{}: -]{30,40}") {
            let id = RecordId(uuid::Uuid::from_u128(id));
            let told = id.to_string();
            prop_assert_eq!(told.to_uppercase().parse(), Ok(id));
            for other in [id.0.simple().to_string(), id.0.braced().to_string(), id.0.urn().to_string(), format!("{told} ")] {
                prop_assert!(other.parse::<RecordId>().is_err());
            }
            if let Ok(read) = strange.parse::<RecordId>() {
                prop_assert_eq!(read.to_string(), strange.to_lowercase());
            }
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            if let Ok(log) = text.parse::<LogLine>() {
                prop_assert_eq!(log.to_string().lines().count(), 1);
            }
        }
    }
}
