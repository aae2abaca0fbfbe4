//! The distributed form: one PostgreSQL database, shared by many processes.

mod connection;
mod migration;
mod session;
mod sql_state;
mod target;
mod upkeep;
mod wire;

pub use self::connection::{Postgres, answer};
pub use self::migration::{Examined, SharedSessions};
pub use self::session::Session;
pub use self::sql_state::ServerError;
pub use self::target::UrlError;

/// How long a step of a long deletion should take. Others need not wait for it, and it makes many exchanges.
pub const STEP: std::time::Duration = std::time::Duration::from_millis(10);
