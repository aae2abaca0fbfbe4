//! The kinds of tasks, each with its own addresses.

pub mod md5;
