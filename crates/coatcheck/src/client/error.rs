//! What can go wrong on the way, each in words of one line.

use std::io;
use std::time::Duration;

use program::{Backoff, without_numbers};
use reqwest::StatusCode;

/// A setting is at fault; nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    #[error("{0}: expected an address such as http://127.0.0.1:9000 or https://hasher.example: {1}")]
    Url(&'static str, String),
    /// There is nothing to know a server over TLS by.
    #[error("{0}: {1}")]
    Tls(&'static str, String),
    /// In words that name it.
    #[error("{0}")]
    Token(String),
}

impl SettingError {
    /// Names the setting that the server's address came from.
    pub fn of(self, setting: &'static str) -> Self {
        match self {
            Self::Url(_, reason) => Self::Url(setting, reason),
            Self::Tls(_, reason) => Self::Tls(setting, reason),
            Self::Token(reason) => Self::Token(reason),
        }
    }
}

/// Why the server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file can't be read. Nothing was handed in.
    #[error("{}", without_numbers(&.0.to_string()))]
    Read(#[source] io::Error),
    /// A pipe or device was cut short in the middle: what was read from it is gone.
    #[error("the upload was cut short, and only a regular file can be sent twice")]
    ReadOnce,
    /// Whoever answers is not trusted, or speaks no TLS. Does not pass by itself.
    #[error("no TLS with {server}: {advice}")]
    Tls { server: String, advice: String },
    /// No connection, or it broke. Passes, perhaps.
    #[error("no answer from {server}: {}", root_cause(.source))]
    Lost {
        server: String,
        #[source]
        source: reqwest::Error,
    },
    /// The connection stands, but nothing has moved on it for longer than patience lasts.
    #[error("no answer from {server}: nothing moves any more")]
    Silent { server: String },
    /// The server can't do it now, and asks for another try later.
    #[error("{reason}")]
    Busy { reason: String, retry_after: Option<Duration> },
    /// It did not pass for as long as patience lasts.
    #[error("given up after a minute: {0}")]
    GivenUp(#[source] Box<Self>),
    /// The server takes no anonymous requests, or not this key.
    #[error("{}", unauthenticated(*.has_token))]
    Unauthenticated { has_token: bool },
    /// The server knows the user, who may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The server refuses, in its words.
    #[error("{0}")]
    Refused(String),
    #[error("the task does not exist")]
    UnknownTask,
    #[error("the record does not exist")]
    UnknownRecord,
    #[error("ID: expected a task id such as 0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d, got {0:?}")]
    NotAnId(String),
    /// Someone else's answer, most likely.
    #[error("{server} answered {status}, and not as Coatcheck does: is this its address?")]
    Foreign { server: String, status: StatusCode },
    /// The task ended without a digest; why.
    #[error("{0}")]
    Failed(String),
}

impl ClientError {
    /// Whether the same request may succeed later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Silent { .. } | Self::Busy { .. })
    }

    /// The exit status of a command that ends with it.
    pub const fn status(&self) -> u8 {
        match self {
            Self::GivenUp(error) => error.status(),
            Self::NotAnId(_) => 2,
            Self::Lost { .. } | Self::Silent { .. } | Self::Tls { .. } => 3,
            Self::Unauthenticated { .. } | Self::Forbidden(_) => 4,
            _ => 1,
        }
    }

    /// Whether the server is there: it has answered.
    pub const fn is_answer(&self) -> bool {
        !matches!(self, Self::Lost { .. } | Self::Silent { .. })
    }

    /// How long to pause after so many failures in a row, of which the first is number 0, if it is tried until it succeeds.
    pub fn pause(&self, failures: u32) -> Duration {
        let asked = match self {
            Self::Busy { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        Backoff::SERVER.delay(failures).max(asked)
    }
}

/// What to do where the server wants an API key: its own words are for those who can log in there.
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

/// What lies at the bottom says most: "Connection refused", below four layers of "error sending request".
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    without_numbers(&cause.to_string())
}

/// For words that aren't ours.
pub(super) fn one_line(text: &str) -> String {
    text.split(program::acts_on_terminal).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
