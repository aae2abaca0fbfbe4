//! The audit: what operators and admins have done. No I/O here.

use database::{Time, UserId};

/// The longest detail that is kept, in bytes.
const MAX_DETAIL: usize = 1000;

/// Something that an operator or an admin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Stops the claims of a kind.
    Pause,
    /// Lets workers claim tasks of a kind again.
    Resume,
    /// Makes a new task of one that ended.
    Retry,
    /// Forgets an ended task.
    Purge,
    /// Begins to change the tasks that pass a filter.
    Bulk,
    /// Cancels another user's task.
    Cancel,
    /// Lets a worker end its tasks and take no others.
    Drain,
    /// Makes a user.
    CreateUser,
    /// Sets another user's password.
    SetPassword,
    /// Grants a right.
    Grant,
    /// Revokes a right.
    Revoke,
    /// Disables a user.
    DisableUser,
    /// Enables a user.
    EnableUser,
    /// Deletes a user.
    DeleteUser,
    /// Ends another user's sessions.
    EndSessions,
    /// Revokes an API key.
    RevokeKey,
}

impl Act {
    /// Returns the act's name in the database and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Purge => "purge",
            Self::Bulk => "bulk",
            Self::Cancel => "cancel",
            Self::Drain => "drain",
            Self::CreateUser => "create-user",
            Self::SetPassword => "set-password",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::DisableUser => "disable-user",
            Self::EnableUser => "enable-user",
            Self::DeleteUser => "delete-user",
            Self::EndSessions => "end-sessions",
            Self::RevokeKey => "revoke-key",
        }
    }
}

/// An act to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The user who did it; `None` without a log-in.
    pub user: Option<UserId>,
    /// The user's name, the client's address, or the command.
    pub who: String,
    /// The act.
    pub act: Act,
    /// The id, or the name, of what it was done to.
    pub target: String,
    /// More about it; its first 1000 bytes are kept.
    pub detail: Option<String>,
}

impl NewEntry {
    /// Returns the detail as it is kept.
    pub(crate) fn kept_detail(&self) -> Option<String> {
        let mut detail = self.detail.clone()?;
        let end = (0..=MAX_DETAIL.min(detail.len())).rev().find(|end| detail.is_char_boundary(*end));
        detail.truncate(end.unwrap_or(0));
        Some(detail)
    }
}

/// A recorded act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: later entries have higher ones.
    pub id: i64,
    /// When it was recorded, by the database's clock.
    pub at: Time,
    /// The user who did it, who may be deleted by now; `None` without a log-in.
    pub user: Option<UserId>,
    /// The user's name at that time, the client's address, or the command.
    pub who: String,
    /// The act's name, which may be one that only a newer version knows.
    pub act: String,
    /// The id, or the name, of what it was done to.
    pub target: String,
    /// More about it.
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_two_characters() {
        let entry = |detail: String| NewEntry {
            user: None,
            who: "127.0.0.1".to_owned(),
            act: Act::Bulk,
            target: "md5".to_owned(),
            detail: Some(detail),
        };
        for (detail, kept) in [
            (String::new(), String::new()),
            ("x".repeat(1000), "x".repeat(1000)),
            ("x".repeat(1001), "x".repeat(1000)),
            (format!("x{}", "é".repeat(500)), format!("x{}", "é".repeat(499))),
        ] {
            assert_eq!(entry(detail).kept_detail(), Some(kept));
        }
    }
}
