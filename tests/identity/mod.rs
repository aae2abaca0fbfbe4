//! Who asks, and with which rights: users, log-ins, keys, access.

pub mod access;
pub mod keys;
pub mod sessions;
pub mod users;
