//! The embedded form: one SQLite file, held by one program.

mod connection;
mod upkeep;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

pub use self::connection::{Failure, Sqlite, TookTooLong, connect, in_time, read_files_from_device};
use crate::types::SqlTime;
use crate::{StoreError, Time, now};

/// How long a step of a long deletion should take: all other writes wait for it.
pub const STEP: Duration = Duration::from_millis(2);

/// Returns the database's time, within a transaction.
///
/// # Errors
/// If the database fails.
pub fn clock(connection: &mut SqliteConnection) -> Result<Time, StoreError> {
    Ok(diesel::select(now()).get_result::<SqlTime>(connection)?.into())
}
