//! API keys, as clients send them and as they are looked up.

use std::fmt;

use accounts::api_key::KeyHash;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The prefix of all keys, by which people, and programs that look for leaked secrets, recognise one.
const PREFIX: &str = "coatcheck_";
/// The number of random bytes in a key.
const BYTES: usize = 32;

/// A key as a client sends it: the prefix, and its bytes in base64url.
pub struct Secret(String);

impl Secret {
    /// Makes a key of 32 random bytes.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Reads text that begins as a key does. Whether such a key exists, the rows tell.
    pub fn read(text: &str) -> Option<Self> {
        text.starts_with(PREFIX).then(|| Self(text.to_owned()))
    }

    /// Returns the key itself, to be shown to its user once.
    pub fn told(self) -> String {
        self.0
    }

    /// Returns the hash by which the key is looked up.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_prefix_and_has_32_random_bytes() {
        let [one, other] = [Secret::random().unwrap(), Secret::random().unwrap()];

        assert_ne!(one.0, other.0);
        assert_eq!(URL_SAFE_NO_PAD.decode(&one.0[PREFIX.len()..]).unwrap().len(), BYTES);
        assert!(Secret::read(&one.0).is_some() && Secret::read("eyJ0eXAiOiJKV1QifQ.e30.c2ln").is_none());
        assert!(!format!("{one:?}").contains(&one.0));
    }
}
