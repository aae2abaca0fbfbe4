//! Who asks, and what he may: users, log-ins, keys, access.

pub mod access;
pub mod keys;
pub mod sessions;
pub mod users;
