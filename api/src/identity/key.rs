//! API keys as they are brought and looked up.

use std::fmt;

use accounts::api_key::KeyHash;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What keys begin with, so that people, and programs that look for lost secrets, know one when they see it.
const PREFIX: &str = "coatcheck_";
/// Random bytes of a key.
const BYTES: usize = 32;

/// A key as it is brought: the prefix, and its bytes in base64url.
pub struct Secret(String);

impl Secret {
    /// Makes one of 32 random bytes.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// What begins as a key does. Whether there is such a key, the rows tell.
    pub fn read(text: &str) -> Option<Self> {
        text.starts_with(PREFIX).then(|| Self(text.to_owned()))
    }

    /// The key itself, for its user to be told once.
    pub fn told(self) -> String {
        self.0
    }

    /// What it is looked up by.
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
