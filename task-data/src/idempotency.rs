//! Idempotency keys: a client that doesn't know whether its upload arrived sends it again under the same key, and gets the same task.

use std::fmt;
use std::str::FromStr;

use database::UserId;
use sha2::{Digest, Sha256};

/// A client's name for one operation that must happen once: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Returns the key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 128 visible ASCII characters as an idempotency key")]
pub struct InvalidKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let is_key = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_key.then(|| Self(text.to_owned())).ok_or(InvalidKey)
    }
}

/// A key in its namespace: each owner has a separate one, and anonymous clients share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnedKey {
    /// The key as the client sent it.
    pub key: IdempotencyKey,
    /// The user who sent the key; `None` for an anonymous client.
    pub owner: Option<UserId>,
}

/// The identity of a repeatable upload: its key and the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: IdempotencyKey,
    /// SHA-256 of the content, which detects different content under the same key, whatever its size.
    pub content_sha256: [u8; 32],
}

impl Idempotency {
    /// Returns the identity of content that is in memory.
    pub fn of(key: IdempotencyKey, content: &[u8]) -> Self {
        Self { key, content_sha256: Sha256::digest(content).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_128_visible_ascii_characters() {
        for key in ["a", "!~", &"x".repeat(128), "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"quoted\""] {
            assert_eq!(key.parse::<IdempotencyKey>().map(|parsed| parsed.to_string()), Ok(key.to_owned()));
        }
        for garbage in ["", &"x".repeat(129), "a b", "a\t", "é", "\u{7f}", "a\n"] {
            assert_eq!(garbage.parse::<IdempotencyKey>(), Err(InvalidKey), "{garbage:?}");
        }
    }
}
