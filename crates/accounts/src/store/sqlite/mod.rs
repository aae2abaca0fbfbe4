//! Accounts in SQLite.

mod api_keys;
mod users;
