//! Passwords: argon2id with 19 MiB and two passes, as OWASP's Password Storage Cheat Sheet has it.
//!
//! A hash costs a core for tens of milliseconds, and memory. So as many are made at once as there are cores, off the async
//! threads; few may wait, and who comes then is sent away. Nothing of a password is ever logged or kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// How many may wait for each core: about a second's work.
const WAITING_PER_CORE: usize = 32;

/// The longest password, in bytes.
const MAX_BYTES: usize = 1024;

/// What a password is verified against where there is no user: it costs what a user's costs, and nothing is its password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password that a user may take: at least 8 characters, at most 1024 bytes, in the form that PRECIS's `OpaqueString` makes of a text
/// (RFC 8265, 4.2), so that all keyboards type the same one.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The text can't be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Too short, or too long.
    #[error("a password has at least 8 characters, and at most 1024 bytes")]
    Length,
    /// The profile forbids a character.
    #[error("a password has characters that can be typed and seen, and spaces (RFC 8265)")]
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

/// The texts by which a kept password may be known: as the profile has it, and as it was typed, for passwords from before the profile.
fn typed(text: String) -> Vec<String> {
    match OpaqueString::enforce(text.as_str()) {
        Ok(prepared) if prepared != text.as_str() => vec![prepared.into_owned(), text],
        _ => vec![text],
    }
}

/// What is kept of a password: a PHC string, which names the algorithm, its costs and the salt.
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
    /// Too many wait already: try again.
    #[error("too many passwords are being hashed")]
    Busy,
    /// The kept hash can't be read, or there is no randomness or memory.
    #[error("a password could not be hashed")]
    Hash(#[from] HashError),
    /// The hashing itself has ended badly.
    #[error("a password's hashing was given up")]
    Lost(#[from] JoinError),
}

/// Hashes passwords and verifies them, not too many at once.
#[derive(Debug)]
pub struct Passwords {
    /// Of those who hash or wait for it.
    places: Arc<Semaphore>,
    /// Of those who hash.
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let places = cores * (1 + WAITING_PER_CORE);
        Self { places: Arc::new(Semaphore::new(places)), turns: Arc::new(Semaphore::new(cores)) }
    }
}

impl Passwords {
    /// What to keep of a password; with a salt of its own, so that equal passwords can't be told.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, Password(text): Password) -> Result<PasswordHash, PasswordError> {
        self.in_turn(move || {
            let hash: Phc = Argon2::default().hash_password(text.as_bytes())?;
            Ok(PasswordHash(hash.to_string()))
        })
        .await
    }

    /// Whether the text is the password of that hash. Without a hash it never is, and that takes as long.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(&self, text: String, hash: Option<PasswordHash>) -> Result<bool, PasswordError> {
        self.in_turn(move || {
            let kept = hash.as_ref().map_or(NOBODY, |hash| &hash.0);
            let kept = Phc::new(kept).map_err(|_| HashError::EncodingInvalid)?;
            for text in typed(text) {
                match Argon2::default().verify_password(text.as_bytes(), &kept) {
                    Ok(()) => return Ok(hash.is_some()),
                    Err(HashError::PasswordInvalid) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(false)
        })
        .await
    }

    /// # Cancel safety
    /// Who leaves while he waits frees his place; what has begun ends by itself.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        spawn_blocking(move || {
            let _held = (place, turn);
            work()
        })
        .await?
    }
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
        // As one was kept before the profile.
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
    async fn who_comes_when_too_many_wait_is_sent_away() {
        let passwords = Passwords { places: Arc::new(Semaphore::new(2)), turns: Arc::new(Semaphore::new(1)) };

        let outcomes = join_all((0..3).map(|_| passwords.verify("x".to_owned(), None))).await;

        let busy = outcomes.iter().filter(|outcome| matches!(outcome, Err(PasswordError::Busy)));
        assert_eq!(busy.count(), 1);
        assert!(!passwords.verify("x".to_owned(), None).await.unwrap());
    }
}
