//! One file a command.

pub mod backup;
pub mod cancel;
pub mod completions;
pub mod doctor;
pub mod export;
pub mod get;
pub mod healthcheck;
pub mod ls;
pub mod man;
pub mod migrate;
pub mod ops;
pub mod outcomes;
pub mod put;
pub mod retry;
pub mod simulate;
pub mod sum;
pub mod user;
pub mod verify;
pub mod watch;
