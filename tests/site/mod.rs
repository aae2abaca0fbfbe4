//! The pages and the API's description, as they are served.

pub mod openapi;
pub mod pages;
