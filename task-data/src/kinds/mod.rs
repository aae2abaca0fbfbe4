//! The kinds of tasks. A new kind begins here: the build then fails in each match that must know it.
//!
//! A kind defines its input, its output and its detail in the outcome log. No HTTP here, and no work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Value, json};

/// Defines [`Kind`] and [`Work`] from the list of kinds. Each kind has a module, named as the kind is in the database, the API, the queues
/// and the outcome log. The module has the kind's `Input`, its `Output`, its detail in the log, and the most tickets that are queued
/// `TOGETHER`.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident in $module:ident;)+) => {
        $(pub mod $module;)+

        /// The kind of a task.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$(stringify!($kind)),+].len()] = [$(Self::$kind),+];

            /// Returns the kind's name in the database, the API, the queues and the outcome log.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($module),)+
                }
            }

            /// Returns the most tickets that travel as one message of the queue. A message costs the same whatever it has; but all of it
            /// goes to one worker, so a task that mostly waits has a message of its own.
            pub const fn most_together(self) -> usize {
                match self {
                    $(Self::$kind => $module::TOGETHER,)+
                }
            }

            /// Returns the detail that the outcome log has for a task that succeeded: words without line breaks, and without spaces at
            /// either end.
            pub fn outcome_detail(self, result: &Value) -> String {
                match self {
                    $(Self::$kind => $module::outcome_detail(result),)+
                }
            }
        }

        /// The input of a task, by its kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Work {
            $($(#[$doc])* $kind($module::Input),)+
        }

        impl Work {
            /// Parses the input of a row of that kind.
            ///
            /// # Errors
            /// If this version does not understand the input.
            pub fn read(kind: Kind, input: Value) -> serde_json::Result<Self> {
                match kind {
                    $(Kind::$kind => serde_json::from_value(input).map(Self::$kind),)+
                }
            }

            /// Returns the kind, and the input as a row stores it.
            pub(crate) fn into_row(self) -> (Kind, Value) {
                match self {
                    $(Self::$kind(input) => (Kind::$kind, json!(input)),)+
                }
            }
        }

        $(impl From<$module::Input> for Work {
            fn from(input: $module::Input) -> Self {
                Self::$kind(input)
            }
        })+
    };
}

kinds! {
    /// Computes the MD5 of an uploaded file.
    Md5 in md5;
    /// Sends a message to a provider.
    Message in message;
    /// Sends the rows of a table to a third party.
    Table in table;
    /// Cancels, retries or deletes many tasks.
    Bulk in bulk;
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
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
    /// This version can do the task.
    Known(Kind),
    /// Only a newer version can. This version shows the task and leaves it alone.
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

    /// Returns the kind's name in the database, the API and the outcome log.
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

/// The text is not the name of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of task `{0}`")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}
