//! The meaning of each database's errors for a caller.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};

use crate::postgres::ServerError;
use crate::sqlite::TookTooLong;

/// An error of the database; each variant calls for another reaction.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Retry later; nothing was written.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// The commit may or may not have happened: look, or repeat what is safe to repeat.
    #[error("the database did not confirm the commit, which may have happened")]
    Unknown(#[source] Cause),
    /// The database rejects the values; the same call will fail again.
    #[error("the database rejects the row")]
    Refused(#[source] Cause),
    /// A row that can't be read, or a wrong statement: a bug, or a newer program's data.
    #[error("the database's rows or schema do not fit this version of the program")]
    Internal(#[source] Cause),
}

/// An inner error, shared by all callers whose work was in the same batch.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Texts of SQLite's transient errors. Its codes don't come through diesel, its texts do: <https://www.sqlite.org/rescode.html>.
const AWAY: [&str; 5] = ["locked", "disk I/O error", "disk is full", "readonly", "unable to open"];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::QueryBuilderError(cause) => match cause.downcast::<ServerError>() {
                Ok(said) => {
                    let state = said.state;
                    state.meaning()(Arc::new(*said))
                }
                Err(cause) => Self::Internal(Arc::from(cause)),
            },
            // The server has said why it did not commit; that the rollback failed too is secondary.
            DieselError::RollbackErrorOnCommit { commit_error, .. } => (*commit_error).into(),
            DieselError::SerializationError(_) => Self::Refused(Arc::new(error)),
            DieselError::DatabaseError(kind, info) => {
                let is_away = AWAY.iter().any(|text| info.message().contains(text));
                let error = DieselError::DatabaseError(kind, info);
                match kind {
                    Kind::CheckViolation | Kind::NotNullViolation => Self::Refused(Arc::new(error)),
                    Kind::ClosedConnection | Kind::UnableToSendCommand => Self::Unknown(Arc::new(error)),
                    _ if is_away => Self::Unavailable(Arc::new(error)),
                    _ => Self::Internal(Arc::new(error)),
                }
            }
            DieselError::BrokenTransactionManager => Self::Unknown(Arc::new(error)),
            _ => Self::Internal(Arc::new(error)),
        }
    }
}

impl StoreError {
    /// Returns whether a read was stopped because it took too long.
    pub fn took_too_long(&self) -> bool {
        match self {
            Self::Unavailable(cause) => {
                cause.is::<TookTooLong>()
                    || cause.downcast_ref::<ServerError>().is_some_and(|said| said.state.was_canceled())
            }
            Self::Unknown(_) | Self::Refused(_) | Self::Internal(_) => false,
        }
    }
}
