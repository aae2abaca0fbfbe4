//! The connections to SQLite and PostgreSQL, their types and the migrations, which the store of each subject uses.
//!
//! A subject has its port and its queries in a crate of its own, and implements the port for [`Sqlite`] and for [`Postgres`].
#![deny(missing_docs)]

pub mod batch;
mod deployment;
mod error;
mod id;
pub mod pace;
pub mod postgres;
mod prepared;
pub mod reach;
#[allow(missing_docs, reason = "what a column means is told where its subject is")]
pub mod schema;
pub mod sqlite;
mod time;
pub mod types;
mod upkeep;

use std::sync::Arc;

pub use self::deployment::Deployment;
pub use self::error::{Cause, StoreError};
pub use self::id::{InvalidId, UserId, hyphenated};
pub use self::postgres::Postgres;
pub use self::prepared::Prepared;
pub use self::sqlite::Sqlite;
pub use self::time::Time;
pub use self::types::now;
pub use self::upkeep::Upkeep;
#[doc(hidden)]
pub use uuid;

/// A database in one of its two forms.
#[derive(Clone)]
pub enum Database {
    /// The embedded form.
    Sqlite(Arc<Sqlite>),
    /// The distributed form.
    Postgres(Arc<Postgres>),
}

/// The use of the connections to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// The number of connections in use.
    pub used: usize,
    /// The number of idle connections.
    pub free: usize,
}
