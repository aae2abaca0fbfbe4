//! Users and their rights: registration, sessions, tokens and API keys.

pub mod access;
pub mod accounts;
pub mod api_keys;
pub mod audit;
pub mod auth;
mod hs256;
pub mod key;
pub mod quotas;
pub mod secret;
pub mod session;
pub mod throttle;
pub mod token;
pub mod users;
