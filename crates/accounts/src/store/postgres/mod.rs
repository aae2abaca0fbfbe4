//! Accounts in PostgreSQL.

mod api_keys;
mod users;
