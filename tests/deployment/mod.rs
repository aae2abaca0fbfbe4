//! The files of the deployment.

pub mod compose;
pub mod haproxy;
pub mod monitoring;
pub mod units;
