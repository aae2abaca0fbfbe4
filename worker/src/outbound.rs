//! Requests to outside services: bounded in time and size, to addresses that the settings name, and told by what is
//! known of them afterwards.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use task_data::metrics;
use tokio::time::Instant;

/// Bound on a request, from its first byte to the last of its reply.
pub const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(2);
/// Bytes of a reply at most.
const MAX_REPLY: usize = 1 << 20;
/// Levels of JSON in a reply at most: it is kept, and must be readable again.
const MAX_DEPTH: usize = 100;

/// Sends requests. A clone has the same connections.
#[derive(Clone)]
pub struct Outbound {
    client: Client,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It was done; this is the reply.
    Done(Value),
    /// Not now, it says, and perhaps for how long.
    NotNow {
        /// From now on.
        retry_after: Option<Duration>,
    },
    /// Not this, whenever it is sent.
    Never(StatusCode),
    /// It never reached the service.
    Unsent,
    /// It may have been done: it broke off, or failed there, or the reply can't be read. For people, which.
    Unknown(String),
}

impl Reply {
    fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::NotNow { .. } => "refused",
            Self::Never(_) => "rejected",
            Self::Unsent => "unsent",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Outbound {
    /// # Errors
    /// If the system's TLS can't be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        // A redirect is the service's wish, not that of the settings: it is not followed.
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(CALL)
            .user_agent(concat!("coatcheck/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client })
    }

    /// Posts JSON; `key` tells the service when it gets the same thing again.
    pub async fn post(&self, service: &'static str, url: &Url, key: &str, body: &Value) -> Reply {
        let begun = Instant::now();
        let reply = match self.ask(url, key, body).await {
            Ok(answer) => answer.into(),
            Err(NoAnswer::Unsent) => Reply::Unsent,
            Err(NoAnswer::Broken(why)) => Reply::Unknown(why.to_owned()),
        };
        metrics::provider_called(service, reply.name(), begun.elapsed());
        reply
    }

    /// Posts JSON as [`post`](Self::post) does, for the answer as it is.
    pub async fn ask(&self, url: &Url, key: &str, body: &Value) -> Result<Answer, NoAnswer> {
        let request = self.client.post(url.clone()).header("Idempotency-Key", key).json(body);
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => NoAnswer::Unsent,
            false => NoAnswer::Broken(why(&error)),
        })?;
        read(response).await.map_err(|error| NoAnswer::Broken(why(&error)))
    }
}

/// What a service has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of HTTP.
    pub status: StatusCode,
    /// For how long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// `None` if it is larger than what is read, or that of a refusal broke off.
    pub body: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The request never reached the service.
    Unsent,
    /// It may have been done. For people, what went wrong.
    Broken(&'static str),
}

async fn read(mut response: Response) -> reqwest::Result<Answer> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= MAX_REPLY => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(Answer { status, retry_after, body: Some(bytes) }),
            // What a refusal is does not depend on its text.
            Err(error) if status.is_success() => return Err(error),
            Ok(Some(_)) | Err(_) => return Ok(Answer { status, retry_after, body: None }),
        }
    }
}

impl Answer {
    /// The body, if it is JSON that can be kept.
    pub fn json(&self) -> Option<Value> {
        let value = serde_json::from_slice(self.body.as_deref()?).ok()?;
        can_be_kept(&value, MAX_DEPTH).then_some(value)
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS => Self::NotNow { retry_after: answer.retry_after },
            status if status.is_success() => match answer.json() {
                Some(reply) => Self::Done(reply),
                None if answer.body.is_none() => Self::Unknown("its reply is too large".to_owned()),
                None => Self::Unknown("its reply is no JSON that can be kept".to_owned()),
            },
            status if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
                Self::Never(status)
            }
            status => Self::Unknown(format!("it answered with {}", status.as_u16())),
        }
    }
}

/// No URL, which may hold a password.
fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "it did not answer in time" } else { "the connection broke off" }
}

/// Databases take no NUL in JSON, and what is nested too deeply could not be read back.
fn can_be_kept(value: &Value, levels: usize) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => levels > 0 && items.iter().all(|item| can_be_kept(item, levels - 1)),
        Value::Object(fields) => {
            levels > 0
                && fields.iter().all(|(name, field)| !name.contains('\0') && can_be_kept(field, levels - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
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
}
