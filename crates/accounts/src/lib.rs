//! Who users are, what each may do, and what stands for them.
//!
//! [`user`] has their names and rights, [`password`] what is kept of a password, [`api_key`] what stands for a user without a log-in.
//! [`Accounts`] is the port to their rows, which [`database::Sqlite`] and [`database::Postgres`] implement.
#![deny(missing_docs)]

pub mod api_key;
pub mod password;
mod store;
pub mod user;

pub use self::store::{Accounts, ApiKeys, Login, NewKey, NewUser, Users, of};
