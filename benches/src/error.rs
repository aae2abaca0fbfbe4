//! Why a figure could not be measured.

use std::io;

/// An error that is printed at the end, in one line.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An error of a file, a process or a connection.
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    /// An answer that did not arrive whole.
    #[error("expected a whole answer: {0}")]
    Http(#[from] reqwest::Error),
    /// Anything else than the measured case.
    #[error("{0}")]
    Unexpected(String),
}

/// Adds to an error of the system what it was about.
pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
    |source| BenchError::Io { what: what.into(), source }
}
