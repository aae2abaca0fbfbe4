//! The port to the rows of users, their API keys and the audit, and its adapters. Each method is one transaction.

mod api_keys;
mod audit;
mod postgres;
mod sqlite;
mod users;

use std::sync::Arc;

use database::Database;

pub use self::api_keys::{ApiKeys, NewKey};
pub use self::audit::Audit;
pub use self::users::{Login, NewUser, Users};

/// The rows of users, of their API keys, and of the audit.
pub trait Accounts: Users + ApiKeys + Audit {}
impl<T: Users + ApiKeys + Audit> Accounts for T {}

/// Returns the accounts of that database.
pub fn of(database: &Database) -> Arc<dyn Accounts> {
    match database {
        Database::Sqlite(sqlite) => sqlite.clone(),
        Database::Postgres(postgres) => postgres.clone(),
    }
}
