//! Refusals: one table of codes, one form (RFC 9457, `application/problem+json`).
//!
//! What a client sees is made of the table and of words written for it; no inner error's text ever gets here.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use accounts::password::PasswordError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, ResponseError};
use program::Repeated;
use serde::Serialize;
use serde_json::{Value, json};
use task_data::blobs::BlobError;
use task_data::error::Refusal;
use task_data::kinds::table::check::{CellError, Column, Errors};
use task_data::store::StoreError;
use tracing::{error, warn};
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use uuid::Uuid;

use crate::http::{json as text, request_id};

/// What requests fail with: a server that is away fails all of them.
static REPEATED: LazyLock<Repeated> = LazyLock::new(Repeated::default);

/// The media type of every refusal.
const PROBLEM_JSON: &str = "application/problem+json";

/// What was wrong, as a stable word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    IncompleteUpload,
    InvalidDigest,
    InvalidId,
    InvalidIdempotencyKey,
    InvalidJson,
    InvalidMultipart,
    InvalidParameter,
    InvalidRequest,
    MissingFile,
    MultipleFiles,
    PartialUpload,
    InvalidCredentials,
    Unauthenticated,
    Forbidden,
    PaidNotAllowed,
    NotFound,
    KeyNotFound,
    RecordNotFound,
    TaskNotFound,
    MethodNotAllowed,
    SlowUpload,
    TaskEnded,
    TaskNotEnded,
    NothingFailed,
    TooManyKeys,
    UsernameTaken,
    BodyTooLarge,
    UploadTooLarge,
    NotATable,
    UnsupportedMediaType,
    InvalidLog,
    IdempotencyMismatch,
    InvalidKey,
    InvalidMessage,
    InvalidTable,
    InvalidUser,
    TooManyRequests,
    HeadersTooLarge,
    Internal,
    DatabaseUnavailable,
    NewerKind,
    Overloaded,
    QueueFull,
    InsufficientStorage,
}

impl Code {
    /// Its status, its word, and a sentence for people.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::IncompleteUpload => {
                (S::BAD_REQUEST, "incomplete-upload", "The upload ended before its end was reached.")
            }
            Self::InvalidDigest => (S::BAD_REQUEST, "invalid-digest", "This is not an MD5 digest."),
            Self::InvalidId => (S::BAD_REQUEST, "invalid-id", "This is not an id."),
            Self::InvalidIdempotencyKey => (
                S::BAD_REQUEST,
                "invalid-idempotency-key",
                "An Idempotency-Key has 1 to 128 visible ASCII characters.",
            ),
            Self::InvalidJson => (S::BAD_REQUEST, "invalid-json", "The body is not JSON."),
            Self::InvalidMultipart => (S::BAD_REQUEST, "invalid-multipart", "The form is not well made."),
            Self::InvalidParameter => {
                (S::BAD_REQUEST, "invalid-parameter", "A query parameter is unknown or has a wrong value.")
            }
            Self::InvalidRequest => {
                (S::BAD_REQUEST, "invalid-request", "The request cannot be answered as it is.")
            }
            Self::MissingFile => (S::BAD_REQUEST, "missing-file", "Send one part named `file`."),
            Self::MultipleFiles => {
                (S::BAD_REQUEST, "multiple-files", "Send one part named `file`, and only one.")
            }
            Self::PartialUpload => {
                (S::BAD_REQUEST, "partial-upload", "The request has a part of the file. Send the whole file.")
            }
            Self::InvalidCredentials => {
                (S::UNAUTHORIZED, "invalid-credentials", "There is no user of this name with this password.")
            }
            Self::Unauthenticated => {
                (S::UNAUTHORIZED, "unauthenticated", "This needs a valid log-in or API key.")
            }
            Self::PaidNotAllowed => (
                S::FORBIDDEN,
                "paid-not-allowed",
                "The paid provider requires the right `paid`; log in again after it has been granted.",
            ),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "You may not do this."),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is nothing at this address."),
            Self::KeyNotFound => (S::NOT_FOUND, "key-not-found", "You have no such API key."),
            Self::RecordNotFound => (S::NOT_FOUND, "record-not-found", "There is no such record."),
            Self::TaskNotFound => (S::NOT_FOUND, "task-not-found", "There is no such task."),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "This address doesn't take this method.")
            }
            Self::SlowUpload => {
                (S::REQUEST_TIMEOUT, "slow-upload", "The upload came too slowly, or stood still.")
            }
            Self::TaskEnded => (S::CONFLICT, "task-ended", "The task has ended already."),
            Self::TaskNotEnded => (S::CONFLICT, "task-not-ended", "The task has not ended yet."),
            Self::NothingFailed => (S::CONFLICT, "nothing-failed", "No row of this table has failed."),
            Self::TooManyKeys => {
                (S::CONFLICT, "too-many-keys", "You have as many API keys as a user may have.")
            }
            Self::UsernameTaken => (S::CONFLICT, "username-taken", "Another user has this name."),
            Self::BodyTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "body-too-large", "The body is larger than what is taken here.")
            }
            Self::UploadTooLarge => {
                (S::PAYLOAD_TOO_LARGE, "upload-too-large", "The upload is larger than this server takes.")
            }
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body is not of a type that is taken here.",
            ),
            Self::NotATable => {
                (S::UNSUPPORTED_MEDIA_TYPE, "not-a-table", "The file is no text in UTF-8, and so no CSV.")
            }
            Self::InvalidLog => (
                S::IM_A_TEAPOT,
                "invalid-log",
                "This is not a line of an access log: {IP} {METHOD} {URI} {STATUS}.",
            ),
            Self::IdempotencyMismatch => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency-mismatch",
                "This Idempotency-Key was used for another content. Take a new key for it.",
            ),
            Self::InvalidKey => (S::UNPROCESSABLE_ENTITY, "invalid-key", "This can't be an API key's name."),
            Self::InvalidMessage => {
                (S::UNPROCESSABLE_ENTITY, "invalid-message", "This can't be sent as a message.")
            }
            Self::InvalidTable => {
                (S::UNPROCESSABLE_ENTITY, "invalid-table", "The file is no table of userId,title,body.")
            }
            Self::InvalidUser => {
                (S::UNPROCESSABLE_ENTITY, "invalid-user", "This can't be a user's name and password.")
            }
            Self::TooManyRequests => {
                (S::TOO_MANY_REQUESTS, "too-many-requests", "There were too many of these. Try again later.")
            }
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The request's target and headers are larger than the server takes.",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server."),
            Self::DatabaseUnavailable => {
                (S::SERVICE_UNAVAILABLE, "database-unavailable", "The database is not available. Try again.")
            }
            Self::NewerKind => (
                S::SERVICE_UNAVAILABLE,
                "newer-kind",
                "Only a newer version of the service can change this task, and this process is not of it. Try again.",
            ),
            Self::Overloaded => {
                (S::SERVICE_UNAVAILABLE, "overloaded", "The server has as much to do as it can. Try again.")
            }
            Self::QueueFull => {
                (S::SERVICE_UNAVAILABLE, "queue-full", "Too many tasks are waiting already. Try again later.")
            }
            Self::InsufficientStorage => {
                (S::INSUFFICIENT_STORAGE, "insufficient-storage", "The server is short of disk space.")
            }
        }
    }

    /// After how many seconds the same request may succeed, where that is the same in every case.
    const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::DatabaseUnavailable | Self::NewerKind => Some(1),
            Self::QueueFull => Some(10),
            _ => None,
        }
    }

    /// The code with words on this very case. They are shown to the client.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.into() }
    }
}

/// A refusal on its way to the client.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    allow: Option<String>,
    /// After how many seconds the same request may succeed.
    retry_after: Option<u32>,
    /// What is wrong with a table.
    errors: Option<Errors>,
    request_id: Option<Uuid>,
}

impl Problem {
    /// A file that is no table, and where.
    pub fn invalid_table(errors: Errors) -> Self {
        Self { errors: Some(errors), ..Code::InvalidTable.into() }
    }

    /// A method that the address doesn't take; `allow` names those that it does.
    pub fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("It takes {allow}.");
        Self { allow: Some(allow.to_owned()), ..Code::MethodNotAllowed.because(detail) }
    }

    /// Too many requests of a sort; the next may come after that time.
    pub fn too_many(pause: Duration) -> Self {
        let seconds = u32::try_from(pause.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Self { retry_after: Some(seconds), ..Code::TooManyRequests.into() }
    }

    /// Returns the title and the detail, for people.
    pub fn words(&self) -> String {
        let (_, _, title) = self.code.parts();
        self.detail.as_ref().map_or_else(|| title.to_owned(), |detail| format!("{title} {detail}"))
    }

    /// Whether it is this one.
    pub fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// With one more sentence on this very case.
    pub fn adding(self, sentence: &str) -> Self {
        let detail = self.detail.map_or(sentence.to_owned(), |detail| format!("{detail} {sentence}"));
        Self { detail: Some(detail), ..self }
    }

    /// A failure of ours. It is logged here, once, and the client is told nothing of it.
    pub fn internal(cause: &dyn Error) -> Self {
        if let Some(line) = REPEATED.line(&format!("a request failed: {}", chain(cause))) {
            error!("{line}");
        }
        Code::Internal.into()
    }

    /// A failure of a server that we depend on, which may pass.
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
        Self { code, detail: None, allow: None, retry_after, errors: None, request_id: request_id::id() }
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
        f.write_str(self.code.parts().1)
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.parts().0
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
        response.body(text::line(&ProblemView::new(self.code, detail, errors, self.request_id)))
    }
}

/// A refusal in JSON (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView<'a> {
    /// Which problem it is, as a URI
    #[schema(example = "urn:coatcheck:problem:task-not-found")]
    r#type: String,
    /// What it means, for people
    #[schema(example = "There is no such task.")]
    title: &'static str,
    /// The HTTP status
    #[schema(example = 404)]
    status: u16,
    code: Code,
    /// More on this very case
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// What is wrong with a table, the first 100
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<CellErrorView>, required = false)]
    errors: Option<Vec<CellErrorView<'a>>>,
    /// How many errors it has
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, required = false)]
    total: Option<u64>,
    /// Names the request in the server's log
    #[schema(required)]
    request_id: Option<Uuid>,
}

/// What is wrong with a cell of a table
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CellError)]
pub struct CellErrorView<'a> {
    /// Counted from 1, 0 is the header; empty lines don't count
    #[schema(example = 1)]
    row: u64,
    /// The column's name, or its number where there is no such column
    column: ColumnView,
    /// For people
    #[schema(example = "expected a 64-bit integer, got \"1.0\"")]
    reason: &'a str,
    /// The line of the file that the row begins on, counted from 1
    #[schema(example = 2)]
    line: u64,
}

impl<'a> From<&'a CellError> for CellErrorView<'a> {
    fn from(CellError { row, column, reason, line }: &'a CellError) -> Self {
        let column = match column {
            Column::Name(name) => ColumnView::Name(name),
            Column::Number(number) => ColumnView::Number(*number as u64),
        };
        Self { row: *row, column, reason, line: *line }
    }
}

/// Which cell of a row
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Column)]
#[serde(untagged)]
pub enum ColumnView {
    Name(&'static str),
    Number(u64),
}

impl<'a> ProblemView<'a> {
    fn new(
        code: Code,
        detail: Option<&'a str>,
        errors: Option<&'a Errors>,
        request_id: Option<Uuid>,
    ) -> Self {
        let (status, name, title) = code.parts();
        let r#type = format!("urn:coatcheck:problem:{name}");
        let total = errors.map(|errors| errors.total);
        let errors = errors.map(|errors| errors.first.iter().map(CellErrorView::from).collect());
        Self { r#type, title, status: status.as_u16(), code, detail, errors, total, request_id }
    }
}

/// How OpenAPI tells that an operation may refuse with these codes: a response a status, an example a code.
pub fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in codes {
        by_status.entry(code.parts().0.as_u16()).or_default().push(*code);
    }
    by_status.into_iter().map(|(status, codes)| (status.to_string(), response(&codes).into())).collect()
}

fn response(codes: &[Code]) -> Response {
    let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.parts().1)).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for code in codes {
        let (_, name, title) = code.parts();
        let example = ExampleBuilder::new().summary(title).value(Some(example(*code)));
        content = content.examples_from_iter([(name, example.build())]);
    }
    ResponseBuilder::new().description(names.join(", ")).content(PROBLEM_JSON, content.build()).build()
}

fn example(code: Code) -> Value {
    let request_id = Uuid::from_u128(0x5a1c_9d1e_6a0b_4f6e_9d3c_2b8f_1a7e_4c55);
    let reason = "expected a 64-bit integer, got \"1.0\"".to_owned();
    let errors = Errors { first: vec![CellError { row: 1, column: 0.into(), reason, line: 2 }], total: 1 };
    let errors = (code == Code::InvalidTable).then_some(errors);
    json!(ProblemView::new(code, None, errors.as_ref(), Some(request_id)))
}

/// An error with its causes, on one line.
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
    use super::*;

    #[test]
    fn a_code_is_the_same_word_everywhere() {
        for code in [Code::TaskNotFound, Code::MethodNotAllowed, Code::Internal, Code::InvalidId] {
            assert_eq!(json!(code), code.parts().1);
        }
    }

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
