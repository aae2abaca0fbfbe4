//! Problems: one table of codes, one form (RFC 9457, `application/problem+json`).
//!
//! The client sees the table's text and words written for the case, never the text of an inner error.

mod code;
mod json;
mod openapi;

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use access_log::record::RecordId;
use accounts::password::PasswordError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, ResponseError};
use program::Repeated;
use task_data::ReadError;
use task_data::blobs::BlobError;
use task_data::error::Refusal;
use task_data::kinds::table::check::Errors;
use task_data::store::{Place, StoreError};
use tracing::{error, warn};
use uuid::Uuid;

pub use self::code::Code;
pub use self::json::ProblemView;
pub use self::openapi::responses;
use crate::http::{json as text, request_id};

/// Causes with which requests fail, for the log: a server that is down fails all requests.
static REPEATED: LazyLock<Repeated> = LazyLock::new(Repeated::default);

/// The media type of every problem.
const PROBLEM_JSON: &str = "application/problem+json";

/// A problem on its way to the client.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    allow: Option<String>,
    /// The seconds after which the same request may succeed.
    retry_after: Option<u32>,
    /// The errors in a table.
    errors: Option<Errors>,
    /// The oldest that is kept of what was deleted in part; boxed, because each result has room for a problem.
    oldest: Option<Box<Oldest>>,
    request_id: Option<Uuid>,
}

/// The oldest of what is kept.
#[derive(Debug)]
enum Oldest {
    /// The cursor before the oldest outcome.
    Outcome(Place),
    /// The oldest record.
    Record(RecordId),
}

impl fmt::Display for Oldest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome(place) => place.fmt(f),
            Self::Record(id) => id.fmt(f),
        }
    }
}

impl Problem {
    /// Returns the problem of an invalid table, with the place of each error.
    pub fn invalid_table(errors: Errors) -> Self {
        Self { errors: Some(errors), ..Code::InvalidTable.into() }
    }

    /// Returns the problem of a cursor after which outcomes were deleted; `oldest` is the one to go on with.
    pub fn outcome_expired(oldest: Place) -> Self {
        let detail = format!("Go on after `{oldest}`.");
        Self { oldest: Some(Box::new(Oldest::Outcome(oldest))), ..Code::OutcomeExpired.because(detail) }
    }

    /// Returns the problem of a record that is not there, where old ones were deleted; `oldest` is the first of those that are kept.
    pub fn record_expired(oldest: Option<RecordId>) -> Self {
        let detail = match oldest {
            Some(oldest) => format!("The oldest that is kept is `{oldest}`."),
            None => "All have been deleted.".to_owned(),
        };
        let oldest = oldest.map(|oldest| Box::new(Oldest::Record(oldest)));
        Self { oldest, ..Code::RecordExpired.because(detail) }
    }

    /// Returns the problem of a method that the address doesn't take; `allow` lists the methods that it takes.
    pub fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("It takes {allow}.");
        Self { allow: Some(allow.to_owned()), ..Code::MethodNotAllowed.because(detail) }
    }

    /// Returns the problem of too many requests; the next is accepted after `pause`.
    pub fn too_many(pause: Duration) -> Self {
        let seconds = u32::try_from(pause.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Self { retry_after: Some(seconds), ..Code::TooManyRequests.into() }
    }

    /// Returns the title and the detail, for people.
    pub fn words(&self) -> String {
        let title = self.code.title();
        self.detail.as_ref().map_or_else(|| title.to_owned(), |detail| format!("{title} {detail}"))
    }

    /// Returns whether the problem has this code.
    pub fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// Adds a sentence on this very case.
    pub fn adding(self, sentence: &str) -> Self {
        let detail = self.detail.map_or(sentence.to_owned(), |detail| format!("{detail} {sentence}"));
        Self { detail: Some(detail), ..self }
    }

    /// Returns the problem of an internal failure. Logs it here, once; the client is not told its cause.
    pub fn internal(cause: &dyn Error) -> Self {
        if let Some(line) = REPEATED.line(&format!("a request failed: {}", chain(cause))) {
            error!("{line}");
        }
        Code::Internal.into()
    }

    /// Returns the problem of a failure, which may pass, of a server that Coatcheck depends on.
    fn passing(code: Code, cause: &dyn Error) -> Self {
        if let Some(line) = REPEATED.line(&format!("a request was refused: {}", chain(cause))) {
            warn!("{line}");
        }
        code.into()
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        let retry_after = code.retry_after();
        let request_id = request_id::id();
        Self { code, detail: None, allow: None, retry_after, errors: None, oldest: None, request_id }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Unknown(_) => {
                Self::passing(Code::DatabaseUnavailable, &error)
            }
            StoreError::Refused(_) | StoreError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Expired(oldest) => Self::outcome_expired(oldest),
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<access_log::ReadError> for Problem {
    fn from(error: access_log::ReadError) -> Self {
        match error {
            access_log::ReadError::Unknown => Code::RecordNotFound.into(),
            access_log::ReadError::Expired(oldest) => Self::record_expired(oldest),
            access_log::ReadError::Store(error) => error.into(),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Full(_) => Self::passing(Code::InsufficientStorage, &error),
            BlobError::Busy(_) => Self::passing(Code::Overloaded, &error),
            BlobError::Missing | BlobError::Io(_) => Self::internal(&error),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::passing(Code::Overloaded, &error),
            PasswordError::Hash(_) | PasswordError::Lost(_) => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Store(error) => error.into(),
            Refusal::Blob(error) => error.into(),
            Refusal::KeyMismatch => Code::IdempotencyMismatch.into(),
            Refusal::Stopped(error) => Self::passing(Code::DatabaseUnavailable, &error),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.word())
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response
            .insert_header((CONTENT_TYPE, PROBLEM_JSON))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(id) = self.request_id {
            response.insert_header((request_id::ID_HEADER, id.to_string()));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((ALLOW, allow.as_str()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        let (detail, errors) = (self.detail.as_deref(), self.errors.as_ref());
        let oldest = self.oldest.as_ref().map(ToString::to_string);
        let oldest = oldest.as_deref();
        response.body(text::line(&ProblemView::new(self.code, detail, errors, oldest, self.request_id)))
    }
}

/// Returns an error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_database_that_is_away_is_no_failure_of_ours_and_its_words_stay_inside() {
        let cause = std::sync::Arc::new(std::io::Error::other("SELECT secret"));

        let response = Problem::from(StoreError::Unavailable(cause)).error_response();

        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "1");
        let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "database-unavailable");
        assert!(!body.to_string().contains("secret"));
    }
}
