//! Requests to outside services, at addresses that the settings name: bounded in time and size, with an outcome that says whether the
//! request may have been done.

mod body;
mod status;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use program::{Repeated, retry_after, tls};
use reqwest::header::ACCEPT_ENCODING;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Number, Value};
use task_data::metrics;
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::status::Meaning;
use self::status::meaning;
use crate::Failure;

/// The time-out of a request, from its first byte to the last of its reply.
pub const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
/// The most bytes of a reply that is kept with its row of a table, both as received and unpacked.
const MAX_REPLY: usize = 1 << 20;
/// The most bytes of a reply that is the result of a task: tasks are looked up and listed many at a time.
const MAX_RESULT: usize = 256 << 10;
/// The most levels of JSON in a reply: it is kept, and must be readable again.
const MAX_DEPTH: usize = 100;
/// The most characters of a number in a reply, and its largest exponent. PostgreSQL accepts over a hundred thousand digits, not more.
const MAX_DIGITS: usize = 1000;
const MAX_EXPONENT: i32 = 308;

/// Sends requests. A clone shares the connections.
#[derive(Clone)]
pub struct Outbound {
    client: Client,
    /// The services that can't be used now, so that each is logged once.
    away: Arc<Mutex<HashSet<&'static str>>>,
    /// The repeated log line about services that TLS fails with.
    untrusted: Arc<Repeated>,
}

/// A request to a service.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Lets the service detect a repetition.
    pub key: &'a str,
    /// Whether the service may have received the request before.
    pub is_repeat: bool,
    /// The JSON to send.
    pub body: &'a Value,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The service has done it; this is the reply.
    Done(Value),
    /// The service does not accept it now.
    NotNow {
        /// The pause that the service asks for, from now on.
        retry_after: Option<Duration>,
    },
    /// The service will never accept it.
    Never(StatusCode),
    /// The request never reached the service.
    Unsent,
    /// The request may have been done: it broke off or failed there, or the reply can't be read.
    Unknown {
        /// The reason, for people.
        why: String,
        /// The pause that the service asks for.
        retry_after: Option<Duration>,
    },
}

impl Reply {
    fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::NotNow { .. } => "refused",
            Self::Never(_) => "rejected",
            Self::Unsent => "unsent",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl Outbound {
    /// Creates a client. `needs_tls` says whether a service has an `https` URL.
    ///
    /// # Errors
    /// If TLS is needed and no certificate authorities are known.
    pub fn new(needs_tls: bool) -> Result<Self, Failure> {
        // A redirect leads to an address that the settings don't name: it is not followed.
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .tls_backend_preconfigured(tls::of_http_client(needs_tls).map_err(Failure::Tls)?)
            .user_agent(concat!("coatcheck/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, away: Arc::default(), untrusted: Arc::default() })
    }

    /// Posts JSON and returns the outcome.
    pub async fn post(&self, service: &'static str, url: &Url, request: Request<'_>) -> Reply {
        let begun = Instant::now();
        let reply = match self.ask_for(url, request, MAX_RESULT).await {
            Ok(answer) => {
                self.is_back(service);
                answer.into()
            }
            Err(NoAnswer::Unsent) => {
                self.is_away(service, "it can't be reached");
                Reply::Unsent
            }
            Err(NoAnswer::Broken(why)) => Reply::Unknown { why: why.to_owned(), retry_after: None },
        };
        metrics::provider_called(service, reply.name(), begun.elapsed());
        reply
    }

    /// Posts JSON as [`post`](Self::post) does, and returns the answer itself.
    pub async fn ask(&self, url: &Url, request: Request<'_>) -> Result<Answer, NoAnswer> {
        self.ask_for(url, request, MAX_REPLY).await
    }

    async fn ask_for(&self, url: &Url, request: Request<'_>, most: usize) -> Result<Answer, NoAnswer> {
        let Request { key, is_repeat, body } = request;
        let request = self.client.post(url.clone()).header("Idempotency-Key", key).json(body);
        // Without this header, the service could use any coding.
        let response = request.header(ACCEPT_ENCODING, "identity").send().await.map_err(|error| {
            if let Some(advice) = tls::advice(&error)
                && let Some(line) = self.untrusted.line(&format!("no TLS with {}: {advice}", host(url)))
            {
                warn!("{line}");
            }
            match error.is_connect() {
                true => NoAnswer::Unsent,
                false => NoAnswer::Broken(why(&error)),
            }
        })?;
        read(response, is_repeat, most).await.map_err(|error| NoAnswer::Broken(why(&error)))
    }

    /// Logs that a service can't be used, once until it [is back](Self::is_back).
    pub fn is_away(&self, service: &'static str, why: &str) {
        if self.away.lock().insert(service) {
            warn!(service, "{service} is away: {why}; tasks that need it wait");
        }
    }

    /// Logs that a service can be used again, if it was away.
    pub fn is_back(&self, service: &'static str) {
        if self.away.lock().remove(service) {
            info!(service, "{service} is back");
        }
    }
}

/// An answer of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The meaning of the status for the request.
    pub meaning: Meaning,
    /// The pause that the service asks for.
    pub retry_after: Option<Duration>,
    /// The body in UTF-8, if it is in the charset that it declares. `None` if it is larger than the bound or in an unknown coding, or if a
    /// refusal's body broke off.
    pub body: Option<Vec<u8>>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The request never reached the service.
    Unsent,
    /// The request may have been done. The reason, for people.
    Broken(&'static str),
}

async fn read(mut response: Response, is_repeat: bool, most: usize) -> reqwest::Result<Answer> {
    let status = response.status();
    let meaning = meaning(status, is_repeat);
    let headers = std::mem::take(response.headers_mut());
    let retry_after = retry_after::read(|name| headers.get(name)?.to_str().ok());
    let body = match bytes(response, most).await {
        Ok(bytes) => bytes.and_then(|bytes| body::decoded(bytes, &headers, most)),
        Err(error) if meaning == Meaning::Done => return Err(error),
        // The meaning of a refusal does not depend on its text.
        Err(_) => None,
    };
    Ok(Answer { status, meaning, retry_after, body })
}

/// Returns the body as it was received; `None` if it is too large.
async fn bytes(mut response: Response, most: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

impl Answer {
    /// Returns the body, if it is JSON that can be kept.
    pub fn json(&self) -> Option<Value> {
        let value = serde_json::from_slice(self.body.as_deref()?).ok()?;
        can_be_kept(&value, MAX_DEPTH).then_some(value)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let Answer { status, meaning, retry_after, .. } = answer;
        match meaning {
            Meaning::Done => match answer.json() {
                Some(reply) => Self::Done(reply),
                None => {
                    let why = match answer.body {
                        Some(_) => "its reply is not JSON that can be kept",
                        None => "its reply is too large or can't be unpacked",
                    };
                    Self::Unknown { why: why.to_owned(), retry_after }
                }
            },
            Meaning::MayPass(_) if status == StatusCode::TOO_MANY_REQUESTS => Self::NotNow { retry_after },
            Meaning::MayPass(why) => {
                // An earlier request in progress there gets as long as a call may take.
                let is_under_way = matches!(status, StatusCode::CONFLICT | StatusCode::LOCKED);
                let retry_after = retry_after.or(is_under_way.then_some(CALL));
                Self::Unknown { why: format!("{why} (status {})", status.as_u16()), retry_after }
            }
            Meaning::Never(_) => Self::Never(status),
        }
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// Returns the reason without the URL, which may contain a password.
fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "it did not answer in time" } else { "the connection broke off" }
}

/// Returns whether databases can keep the JSON: without U+0000, and nested no deeper than can be read back.
fn can_be_kept(value: &Value, levels: usize) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => levels > 0 && items.iter().all(|item| can_be_kept(item, levels - 1)),
        Value::Object(fields) => {
            levels > 0
                && fields.iter().all(|(name, field)| !name.contains('\0') && can_be_kept(field, levels - 1))
        }
        Value::Number(number) => is_within_bounds(number),
        Value::Null | Value::Bool(_) => true,
    }
}

/// Returns whether a number, which is kept as it was written, is within the bounds of databases.
fn is_within_bounds(number: &Number) -> bool {
    let text = number.as_str();
    let exponent = text.split_once(['e', 'E']).map_or(Some(0), |(_, exponent)| exponent.parse::<i32>().ok());
    text.len() <= MAX_DIGITS && exponent.is_some_and(|exponent| exponent.abs() <= MAX_EXPONENT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_databases_refuse_is_no_reply() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));

        assert!(can_be_kept(&json!({"a": ["b", 1, null]}), MAX_DEPTH));
        assert!(
            can_be_kept(&nested(MAX_DEPTH), MAX_DEPTH) && !can_be_kept(&nested(MAX_DEPTH + 1), MAX_DEPTH)
        );
        for with_nul in [json!("\0"), json!({"a": ["\0"]}), json!({"\0": 1})] {
            assert!(!can_be_kept(&with_nul, MAX_DEPTH), "{with_nul}");
        }
    }

    #[test]
    fn numbers_are_kept_as_they_are_written_within_bounds() {
        for number in ["123456789012345678901234567890", "-0.10", "1.50e+3", &"9".repeat(MAX_DIGITS)] {
            let value: Value = serde_json::from_str(number).unwrap();
            assert!(can_be_kept(&value, MAX_DEPTH), "{number}");
            assert_eq!(value.to_string(), number);
        }
        for number in [&"9".repeat(MAX_DIGITS + 1), "1e309", "1e-309", "1e99999999999999999999"] {
            let value: Value = serde_json::from_str(number).unwrap();
            assert!(!can_be_kept(&value, MAX_DEPTH), "{number}");
        }
    }
}
