//! Rules of every address: methods, problems, headers, and malformed clients.

pub mod addresses;
pub mod bad_requests;
pub mod headers;
pub mod slow;
