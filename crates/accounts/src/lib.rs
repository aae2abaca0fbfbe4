//! Users, their rights, and their credentials.
//!
//! [`user`] has names and rights, [`password`] hashes and verifies passwords, [`api_key`] authenticates a user without a log-in, and
//! [`audit`] tells what operators and admins have done.
//! [`Accounts`] is the port to their rows, which [`database::Sqlite`] and [`database::Postgres`] implement.
#![deny(missing_docs)]

pub mod api_key;
pub mod audit;
pub mod password;
mod store;
pub mod user;

pub use self::store::{Accounts, ApiKeys, Audit, Login, NewKey, NewUser, Users, of};
