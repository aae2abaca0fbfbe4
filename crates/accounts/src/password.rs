//! Passwords: argon2id with 19 MiB and two passes, as OWASP's Password Storage Cheat Sheet recommends.
//!
//! A hash costs a core for tens of milliseconds, and memory. So at most as many are computed at once as there are cores, up to 4, off the
//! async threads, in memory that is reused; few callers may wait, and further ones are rejected. No part of a password is ever logged or
//! kept.

mod memory;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::password_hash::{Error as HashError, try_generate_salt};
use argon2::{Algorithm, Argon2, Params, Version};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use self::memory::Memory;

/// The most passwords hashed at a time: each needs 19 MiB of its own.
const MOST_TURNS: usize = 4;
/// The number of callers that may wait for each core: about two seconds' work.
const WAITING_PER_CORE: usize = 64;

/// The longest password, in bytes.
const MAX_BYTES: usize = 1024;

/// A hash to verify a password against where the user does not exist: it costs as much as a user's, and matches no password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password that a user may choose: at least 8 characters and at most 1024 bytes, in the form of PRECIS's `OpaqueString` (RFC 8265, 4.2),
/// so that all keyboards type the same one.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The text is not a valid password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Too short or too long.
    #[error("expected a password of at least 8 characters and at most 1024 bytes")]
    Length,
    /// The profile forbids a character.
    #[error("expected a password of visible characters and spaces (RFC 8265)")]
    Character,
}

impl FromStr for Password {
    type Err = InvalidPassword;

    fn from_str(text: &str) -> Result<Self, InvalidPassword> {
        let is_length = |text: &str, most| text.chars().count() >= 8 && text.len() <= most;
        // Decomposed characters have more bytes.
        if !is_length(text, 4 * MAX_BYTES) {
            return Err(InvalidPassword::Length);
        }
        let text = OpaqueString::enforce(text).map_err(|_| InvalidPassword::Character)?;
        is_length(&text, MAX_BYTES).then(|| Self(text.into_owned())).ok_or(InvalidPassword::Length)
    }
}

/// Returns the texts to verify: in the form of the profile and, for passwords from before the profile, as typed.
fn typed(text: String) -> Vec<String> {
    match OpaqueString::enforce(text.as_str()) {
        Ok(prepared) if prepared != text.as_str() => vec![prepared.into_owned(), text],
        _ => vec![text],
    }
}

/// The hash that is kept of a password: a PHC string, which names the algorithm, its costs and the salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// Why a password could not be hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many callers wait already: try again.
    #[error("too many passwords are being hashed; try again")]
    Busy,
    /// The kept hash can't be parsed, or the system lacks randomness or memory.
    #[error("a password could not be hashed")]
    Hash(#[from] HashError),
    /// The hashing thread has ended without a result.
    #[error("the hashing of a password ended without a result")]
    Lost(#[from] JoinError),
}

/// Hashes and verifies passwords, a few at a time.
pub struct Passwords {
    /// Permits of the callers that hash or wait.
    places: Arc<Semaphore>,
    /// Permits of the callers that hash.
    turns: Arc<Semaphore>,
    memory: Arc<Memory>,
}

impl Default for Passwords {
    fn default() -> Self {
        let turns = available_parallelism().map_or(1, usize::from).min(MOST_TURNS);
        Self::new(turns * (1 + WAITING_PER_CORE), turns)
    }
}

impl Passwords {
    fn new(places: usize, turns: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(turns)),
            memory: Arc::default(),
        }
    }

    /// Returns the hash to keep of a password. Each has its own salt, so that equal passwords have different hashes.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, Password(text): Password) -> Result<PasswordHash, PasswordError> {
        self.in_turn(move |memory| {
            let salt = try_generate_salt().map_err(|_| HashError::Crypto)?;
            let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
            memory.hash(&Argon2::default(), text.as_bytes(), &salt, &mut digest)?;
            let hash = Phc {
                algorithm: Algorithm::default().ident(),
                version: Some(Version::default().into()),
                params: ParamsString::try_from(Params::DEFAULT)?,
                salt: Some(Salt::new(&salt).map_err(|_| HashError::SaltInvalid)?),
                hash: Some(Output::new(&digest).map_err(|_| HashError::OutputSize)?),
            };
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Returns whether the text is the password of that hash. Without a hash it returns `false`, and takes as long.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(&self, text: String, hash: Option<PasswordHash>) -> Result<bool, PasswordError> {
        self.in_turn(move |memory| {
            let kept = hash.as_ref().map_or(NOBODY, |hash| &hash.0);
            for text in typed(text) {
                if verified(memory, text.as_bytes(), kept)? {
                    return Ok(hash.is_some());
                }
            }
            Ok(false)
        })
        .await
    }

    /// Runs a hashing function when its turn comes.
    ///
    /// # Cancel safety
    /// A caller that is dropped while it waits frees its place; a hash in progress completes.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Memory) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        let memory = self.memory.clone();
        spawn_blocking(move || {
            let _held = (place, turn);
            work(&memory)
        })
        .await?
    }
}

/// Returns whether the password has that hash, a PHC string.
fn verified(memory: &Memory, password: &[u8], kept: &str) -> Result<bool, HashError> {
    let kept = Phc::new(kept).map_err(|_| HashError::EncodingInvalid)?;
    let (Some(salt), Some(expected)) = (&kept.salt, &kept.hash) else {
        return Err(HashError::EncodingInvalid);
    };
    let version = kept.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let algorithm = Algorithm::try_from(kept.algorithm.as_str())?;
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&kept)?);
    let mut digest = vec![0; expected.len()];
    memory.hash(&argon2, password, salt, &mut digest)?;
    // Hashes are compared in constant time.
    Ok(Output::new(&digest).map_err(|_| HashError::OutputSize)? == *expected)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn password(text: &str) -> Password {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_has_at_least_8_characters_and_at_most_1024_bytes() {
        for text in ["12345678", "éééééééé", "        ", &"x".repeat(1024)] {
            assert!(text.parse::<Password>().is_ok(), "{text:?}");
        }
        for text in ["", "1234567", "ééééééé", &"e\u{301}".repeat(7), &"x".repeat(1025)] {
            assert_eq!(text.parse::<Password>().err(), Some(InvalidPassword::Length), "{text:?}");
        }
        for text in ["12345678\t", "1234567\0", "12345678\u{200b}", "\u{7f}2345678"] {
            assert_eq!(text.parse::<Password>().err(), Some(InvalidPassword::Character), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_password_is_verified_by_its_hash_alone() {
        let passwords = Passwords::default();

        let hash = passwords.hash(password("correct horse")).await.unwrap();
        let again = passwords.hash(password("correct horse")).await.unwrap();

        assert_ne!(hash, again);
        for (text, is_right) in [("correct horse", true), ("correct horsf", false), ("", false)] {
            assert_eq!(passwords.verify(text.to_owned(), Some(hash.clone())).await.unwrap(), is_right);
            assert!(!passwords.verify(text.to_owned(), None).await.unwrap());
        }
        assert!(passwords.verify(String::new(), Some(PasswordHash("nonsense".to_owned()))).await.is_err());
    }

    #[tokio::test]
    async fn a_password_is_the_same_on_every_keyboard_and_an_older_one_is_as_it_was() {
        let passwords = Passwords::default();
        let (composed, decomposed) = ("caf\u{e9} cr\u{e8}me", "cafe\u{301}\u{3000}cre\u{300}me");

        let hash = passwords.hash(password(decomposed)).await.unwrap();
        // A hash of a password from before the profile.
        let older = passwords.hash(Password(decomposed.to_owned())).await.unwrap();

        for text in [composed, decomposed] {
            assert!(passwords.verify(text.to_owned(), Some(hash.clone())).await.unwrap(), "{text}");
        }
        assert!(passwords.verify(decomposed.to_owned(), Some(older)).await.unwrap());
    }

    #[tokio::test]
    async fn who_is_nobody_costs_what_a_user_costs() {
        let hash = Passwords::default().hash(password("correct horse")).await.unwrap();

        let costs = |text: &str| text.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(costs(&hash.0), "$argon2id$v=19$m=19456,t=2,p=1");
        assert_eq!(costs(NOBODY), costs(&hash.0));
        assert_eq!(NOBODY.len(), hash.0.len());
    }

    #[tokio::test]
    async fn hashes_are_those_of_the_library() {
        use argon2::password_hash::{PasswordHasher, PasswordVerifier};
        let passwords = Passwords::default();
        let of_library: Phc = Argon2::default().hash_password(b"correct horse").unwrap();
        let other_costs = Argon2::from(Params::new(32 << 10, 1, 2, Some(24)).unwrap());
        let of_other_costs: Phc = other_costs.hash_password(b"correct horse").unwrap();

        let ours = passwords.hash(password("correct horse")).await.unwrap();

        Argon2::default().verify_password(b"correct horse", ours.0.as_str()).unwrap();
        for theirs in [of_library, of_other_costs].map(|hash| PasswordHash(hash.to_string())) {
            assert!(passwords.verify("correct horse".to_owned(), Some(theirs.clone())).await.unwrap());
            assert!(!passwords.verify("correct horsf".to_owned(), Some(theirs)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn there_are_no_more_buffers_than_turns() {
        let passwords = Passwords::new(40, 2);

        let outcomes = join_all((0..40).map(|_| passwords.verify("x".to_owned(), None))).await;

        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(passwords.memory.buffers(), 2);
    }

    #[tokio::test]
    async fn who_comes_when_too_many_wait_is_sent_away() {
        let passwords = Passwords::new(2, 1);

        let outcomes = join_all((0..3).map(|_| passwords.verify("x".to_owned(), None))).await;

        let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(PasswordError::Busy)));
        assert_eq!(busy.count(), 1);
        assert!(!passwords.verify("x".to_owned(), None).await.unwrap());
    }
}
