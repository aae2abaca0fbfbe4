//! Users: their ids, names and rights. No I/O here; [`crate::password`] handles passwords.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use database::Time;
pub use database::UserId;
use precis_profiles::UsernameCaseMapped;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use serde::Serialize;

/// The name of a user: 1 to 64 characters, in the form of PRECIS's `UsernameCaseMapped` (RFC 8265, 3.3).
///
/// Texts that look the same are the same name: upper and lower case, wide and narrow forms, composed and decomposed characters. Parts may
/// have single spaces between them (RFC 8265, 3.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Username(String);

impl Username {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Returns the name in its mapped form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Creates a name from a row: rows from before names were mapped may have any text.
    pub(crate) const fn kept(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a valid username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsername {
    /// Empty, too long, or with misplaced spaces.
    #[error("expected a username of 1 to 64 visible characters, without a space at either end")]
    Form,
    /// The profile forbids a character, or the order of characters.
    #[error(
        "expected a username of letters and digits of any script and ASCII signs (RFC 8265), without symbols and invisible characters"
    )]
    Character,
}

impl FromStr for Username {
    type Err = InvalidUsername;

    fn from_str(text: &str) -> Result<Self, InvalidUsername> {
        if text.is_empty() || !may_be_a_name(text) || text.trim().len() != text.len() {
            return Err(InvalidUsername::Form);
        }
        let part = |part| UsernameCaseMapped::enforce(part).map_err(|_| InvalidUsername::Character);
        let parts: Vec<_> = text.split(' ').map(part).collect::<Result<_, _>>()?;
        let name = parts.join(" ");
        if name.chars().count() > Self::MAX_CHARS { Err(InvalidUsername::Form) } else { Ok(Self(name)) }
    }
}

/// Returns whether a text is short enough to be a name, counting decomposed characters.
fn may_be_a_name(text: &str) -> bool {
    const MOST: usize = 4 * Username::MAX_CHARS;
    text.chars().take(MOST + 1).count() <= MOST
}

/// A username as it was typed to log in: the names of rows that it may refer to.
///
/// Names from before the mapping are found as they were typed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedName {
    exact: String,
    mapped: Option<Username>,
}

impl TypedName {
    /// Creates it from a text; `None` if no user can have such a name: it is too long, or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        let is_visible = !text.chars().any(char::is_control);
        (may_be_a_name(text) && is_visible)
            .then(|| Self { exact: text.to_owned(), mapped: text.parse().ok() })
    }

    /// Returns the text, for rows from before names were mapped.
    pub fn exact(&self) -> &str {
        &self.exact
    }

    /// Returns the mapped form, or the text if it has none: the same value for all texts that find the same users.
    pub fn mapped(&self) -> &str {
        self.mapped.as_ref().map_or(&self.exact, Username::as_str)
    }
}

/// A permission beyond every user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// To have messages sent to the paid provider.
    Paid,
    /// To read all tasks.
    Viewer,
    /// To read and change all tasks, and to run the service.
    Operator,
    /// To do all that an operator may, and to manage users and their rights.
    Admin,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 4] = [Self::Paid, Self::Viewer, Self::Operator, Self::Admin];

    /// Returns the right's name in the database, the API and tokens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Returns whether a user with this right may do all that the other one allows.
    pub fn includes(self, other: Self) -> bool {
        match self {
            Self::Paid | Self::Viewer => self == other,
            Self::Operator | Self::Admin => other != Self::Paid && other <= self,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is not the name of a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a right: paid, viewer, operator or admin")]
pub struct InvalidRight;

impl FromStr for Right {
    type Err = InvalidRight;

    fn from_str(name: &str) -> Result<Self, InvalidRight> {
        Self::ALL.into_iter().find(|right| right.name() == name).ok_or(InvalidRight)
    }
}

/// A user as the database has it, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The id, which never changes.
    pub id: UserId,
    /// The name to log in with.
    pub username: Username,
    /// The rights. A right that only a newer version knows is left out: it grants nothing here.
    pub rights: BTreeSet<Right>,
}

/// A user with the fields that decide whether they may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// When the user was registered.
    pub created: Time,
    /// Since when the user is disabled, if they are.
    pub disabled: Option<Time>,
    /// How often their sessions were ended: a token is valid only with the number that it was issued with.
    pub sessions: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &str) -> Result<String, InvalidUsername> {
        text.parse().map(|name: Username| name.to_string())
    }

    #[test]
    fn a_username_is_mapped_as_rfc_8265_says() {
        for (text, name) in [
            ("a", "a"),
            ("Ada Lovelace", "ada lovelace"),
            ("ada@example.com", "ada@example.com"),
            ("<i>ada</i>", "<i>ada</i>"),
            ("Ünïcødé", "ünïcødé"),
            ("u\u{308}ni", "üni"),
            ("\u{ff21}\u{ff44}\u{ff41}", "ada"),
            ("名前", "名前"),
            ("fußball", "fußball"),
            ("π", "π"),
            (&"E\u{301}".repeat(64), &"é".repeat(64)),
        ] {
            assert_eq!(mapped(text).as_deref(), Ok(name), "{text:?}");
        }
        for text in ["", " ", " a", "a ", "a\u{a0}", &"é".repeat(65), &"e\u{301}".repeat(65)] {
            assert_eq!(mapped(text), Err(InvalidUsername::Form), "{text:?}");
        }
        for text in [
            "a  b",
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
            // Look-alikes: a ligature, a Roman numeral, a mathematical letter, a symbol, a fraction slash.
            "o\u{fb03}ce",
            "henry\u{2163}",
            "\u{1d41a}da",
            "ada\u{2122}",
            "ada\u{2044}root",
            "ada 🧥",
            // A right-to-left letter among left-to-right ones.
            "a\u{5d0}b",
        ] {
            assert_eq!(mapped(text), Err(InvalidUsername::Character), "{text:?}");
        }
    }

    #[test]
    fn a_typed_name_stands_for_the_mapped_one_and_for_an_older_one() {
        let forms =
            |text: &str| TypedName::new(text).map(|name| (name.exact().to_owned(), name.mapped().to_owned()));
        assert_eq!(forms("Ada"), Some(("Ada".to_owned(), "ada".to_owned())));
        assert_eq!(forms("Ada 🧥"), Some(("Ada 🧥".to_owned(), "Ada 🧥".to_owned())));
        for none in [&*"a".repeat(257), "a\0", "a\u{7f}"] {
            assert_eq!(forms(none), None, "{none:?}");
        }
    }

    #[test]
    fn an_admin_may_what_an_operator_may_and_an_operator_what_a_viewer_may() {
        use Right::{Admin, Operator, Paid, Viewer};
        for (right, included) in [
            (Paid, &[Paid][..]),
            (Viewer, &[Viewer]),
            (Operator, &[Viewer, Operator]),
            (Admin, &[Viewer, Operator, Admin]),
        ] {
            let includes = Right::ALL.into_iter().filter(|other| right.includes(*other));
            assert_eq!(includes.collect::<Vec<_>>(), included, "{right}");
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
