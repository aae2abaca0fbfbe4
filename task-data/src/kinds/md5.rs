//! The MD5 of an uploaded file (RFC 1321): a checksum against accidents, not against attackers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// The most tickets in one message of the queue.
pub(super) const TOGETHER: usize = 16;

/// An MD5 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Md5Digest(pub [u8; 16]);

impl fmt::Display for Md5Digest {
    /// Writes 32 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not an MD5 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an MD5 digest of 32 hex digits")]
pub struct InvalidDigest;

impl FromStr for Md5Digest {
    type Err = InvalidDigest;

    /// Parses 32 hex digits, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_digest = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_digest.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or(InvalidDigest)
    }
}

impl Serialize for Md5Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Md5Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The uploaded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The last segment of the file name that the client sent, with control and bidi characters replaced.
    pub filename: Option<String>,
    /// Length in bytes.
    pub size: u64,
    /// The media type that the client sent.
    pub content_type: Option<String>,
    /// The digest that the client expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Md5Digest>,
}

/// The result of hashing a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The digest.
    pub md5: Md5Digest,
    /// The comparison with the expected digest, if the client sent one.
    #[serde(flatten)]
    pub comparison: Option<Comparison>,
}

/// A digest compared with the expected one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The digest that the client expects.
    pub expected: Md5Digest,
    /// Whether the digests are equal.
    pub matches: bool,
}

impl Output {
    /// Returns the result, with the comparison if the client expects a digest.
    pub fn new(md5: Md5Digest, expected: Option<Md5Digest>) -> Self {
        Self { md5, comparison: expected.map(|expected| Comparison { expected, matches: expected == md5 }) }
    }
}

/// Returns the digest for the outcome log; `-` if the result lacks it, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    result.get("md5").and_then(Value::as_str).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ABC: &str = "900150983cd24fb0d6963f7d28e17f72";

    #[test]
    fn a_digest_is_read_in_upper_or_lower_case_and_told_in_lower_case() {
        for text in [ABC.to_owned(), ABC.to_uppercase()] {
            assert_eq!(text.parse::<Md5Digest>().map(|digest| digest.to_string()), Ok(ABC.to_owned()));
        }
        for garbage in ["", &ABC[1..], &format!("{ABC}0"), &format!("+{}", &ABC[1..]), &"é".repeat(16)] {
            assert_eq!(garbage.parse::<Md5Digest>(), Err(InvalidDigest), "{garbage}");
        }
    }

    #[test]
    fn a_result_tells_of_an_expected_digest_only_where_there_is_one() {
        let (md5, other) = (Md5Digest([0x11; 16]), Md5Digest([0x22; 16]));

        assert_eq!(json!(Output::new(md5, None)), json!({"md5": md5}));
        for expected in [md5, other] {
            let output = Output::new(md5, Some(expected));

            let told = json!({"md5": md5, "expected": expected, "matches": expected == md5});
            assert_eq!(json!(output), told);
            assert_eq!(serde_json::from_value::<Output>(told).unwrap(), output);
        }
    }
}
