//! Accounts in SQLite.

mod api_keys;
mod audit;
mod users;
