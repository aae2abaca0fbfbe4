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
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// How many may wait for each core: about a second's work.
const WAITING_PER_CORE: usize = 32;

/// What a password is verified against where there is no user: it costs what a user's costs, and nothing is its password.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password that a user may take: at least 8 characters, at most 1024 bytes.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The text is too short for a password, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least 8 characters, and at most 1024 bytes")]
pub struct InvalidPassword;

impl FromStr for Password {
    type Err = InvalidPassword;

    fn from_str(text: &str) -> Result<Self, InvalidPassword> {
        let is_password = text.chars().count() >= 8 && text.len() <= 1024;
        is_password.then(|| Self(text.to_owned())).ok_or(InvalidPassword)
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
            match Argon2::default().verify_password(text.as_bytes(), &kept) {
                Ok(()) => Ok(hash.is_some()),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(error) => Err(error.into()),
            }
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
        for text in ["", "1234567", "ééééééé", &"x".repeat(1025)] {
            assert!(text.parse::<Password>().is_err(), "{text:?}");
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
