//! The audit: its part of the port, and its queries, written once for each database.

use async_trait::async_trait;
use database::schema::audit;
use database::types::{SqlTime, SqlUuid};
use database::{StoreError, Time};
use diesel::dsl::auto_type;
use diesel::prelude::*;

use crate::audit::{Entry, NewEntry};
use crate::user::UserId;

/// The rows of the audit.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an entry.
    async fn add_entry(&self, new: NewEntry) -> Result<(), StoreError>;

    /// Returns at most `limit` entries, newest first, with numbers below the given one.
    async fn entries(&self, below: Option<i64>, limit: i64) -> Result<Vec<Entry>, StoreError>;
}

/// The row of an entry to insert.
#[derive(Insertable)]
#[diesel(table_name = audit)]
pub(super) struct NewEntryRow {
    at: SqlTime,
    user_id: Option<SqlUuid>,
    who: String,
    act: &'static str,
    target: String,
    detail: Option<String>,
}

impl NewEntryRow {
    pub fn new(new: NewEntry, now: Time) -> Self {
        let detail = new.kept_detail();
        let NewEntry { user, who, act, target, .. } = new;
        Self {
            at: SqlTime(now.0),
            user_id: user.map(|user| SqlUuid(user.0)),
            who,
            act: act.name(),
            target,
            detail,
        }
    }
}

/// An entry's row: (id, at, user, who, act, target, detail).
pub(super) type EntryRow = (i64, SqlTime, Option<SqlUuid>, String, String, String, Option<String>);

/// Converts a row to the entry.
pub(super) fn into_entry((id, at, user, who, act, target, detail): EntryRow) -> Entry {
    Entry { id, at: at.into(), user: user.map(|user| UserId(user.0)), who, act, target, detail }
}

/// Selects a page of entries, newest first.
#[auto_type]
pub(super) fn entries(below: Option<i64>, limit: i64) -> _ {
    let below: i64 = below.unwrap_or(i64::MAX);
    audit::table.filter(audit::id.lt(below)).order(audit::id.desc()).limit(limit)
}
