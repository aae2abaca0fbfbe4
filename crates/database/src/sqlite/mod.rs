//! The embedded form: one SQLite file, held by one program.

mod connection;
mod upkeep;

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

pub use self::connection::{Failure, Sqlite, TookTooLong, connect, in_time, read_files_from_device};
use crate::pace::Steps;
use crate::types::SqlTime;
use crate::{StoreError, Time, now};

/// The steps of a long deletion: all other writes wait for each.
pub const STEPS: Steps = Steps { most: Duration::from_millis(2), rest: 9 };

/// Returns the database's time, within a transaction.
///
/// # Errors
/// If the database fails.
pub fn clock(connection: &mut SqliteConnection) -> Result<Time, StoreError> {
    Ok(diesel::select(now()).get_result::<SqlTime>(connection)?.into())
}
