//! The form of a record in the file, and how its id is read back.
//!
//! The id is found in a line of any format, whichever is being written. So the format may be changed, or differ between exporters.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use access_log::record::LogLine;
use chrono::DateTime;
use clap::ValueEnum;
use client::{Log, Record};
use uuid::Uuid;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `{id} {created} {IP} {METHOD} {URI} {STATUS}`
    Line,
    /// The record's JSON, as the server gives it
    Json,
    /// Common Log Format, with the record's id in the user's place; HTTP/1.1 stands for the protocol and - for the size
    Clf,
}

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Json => "json",
            Self::Clf => "clf",
        })
    }
}

impl Format {
    /// Returns the line of the record with this JSON, without a newline; `None` if the JSON is not a record.
    pub fn line(self, json: &str) -> Option<String> {
        let Record { id, created, log } = Record::from_json(json)?;
        let Log { ip, method, uri, status_code } = log;
        Some(match self {
            Self::Line => {
                let created = created.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
                format!("{id} {created} {ip} {method} {uri} {status_code}")
            }
            Self::Json => json.to_owned(),
            // Readers of the format expect a protocol and a size, which are unknown here.
            Self::Clf => {
                let (created, uri) = (created.format(CLF_TIME), escaped(&uri));
                format!(r#"{ip} - {id} [{created}] "{method} {uri} HTTP/1.1" {status_code} -"#)
            }
        })
    }

    /// Returns the missing end of the line that begins with `half`, in whichever format.
    pub fn rest(json: &str, half: &[u8]) -> Option<Vec<u8>> {
        let lines = Self::value_variants().iter().filter_map(|format| format.line(json));
        lines.filter_map(|line| line.as_bytes().strip_prefix(half).map(<[u8]>::to_vec)).next()
    }
}

const CLF_TIME: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Escapes quotes as Apache's server does, because a quote would end the field.
fn escaped(uri: &str) -> Cow<'_, str> {
    if uri.contains(['"', '\\']) {
        Cow::Owned(uri.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        Cow::Borrowed(uri)
    }
}

/// Returns the id of the record whose line this is; `None` for a line of another program.
pub fn id_of(line: &[u8]) -> Option<Uuid> {
    Some(read(line)?.1)
}

/// Returns the format of a record's line, and the record's id; `None` for a line of another program.
pub fn read(line: &[u8]) -> Option<(Format, Uuid)> {
    if line.starts_with(b"{") {
        return Some((Format::Json, Record::from_json(str::from_utf8(line).ok()?)?.id));
    }
    let line = str::from_utf8(line).ok()?;
    let as_line = id_of_line(line).map(|id| (Format::Line, id));
    as_line.or_else(|| id_of_clf(line).map(|id| (Format::Clf, id)))
}

fn id_of_line(line: &str) -> Option<Uuid> {
    let (id, rest) = line.split_once(' ')?;
    let (created, log) = rest.split_once(' ')?;
    DateTime::parse_from_rfc3339(created).ok()?;
    log.parse::<LogLine>().ok()?;
    hyphenated(id)
}

fn id_of_clf(line: &str) -> Option<Uuid> {
    let (ip, rest) = line.split_once(" - ")?;
    let (id, rest) = rest.split_once(" [")?;
    let (created, rest) = rest.split_once("] \"")?;
    let (request, rest) = rest.rsplit_once("\" ")?;
    let status = rest.strip_suffix(" -")?;
    let is_ours = ip.parse::<IpAddr>().is_ok()
        && DateTime::parse_from_str(created, CLF_TIME).is_ok()
        && request.ends_with(" HTTP/1.1")
        && status.len() == 3
        && status.parse::<u16>().is_ok();
    is_ours.then(|| hyphenated(id))?
}

/// Reads a UUID with hyphens, the only form that is written here.
fn hyphenated(id: &str) -> Option<Uuid> {
    id.parse().ok().filter(|_| id.len() == 36)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JSON: &str = r#"{"id":"0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11","created":"2026-01-02T03:04:05.000678Z","log":{"ip":"::1","method":"GET","uri":"/a?b=\"c\\d\"","status_code":404}}"#;

    #[test]
    fn each_format_is_as_it_is_said() {
        assert_eq!(
            Format::Line.line(JSON).unwrap(),
            r#"0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11 2026-01-02T03:04:05.000678Z ::1 GET /a?b="c\d" 404"#
        );
        assert_eq!(Format::Json.line(JSON).unwrap(), JSON);
        assert_eq!(
            Format::Clf.line(JSON).unwrap(),
            r#"::1 - 0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11 [02/Jan/2026:03:04:05 +0000] "GET /a?b=\"c\\d\" HTTP/1.1" 404 -"#
        );
    }

    #[test]
    fn what_others_write_is_nobodys_record() {
        for line in [
            "",
            "{}",
            "hello",
            "0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11",
            "0b9d44c56e5e4ae19a9c0f2c0d6a4b11 2026-01-02T03:04:05.000678Z ::1 GET / 404",
            "0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11 yesterday ::1 GET / 404",
            r#"{"id":"0b9d44c5-6e5e-4ae1-9a9c-0f2c0d6a4b11"}"#,
            r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326"#,
            r#"127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a.gif HTTP/1.1" 200 -"#,
        ] {
            assert_eq!(id_of(line.as_bytes()), None, "{line}");
        }
        assert_eq!(id_of(b"\xff 2026-01-02T03:04:05.000678Z ::1 GET / 404"), None);
        assert_eq!(Format::Line.line("[]"), None);
    }

    /// Returns a strategy for any record that the server may have, as its JSON.
    fn records() -> impl Strategy<Value = String> {
        let seconds = 0..4_000_000_000_i64;
        let log = (any::<IpAddr>(), "[A-Za-z!#$%&'*+.^_`|~-]{1,32}", "[!-~é日]{1,99}", 100_u16..600);
        (any::<u128>(), seconds, 0..1_000_000_u32, log).prop_map(|(id, seconds, micros, log)| {
            let id = uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid();
            let created = DateTime::from_timestamp(seconds, micros * 1000).unwrap();
            let created = created.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let (ip, method, uri, status_code) = log;
            let log = serde_json::json!({"ip": ip, "method": method, "uri": uri, "status_code": status_code});
            serde_json::json!({"id": id, "created": created, "log": log}).to_string()
        })
    }

    proptest! {
        #[test]
        fn the_id_is_read_back_from_every_format_and_from_no_half_line(json in records(), cut in any::<prop::sample::Index>()) {
            let id = Record::from_json(&json).unwrap().id;
            for format in Format::value_variants() {
                let line = format.line(&json).unwrap().into_bytes();
                prop_assert!(!line.contains(&b'\n'));
                prop_assert_eq!(id_of(&line), Some(id));

                let half = &line[..cut.index(line.len())];
                prop_assert_eq!(id_of(half), None);
                // A few bytes may begin more than one format.
                let whole = [half, &Format::rest(&json, half).unwrap()].concat();
                prop_assert_eq!(id_of(&whole), Some(id));
            }
        }

        #[test]
        fn a_line_ends_with_what_was_sent(json in records()) {
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            let text = ["ip", "method", "uri"].map(|field| value["log"][field].as_str().unwrap()).join(" ");
            let sent = format!(" {text} {}", value["log"]["status_code"]);
            prop_assert!(Format::Line.line(&json).unwrap().ends_with(&sent));
        }

        #[test]
        fn no_line_is_too_strange(line in any::<Vec<u8>>()) {
            let _ = id_of(&line);
        }
    }
}
