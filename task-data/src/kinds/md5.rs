//! The MD5 of an uploaded file (RFC 1321): a checksum against accidents, not against attackers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The last segment of the name that was sent, control and bidi characters replaced.
    pub filename: Option<String>,
    /// Length in bytes.
    pub size: u64,
    /// The media type that was sent.
    pub content_type: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The digest in 32 lower-case hex digits.
    pub md5: String,
}

/// The digest; `-` should a result lack it, so that a line is never malformed.
pub(super) fn outcome_detail(result: &Value) -> String {
    result.get("md5").and_then(Value::as_str).unwrap_or("-").to_owned()
}
