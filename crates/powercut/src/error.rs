//! The error of this crate: one sentence for a person to read.

use std::fmt::{self, Display};

/// A failure of the harness itself, never of the tried program.
#[derive(Debug)]
pub struct Trouble(String);

/// A result whose error is a sentence.
pub type Outcome<T> = Result<T, Trouble>;

impl Trouble {
    /// Makes an error of a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

// Not an `Error` itself, so that each error can become one.
impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            sentence = format!("{sentence}: {error}");
            cause = error.source();
        }
        Self(sentence)
    }
}

/// Adds to an error where it happened.
pub trait Context<T> {
    /// Puts `place` before the error's own sentence.
    ///
    /// # Errors
    /// The same one, with its place.
    fn at(self, place: impl Display) -> Outcome<T>;
}

impl<T, E: Into<Trouble>> Context<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Outcome<T> {
        self.map_err(|error| Trouble(format!("{place}: {}", error.into())))
    }
}
