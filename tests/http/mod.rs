//! What holds for every address: methods, refusals, headers, and clients that are none.

pub mod addresses;
pub mod bad_requests;
pub mod headers;
pub mod slow;
