//! The deployment that a process belongs to, which names its queues, channels and keys on servers that deployments share.

use std::fmt;
use std::sync::Arc;

/// The id of a deployment: 12 hexadecimal digits, which its database drew at random when its schema was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment(pub Arc<str>);

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
