//! Tasks: found, waited for and followed; messages, tables and the outcome log.

pub mod bulk;
pub mod events;
pub mod listing;
pub mod log;
pub mod messages;
pub mod newer;
pub mod outcomes;
pub mod retention;
pub mod services;
pub mod tables;
pub mod waiting;
