//! The distributed form: one PostgreSQL database, shared by many processes.

mod connection;
mod migration;
mod session;
mod sql_state;
mod target;
mod upkeep;
mod wire;

use std::time::Duration;

pub use self::connection::{Postgres, answer};
pub use self::migration::{Examined, SharedSessions};
pub use self::session::Session;
pub use self::sql_state::ServerError;
pub use self::target::UrlError;
use crate::pace::Steps;

/// The steps of a long deletion. Others need not wait for them, and each makes many exchanges.
pub const STEPS: Steps = Steps { most: Duration::from_millis(10), rest: 4 };
