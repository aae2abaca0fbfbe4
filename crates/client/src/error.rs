//! Errors of the client, each with a message of one line.

use std::io;
use std::time::Duration;

use program::{Backoff, without_numbers};
use reqwest::StatusCode;

/// A wrong setting; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The address can't be a server's: its setting, and why.
    #[error("{0}: expected an address such as http://127.0.0.1:9000 or https://hasher.example: {1}")]
    Url(&'static str, String),
    /// The system has no root certificates to verify a TLS server with.
    #[error("{0}: {1}")]
    Tls(&'static str, String),
    /// The key's setting is wrong; the text names it.
    #[error("{0}")]
    Token(String),
}

/// A reason why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file can't be read. Nothing was handed in.
    #[error("{}", without_numbers(&.0.to_string()))]
    Read(#[source] io::Error),
    /// A pipe or device was cut short in the middle: the bytes read from it are gone.
    #[error("the upload was cut short, and only a regular file can be sent twice")]
    ReadOnce,
    /// The server is not trusted, or does not speak TLS. A retry does not help.
    #[error("no TLS with {server}: {advice}")]
    Tls {
        /// The server, as messages name it.
        server: String,
        /// The cause, and the remedy.
        advice: String,
    },
    /// The connection failed or broke. A retry may help.
    #[error("no answer from {server}: {}", root_cause(.source))]
    Lost {
        /// The server, as messages name it.
        server: String,
        /// The error of HTTP.
        #[source]
        source: reqwest::Error,
    },
    /// The connection stands, but nothing has moved on it for too long.
    #[error("no answer from {server}: nothing moves any more")]
    Silent {
        /// The server, as messages name it.
        server: String,
    },
    /// The server can't do it now, and asks for a retry later.
    #[error("{reason}")]
    Busy {
        /// The server's words.
        reason: String,
        /// The pause that it asks for.
        retry_after: Option<Duration>,
    },
    /// The failure did not pass within the time for retries.
    #[error("given up after a minute: {0}")]
    GivenUp(#[source] Box<Self>),
    /// The server rejects anonymous requests, or this key.
    #[error("{}", unauthenticated(*.has_token))]
    Unauthenticated {
        /// Whether the request brought a key.
        has_token: bool,
    },
    /// The user lacks the right to do this.
    #[error("{0}")]
    Forbidden(String),
    /// The server rejected the request, in its words.
    #[error("{0}")]
    Refused(String),
    /// The idempotency key stands for another content, in the server's words.
    #[error("{0}")]
    OtherContent(String),
    /// The task does not exist, or belongs to another owner.
    #[error("the task does not exist")]
    UnknownTask,
    /// The task has ended, in the server's words.
    #[error("it can't be cancelled any more: {0}")]
    Ended(String),
    /// The record was deleted, as old ones are.
    #[error("the record was deleted")]
    ExpiredRecord,
    /// The record does not exist.
    #[error("the record does not exist")]
    UnknownRecord,
    /// The text is not the id of a task.
    #[error("ID: expected a task id such as 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d, got {0:?}")]
    NotAnId(String),
    /// Another program's answer, most likely.
    #[error("{server} answered {status}, and not as Coatcheck does: is this its address?")]
    Foreign {
        /// The server, as messages name it.
        server: String,
        /// The status that it answered.
        status: StatusCode,
    },
    /// The task ended without a digest; the text says why.
    #[error("{0}")]
    Failed(String),
}

impl ClientError {
    /// Returns whether the same request may succeed later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Silent { .. } | Self::Busy { .. })
    }

    /// Returns whether only another setting of the client can help: its key, or what it trusts.
    pub const fn needs_a_setting(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::Unauthenticated { .. } | Self::Forbidden(_))
    }

    /// Returns the exit status of a command that ends with this error.
    pub const fn status(&self) -> u8 {
        match self {
            Self::GivenUp(error) => error.status(),
            Self::NotAnId(_) => 2,
            Self::Lost { .. } | Self::Silent { .. } | Self::Tls { .. } => 3,
            Self::Unauthenticated { .. } | Self::Forbidden(_) => 4,
            _ => 1,
        }
    }

    /// Returns whether the server has answered.
    pub const fn is_answer(&self) -> bool {
        !matches!(self, Self::Lost { .. } | Self::Silent { .. })
    }

    /// Returns the pause after failure number `failures` in a row, counted from 0, for a request that is retried without end.
    pub fn pause(&self, failures: u32) -> Duration {
        let asked = match self {
            Self::Busy { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Backoff::SERVER.delay(failures).max(asked)
    }
}

/// Returns the advice for a server that requires an API key: its own words are for users who can log in there.
const fn unauthenticated(has_token: bool) -> &'static str {
    match has_token {
        true => {
            "the server does not know the API key (of COATCHECK_TOKEN or of the file that was named), or it was revoked: make another with \
             POST /api/v1/keys, or leave the key out if the server needs none"
        }
        false => {
            "the server requires an API key: set COATCHECK_TOKEN to one, or name its file with --coatcheck-token-file; POST /api/v1/keys makes one"
        }
    }
}

/// Returns the innermost cause, which says most: "Connection refused", below four layers of "error sending request".
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    without_numbers(&cause.to_string())
}

/// Puts foreign text on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split(program::acts_on_terminal).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
