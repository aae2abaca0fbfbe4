//! Why a figure could not be had.

use std::io;

/// What is told at the end, in one line.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file, a process or a connection.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    /// A request whose answer did not come whole.
    #[error("no whole answer: {0}")]
    Http(#[from] reqwest::Error),
    /// Something else than what is measured.
    #[error("{0}")]
    Unexpected(String),
}

/// Says what an error of the system's was about.
pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    |source| BenchError::Io { what: what.into(), source }
}
