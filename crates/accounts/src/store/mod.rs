//! The port to the rows of users and their API keys, and its adapters. Each method is one transaction.

mod api_keys;
mod postgres;
mod sqlite;
mod users;

use std::sync::Arc;

use database::Database;

pub use self::api_keys::{ApiKeys, NewKey};
pub use self::users::{Login, NewUser, Users};

/// The rows of users and of their API keys.
pub trait Accounts: Users + ApiKeys {}
impl<T: Users + ApiKeys> Accounts for T {}

/// Returns the accounts of that database.
pub fn of(database: &Database) -> Arc<dyn Accounts> {
    match database {
        Database::Sqlite(sqlite) => sqlite.clone(),
        Database::Postgres(postgres) => postgres.clone(),
    }
}
