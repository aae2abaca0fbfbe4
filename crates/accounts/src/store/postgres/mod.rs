//! Accounts in PostgreSQL.

mod api_keys;
mod audit;
mod users;
