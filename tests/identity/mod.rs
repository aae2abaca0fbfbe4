//! Users and their rights: registration, log-ins, API keys, access.

pub mod access;
pub mod keys;
pub mod sessions;
pub mod users;
