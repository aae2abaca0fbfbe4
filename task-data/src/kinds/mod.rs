//! What sorts of work there are. A new kind begins here: the build then fails in each match that must know it.
//!
//! A kind says what goes in, what comes out and what the outcome log tells of it. No HTTP here, and no work.

pub mod md5;
pub mod message;
pub mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What sort of work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The MD5 of an uploaded file.
    Md5,
    /// A message to a provider.
    Message,
    /// Rows to a third party.
    Table,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Message, Self::Table];

    /// The word for it in the database, the API, the queues and the outcome log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Message => "message",
            Self::Table => "table",
        }
    }

    /// What the outcome log says of a task that succeeded: words without spaces at their ends or line breaks.
    pub fn outcome_detail(self, result: &Value) -> String {
        match self {
            Self::Md5 => md5::outcome_detail(result),
            Self::Message => message::outcome_detail(result),
            Self::Table => table::outcome_detail(result),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kind of a task as its row names it. A newer version may have written the row, and know more kinds than this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowKind {
    /// This version knows what to do with the task.
    Known(Kind),
    /// Only a newer version does. This one shows the task as it stands and leaves it alone.
    Newer(String),
}

impl RowKind {
    /// Returns the kind, if this version knows it.
    pub fn known(&self) -> Option<Kind> {
        match self {
            Self::Known(kind) => Some(*kind),
            Self::Newer(_) => None,
        }
    }

    /// Returns the word for it in the database, the API and the outcome log.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(kind) => kind.name(),
            Self::Newer(name) => name,
        }
    }
}

impl From<Kind> for RowKind {
    fn from(kind: Kind) -> Self {
        Self::Known(kind)
    }
}

impl From<String> for RowKind {
    fn from(name: String) -> Self {
        name.parse().map_or(Self::Newer(name), Self::Known)
    }
}

impl PartialEq<Kind> for RowKind {
    fn eq(&self, kind: &Kind) -> bool {
        self.known() == Some(*kind)
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for RowKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// No kind has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind of task named `{0}`")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}
