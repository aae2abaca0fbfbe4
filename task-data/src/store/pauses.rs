//! Paused kinds: their part of the port, and its queries.
//!
//! A pause is exact: after it was answered, no task of its kind begins. Each statement that begins tasks looks for pauses; see the
//! migration for the lock between the two in PostgreSQL. In SQLite there is one writer.

use async_trait::async_trait;
use database::StoreError;
use database::schema::pauses;
use database::types::SqlTime;
use diesel::dsl::{auto_type, delete};
use diesel::prelude::*;

use crate::kinds::Kind;
use crate::task::Time;

/// A paused kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The kind.
    pub kind: Kind,
    /// When it was paused, by the database's clock: no task of it has begun since.
    pub since: Time,
}

/// The paused kinds.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// Pauses a kind, and returns since when it is paused. Waits for the statements that begin tasks: when this returns, none commits.
    async fn pause(&self, kind: Kind) -> Result<Pause, StoreError>;

    /// Ends the pause of a kind, if there is one.
    async fn resume(&self, kind: Kind) -> Result<(), StoreError>;

    /// Returns the paused kinds that this version knows.
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
}

/// Ends the pause of a kind.
#[auto_type]
pub(super) fn resume(kind: Kind) -> _ {
    let kind: &'static str = kind.name();
    delete(pauses::table).filter(pauses::kind.eq(kind))
}

/// Selects all pauses.
#[auto_type]
pub(super) fn all() -> _ {
    pauses::table.select((pauses::kind, pauses::since))
}

/// Makes pauses of rows, without those of kinds that only a newer version knows.
pub(super) fn of_rows(rows: Vec<(String, SqlTime)>) -> Vec<Pause> {
    let pause =
        |(kind, since): (String, SqlTime)| Some(Pause { kind: kind.parse().ok()?, since: since.into() });
    rows.into_iter().filter_map(pause).collect()
}
