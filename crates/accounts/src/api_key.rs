//! API keys: what stands for a user without a log-in, until he revokes it. The key itself is told once, when it is made; what is kept
//! is its SHA-256. No I/O here.

use std::fmt;
use std::str::FromStr;

use database::Time;
use program::is_name;
use serde::Serialize;
use sha2::{Digest, Sha256};

database::id! {
    /// A key's id: a UUIDv7. It tells which key is meant, and nothing of the key.
    KeyId, v7
}

/// What its user calls a key: 1 to 64 characters that can be seen. Several may have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyName(String);

impl KeyName {
    /// The longest, in characters.
    pub const MAX_CHARS: usize = 64;
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text can't be a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's name has 1 to 64 visible characters, and no space at its ends")]
pub struct InvalidKeyName;

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        is_name(text, Self::MAX_CHARS).then(|| Self(text.to_owned())).ok_or(InvalidKeyName)
    }
}

/// What is kept of a key. It has 256 random bits, so nobody finds it by trying, and a fast hash is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Of the key as it is brought.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// A key as its user sees it once it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is revoked by.
    pub id: KeyId,
    /// What its user calls it.
    pub name: KeyName,
    /// When it was made, by the database's clock.
    pub created: Time,
}
