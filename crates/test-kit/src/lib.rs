//! Shared by the tests of several crates: private servers, fresh databases, malformed requests, and waiting with a deadline.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and clippy excuses only functions that are marked as tests"
)]
#![deny(missing_docs)]

mod cases;
mod databases;
mod digests;
mod fuzz;
mod late;
mod ports;
mod servers;
mod wait;

pub use self::cases::{BELOW, Case, Cases, Outcome};
pub use self::databases::{FreshDatabase, database_set_otherwise, each_database, set};
pub use self::digests::RFC_1321;
pub use self::fuzz::{LONGEST, cut, has_seeds};
pub use self::late::Late;
pub use self::ports::Effect;
pub use self::servers::{OwnServers, Servers, psql, servers};
#[doc(hidden)]
pub use bolero;

pub use self::wait::{DEADLINE, Look, eventually, in_time};
