//! What sorts of work there are. A new kind begins here: the build then fails in each match that must know it.
//!
//! A kind says what goes in, what comes out and what the outcome log tells of it. No HTTP here, and no work.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Makes [`Kind`] and [`Work`] of the list of kinds. Each has a module of the name that it has in the database, the API, the queues and the
/// outcome log; in that are its `Input`, its `Output` and what the log tells of it.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident in $module:ident;)+) => {
        $(pub mod $module;)+

        /// What sort of work a task is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$(stringify!($kind)),+].len()] = [$(Self::$kind),+];

            /// The word for it in the database, the API, the queues and the outcome log.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($module),)+
                }
            }

            /// What the outcome log says of a task that succeeded: words without spaces at their ends or line breaks.
            pub fn outcome_detail(self, result: &Value) -> String {
                match self {
                    $(Self::$kind => $module::outcome_detail(result),)+
                }
            }
        }

        /// What is to be done: what was handed in, by its kind.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Work {
            $($(#[$doc])* $kind($module::Input),)+
        }

        impl Work {
            /// Reads what a row of that kind has.
            ///
            /// # Errors
            /// If it is not what this version hands in.
            pub fn read(kind: Kind, input: Value) -> serde_json::Result<Self> {
                match kind {
                    $(Kind::$kind => serde_json::from_value(input).map(Self::$kind),)+
                }
            }

            /// Returns its kind, and what a row of that has.
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
    /// The MD5 of an uploaded file.
    Md5 in md5;
    /// A message to a provider.
    Message in message;
    /// Rows to a third party.
    Table in table;
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
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
