//! The kinds of tasks, each with its own addresses.

pub mod md5;
pub mod message;
pub mod table;
