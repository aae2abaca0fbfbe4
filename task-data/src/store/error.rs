//! What each database's errors mean to a caller.

use std::sync::Arc;

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};

use super::StoreError;
use super::postgres::ServerError;
use super::sqlite::TookTooLong;
use crate::kinds::UnknownKind;

/// SQLite that is there but can't now. Its codes don't come through diesel, its texts do: <https://www.sqlite.org/rescode.html>.
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
            // The server has told why it did not commit; that it could not be told to roll back is beside it.
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
    /// Whether it tells of a read that was given up for the time it took.
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

impl From<UnknownKind> for StoreError {
    fn from(error: UnknownKind) -> Self {
        Self::Internal(Arc::new(error))
    }
}
