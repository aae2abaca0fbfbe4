//! Users and their rights: registration, log-ins, API keys, access, the audit.

pub mod access;
pub mod audit;
pub mod keys;
pub mod sessions;
pub mod users;
