//! Errors: one table of codes, in the form of RFC 9457 (`application/problem+json`).

use std::error::Error;
use std::fmt;
use std::time::Duration;

use actix_web::error::JsonPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::error::Category;
use utoipa::ToSchema;

/// The error, as a stable code for programs
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    IncompleteBody,
    InvalidIdempotencyKey,
    InvalidJson,
    NotFound,
    MethodNotAllowed,
    BodyTooLarge,
    InvalidBody,
    InvalidControl,
    TooManyRequests,
    ToldToFail,
}

impl Code {
    /// Returns the status, the code's name, and a sentence for people.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::IncompleteBody => (S::BAD_REQUEST, "incomplete-body", "The body was cut short."),
            Self::InvalidIdempotencyKey => (
                S::BAD_REQUEST,
                "invalid-idempotency-key",
                "Idempotency-Key: expected 1 to 255 visible ASCII characters.",
            ),
            Self::InvalidJson => (S::BAD_REQUEST, "invalid-json", "The body is not JSON."),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is nothing at this address."),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "This address doesn't accept this method.")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body-too-large", "A body is at most 1 MiB."),
            Self::InvalidBody => {
                (S::UNPROCESSABLE_ENTITY, "invalid-body", "The body's fields are not those expected here.")
            }
            Self::InvalidControl => {
                (S::UNPROCESSABLE_ENTITY, "invalid-control", "This change of behaviour is not possible.")
            }
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too-many-requests", "All requests of this period are used up.")
            }
            Self::ToldToFail => {
                (S::INTERNAL_SERVER_ERROR, "told-to-fail", "The provider was told to fail this request.")
            }
        }
    }

    /// Returns the error with a sentence on this case.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.into() }
    }
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    allow: Option<&'static str>,
    retry_after: Option<u64>,
}

impl Problem {
    /// Creates the error of a method that the address doesn't accept; `allow` names the accepted ones.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Code::MethodNotAllowed.because(format!("Expected {allow}.")) }
    }

    /// Creates the error of a request during a block, which lasts that much longer.
    pub fn blocked_for(wait: Duration) -> Self {
        let seconds = whole_seconds(wait);
        let detail = format!("Requests are accepted again in {seconds} s.");
        Self { retry_after: Some(seconds), ..Code::TooManyRequests.because(detail) }
    }
}

/// Returns the seconds after which the block is over: rounded up, and at least 1.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self { code, detail: None, allow: None, retry_after: None }
    }
}

impl From<JsonPayloadError> for Problem {
    fn from(error: JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => {
                Code::BodyTooLarge.into()
            }
            JsonPayloadError::Deserialize(error) if error.classify() == Category::Data => {
                Code::InvalidBody.because(error.to_string())
            }
            JsonPayloadError::Deserialize(error) => Code::InvalidJson.because(error.to_string()),
            _ => Code::IncompleteBody.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.parts().1)
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.parts().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, name, title) = self.code.parts();
        let mut response = HttpResponse::build(status);
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(allow) = self.allow {
            response.insert_header((ALLOW, allow));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        response.json(ProblemView {
            r#type: format!("urn:provider:problem:{name}"),
            title,
            status: status.as_u16(),
            code: self.code,
            detail: self.detail.as_deref(),
        })
    }
}

/// An error in JSON (RFC 9457)
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView<'a> {
    /// The type of the problem, as a URI
    #[schema(example = "urn:provider:problem:too-many-requests")]
    r#type: String,
    /// The meaning, for people
    #[schema(example = "All requests of this period are used up.")]
    title: &'static str,
    /// The HTTP status
    #[schema(example = 429)]
    status: u16,
    code: Code,
    /// Details of this case
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Requests are accepted again in 42 s.")]
    detail: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_never_too_few() {
        for (milliseconds, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (59_999, 60), (60_000, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds);
        }
    }

    #[test]
    fn a_code_is_the_same_word_everywhere() {
        for code in [Code::InvalidJson, Code::MethodNotAllowed, Code::TooManyRequests, Code::ToldToFail] {
            assert_eq!(serde_json::json!(code), code.parts().1);
        }
    }
}
