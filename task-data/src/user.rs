//! Who users are: their ids, their names, their rights. No I/O here; a password is [`crate::password`]'s business.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::{NoContext, Timestamp, Uuid};

use crate::task::{InvalidId, hyphenated};
use crate::text::is_name;

/// A user's id: a UUIDv7 (RFC 9562) that can't be guessed, as a [`TaskId`](crate::task::TaskId) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct UserId(pub Uuid);

impl UserId {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v7(Timestamp::now(NoContext)))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for UserId {
    type Err = InvalidId;

    /// Takes the hyphenated form alone, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hyphenated(text).map(Self)
    }
}

/// What a user is called: 1 to 64 characters that can be seen. Two names are the same if their texts are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Username(String);

impl Username {
    /// The longest, in characters.
    pub const MAX_CHARS: usize = 64;

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text can't be a user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a username has 1 to 64 visible characters, and no space at its ends")]
pub struct InvalidUsername;

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        is_name(text, Self::MAX_CHARS).then(|| Self(text.to_owned())).ok_or(InvalidUsername)
    }
}

/// What a user may do beyond what every user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Have messages sent to the provider that costs money.
    Paid,
    /// Grant rights and revoke them.
    Admin,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 2] = [Self::Paid, Self::Admin];

    /// The word for it in the database, the API and tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No right has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a right is one of paid, admin")]
pub struct InvalidRight;

impl FromStr for Right {
    type Err = InvalidRight;

    fn from_str(name: &str) -> Result<Self, InvalidRight> {
        Self::ALL.into_iter().find(|right| right.name() == name).ok_or(InvalidRight)
    }
}

/// A user as the database has him, without his password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// What he logs in with.
    pub username: Username,
    /// What he may do. A right of a newer version, which this one doesn't know, is left out: it grants nothing here.
    pub rights: BTreeSet<Right>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_1_to_64_characters_that_can_be_seen() {
        for name in ["a", "Ada Lovelace", "ada@example.com", "Ünïcødé", "名前", "🧥", &"é".repeat(64)]
        {
            assert_eq!(name.parse::<Username>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for garbage in [
            "",
            " ",
            " a",
            "a ",
            "a\u{a0}",
            "a\tb",
            "a\nb",
            "a\0b",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{3000}b",
            "a\u{202e}b",
            "a\u{200b}b",
            "\u{feff}a",
            "a\u{ad}b",
            &"é".repeat(65),
        ] {
            assert_eq!(garbage.parse::<Username>(), Err(InvalidUsername), "{garbage:?}");
        }
    }

    #[test]
    fn a_right_is_one_of_few_words() {
        for right in Right::ALL {
            assert_eq!(right.to_string().parse(), Ok(right));
        }
        for garbage in ["", "Paid", "paid ", "root", "admin,paid"] {
            assert_eq!(garbage.parse::<Right>(), Err(InvalidRight), "{garbage:?}");
        }
    }
}
