//! SQLSTATEs, and the meaning of each for a caller. Messages say the same, but in the server's language.
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use crate::{Cause, StoreError};

/// A SQLSTATE, and whether the error ended its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState {
    code: [u8; 5],
    ends_session: bool,
}

impl SqlState {
    /// Parses the fields of an `ErrorResponse`: each is a letter and a text that ends with a NUL. Severity `V` is never translated, unlike
    /// `S`.
    pub fn of_fields(fields: &[u8]) -> Option<Self> {
        let field =
            |letter: u8| fields.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(&[letter]));
        let code: [u8; 5] = field(b'C')?.try_into().ok()?;
        Some(Self { code, ends_session: matches!(field(b'V'), Some(b"FATAL" | b"PANIC")) })
    }

    /// Returns its five letters and digits.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Returns whether a time-out or a person ended the statement.
    pub fn was_canceled(&self) -> bool {
        self.code() == "57014"
    }

    /// Returns whether the session is of no further use: it is over, takes no writes (another may, once a standby has become the primary),
    /// or has lost its prepared statements.
    pub fn spends_session(&self) -> bool {
        self.ends_session || matches!(self.code(), "25006" | "26000" | "42P05")
    }

    /// Returns the meaning for a caller, by code, else by class.
    pub fn meaning(&self) -> fn(Cause) -> StoreError {
        // A session may end after a commit and before the client is told: a server that must quit says so from wherever it is (`quickdie`
        // in PostgreSQL's `tcop/postgres.c`).
        if self.ends_session {
            return StoreError::Unknown;
        }
        let code = self.code();
        match code {
            // rejected before anything was run: no connection was made, or the server is starting or shutting down
            "08001" | "08004" | "57P03" => return StoreError::Unavailable,
            // statement_completion_unknown
            "40003" => return StoreError::Unknown,
            // query_canceled: by a time-out or a person, and rolled back
            "57014" => return StoreError::Unavailable,
            // read_only_sql_transaction: a standby, or an operator's setting
            "25006" => return StoreError::Unavailable,
            // idle_in_transaction_session_timeout, transaction_timeout: they end the session
            "25P03" | "25P04" => return StoreError::Unknown,
            // insufficient_privilege: an operator's doing, and the error of a server whose disk became read-only
            "42501" => return StoreError::Unavailable,
            // invalid_sql_statement_name, duplicate_prepared_statement: right in the next session
            "26000" | "42P05" => return StoreError::Unavailable,
            // snapshot_too_old
            "72000" => return StoreError::Unavailable,
            // program_limit_exceeded, statement_too_complex: a value too large for an index, or nested too deeply
            "54000" | "54001" => return StoreError::Refused,
            _ => {}
        }
        match code.get(..2).unwrap_or_default() {
            // the connection broke, or a pooler in between gave up: a statement may be in progress
            "08" => StoreError::Unknown,
            // data exception, integrity constraint violation: the values
            "22" | "23" => StoreError::Refused,
            // authorization and databases: an operator's matter
            "28" | "3D" => StoreError::Unavailable,
            // rolled back because of another transaction: serialization failure, deadlock
            "40" => StoreError::Unavailable,
            // out of disk, memory or connections
            "53" => StoreError::Unavailable,
            // locked, in use, or not in the state for it: lock_not_available above all
            "55" => StoreError::Unavailable,
            // an operator or the server ended the session: shut-down, crash, dropped database, idle_session_timeout
            "57" => StoreError::Unknown,
            // the server's files, as an error: the statement was rolled back
            "58" => StoreError::Unavailable,
            // everything else is an error of the program, of the schema, or of a trigger that an operator has added
            _ => StoreError::Internal,
        }
    }
}

/// An error that a server returned instead of doing a statement.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {})", .state.code())]
pub struct ServerError {
    /// The SQLSTATE, which decides the reaction.
    pub state: SqlState,
    /// The message, for people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn told(severity: &str, code: &str) -> StoreError {
        let fields = format!("SUNÜBERSETZT\0V{severity}\0C{code}\0Mirgendwas\0\0");
        let state = SqlState::of_fields(fields.as_bytes()).unwrap();
        let error = ServerError { state, message: "irgendwas".to_owned() };
        state.meaning()(Arc::new(error))
    }

    #[test]
    fn what_may_have_been_committed_is_not_said_to_have_failed() {
        for code in ["08006", "08P01", "25P03", "25P04", "40003", "57P01", "57P02", "57P04", "57P05"] {
            assert!(matches!(told("ERROR", code), StoreError::Unknown(_)), "{code}");
        }
        // A disk that fails during the commit ends the server.
        for code in ["53100", "57P01", "58030", "XX000", "42501"] {
            for severity in ["FATAL", "PANIC"] {
                assert!(matches!(told(severity, code), StoreError::Unknown(_)), "{severity} {code}");
            }
        }
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for code in [
            "25006", "26000", "28000", "3D000", "40001", "40P01", "42501", "42P05", "53100", "53200",
            "53300", "55006", "55P03", "57014", "57P03", "58030", "72000",
        ] {
            assert!(matches!(told("ERROR", code), StoreError::Unavailable(_)), "{code}");
        }
        for code in ["22003", "22021", "22P05", "23502", "23503", "23505", "23514", "54000", "54001"] {
            assert!(matches!(told("ERROR", code), StoreError::Refused(_)), "{code}");
        }
        for code in ["25P02", "42601", "42703", "42P01", "54023", "P0001", "XX000", "XX001"] {
            assert!(matches!(told("ERROR", code), StoreError::Internal(_)), "{code}");
        }
    }

    #[test]
    fn fields_without_a_code_are_no_error() {
        for fields in [&b""[..], b"\0", b"SERROR\0", b"C123\0", b"C123456\0"] {
            assert_eq!(SqlState::of_fields(fields), None);
        }
    }
}
