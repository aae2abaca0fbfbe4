//! The pages in a browser, as a person sees them.

pub mod access;
pub mod messages;
pub mod operate;
pub mod page;
pub mod records;
pub mod tables;
