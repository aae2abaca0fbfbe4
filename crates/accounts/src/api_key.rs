//! API keys, which authenticate a user without a log-in until they are revoked. A key is shown once, when it is created; only its SHA-256
//! is kept. No I/O here.

use std::fmt;
use std::str::FromStr;

use database::Time;
use program::is_name;
use serde::Serialize;
use sha2::{Digest, Sha256};

database::id! {
    /// The id of a key: a UUIDv7. It identifies the key, and reveals nothing of its secret.
    KeyId, v7
}

/// A name that a user gives a key: 1 to 64 visible characters. Several keys may have the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 64;
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a valid name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 64 visible characters, without a space at either end")]
pub struct InvalidKeyName;

impl FromStr for KeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, InvalidKeyName> {
        is_name(text, Self::MAX_CHARS).then(|| Self(text.to_owned())).ok_or(InvalidKeyName)
    }
}

/// The hash that is kept of a key. A key has 256 random bits and can't be guessed, so a fast hash is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a key as a request carries it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// A key as its user sees it in lists, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The id by which it is revoked.
    pub id: KeyId,
    /// The user's name for it.
    pub name: KeyName,
    /// When it was created, by the database's clock.
    pub created: Time,
}
