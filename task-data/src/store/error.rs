//! What each database's errors mean to a caller.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};

use super::StoreError;
use crate::kinds::UnknownKind;

/// Databases that are there but can't now. SQLite's codes and PostgreSQL's SQLSTATEs don't come through diesel, their texts do:
/// <https://www.sqlite.org/rescode.html>, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const AWAY: [&str; 11] = [
    "locked",
    "disk I/O error",
    "disk is full",
    "readonly",
    "unable to open",
    "No space left",
    "shutting down",
    "starting up",
    "deadlock",
    "timeout",
    "too many",
];
/// A server that ends a connection. It may say so after a commit, and even that it has rolled back: a backend that is told to quit
/// speaks from wherever it stands (`quickdie` in PostgreSQL's `tcop/postgres.c`).
const CUT_OFF: [&str; 1] = ["terminating connection"];
/// Values that a column can't hold.
const REFUSED: [&str; 3] = ["Unicode escape", "invalid byte sequence", "out of range"];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        let says = |texts: &[&str], message: &str| texts.iter().any(|text| message.contains(text));
        match &error {
            DieselError::SerializationError(_) => Self::Refused(Arc::new(error)),
            DieselError::DatabaseError(kind, info) => match kind {
                Kind::CheckViolation | Kind::NotNullViolation => Self::Refused(Arc::new(error)),
                Kind::ClosedConnection | Kind::UnableToSendCommand => Self::Unknown(Arc::new(error)),
                _ if says(&CUT_OFF, info.message()) => Self::Unknown(Arc::new(error)),
                Kind::ReadOnlyTransaction | Kind::SerializationFailure => Self::Unavailable(Arc::new(error)),
                _ if says(&AWAY, info.message()) => Self::Unavailable(Arc::new(error)),
                _ if says(&REFUSED, info.message()) => Self::Refused(Arc::new(error)),
                _ => Self::Internal(Arc::new(error)),
            },
            DieselError::BrokenTransactionManager => Self::Unknown(Arc::new(error)),
            _ => Self::Internal(Arc::new(error)),
        }
    }
}

impl From<UnknownKind> for StoreError {
    fn from(error: UnknownKind) -> Self {
        Self::Internal(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_not_said_to_have_failed() {
        for message in [
            "terminating connection due to immediate shutdown command",
            "terminating connection because of crash of another server process",
            "terminating connection due to administrator command",
        ] {
            let error = DieselError::DatabaseError(Kind::Unknown, Box::new(message.to_owned()));
            assert!(matches!(error.into(), StoreError::Unknown(_)), "{message}");
        }
        for message in ["the database system is starting up", "canceling statement due to statement timeout"]
        {
            let error = DieselError::DatabaseError(Kind::Unknown, Box::new(message.to_owned()));
            assert!(matches!(error.into(), StoreError::Unavailable(_)), "{message}");
        }
    }
}
