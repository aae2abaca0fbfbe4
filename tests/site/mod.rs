//! The pages and the API's description, as they are served.

pub mod client;
pub mod openapi;
pub mod pages;
