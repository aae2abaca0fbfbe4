//! The codes of all problems: one table.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Problem;

/// Makes [`Code`] from its table: for each code its status, its word, and a sentence for people.
macro_rules! codes {
    ($($code:ident, $status:ident, $word:tt, $title:literal;)+) => {
        /// The kind of a problem, with a stable word for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub enum Code {
            $(#[serde(rename = $word)] $code,)+
        }

        impl Code {
            /// Returns the HTTP status.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)+
                }
            }

            /// Returns the word for programs.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)+
                }
            }

            /// Returns the sentence for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$code => $title,)+
                }
            }
        }
    };
}

codes! {
    IncompleteUpload, BAD_REQUEST, "incomplete-upload", "The upload ended before its end was reached.";
    InvalidDigest, BAD_REQUEST, "invalid-digest", "This is not an MD5 digest.";
    InvalidId, BAD_REQUEST, "invalid-id", "This is not an id.";
    InvalidIdempotencyKey, BAD_REQUEST, "invalid-idempotency-key",
        "An Idempotency-Key has 1 to 128 visible ASCII characters.";
    InvalidJson, BAD_REQUEST, "invalid-json", "The body is not JSON.";
    InvalidMultipart, BAD_REQUEST, "invalid-multipart", "The form is not well made.";
    InvalidParameter, BAD_REQUEST, "invalid-parameter", "A query parameter is unknown or has a wrong value.";
    InvalidRequest, BAD_REQUEST, "invalid-request", "The request cannot be answered as it is.";
    MissingFile, BAD_REQUEST, "missing-file", "Send one part named `file`.";
    MultipleFiles, BAD_REQUEST, "multiple-files", "Send one part named `file`, and only one.";
    PartialUpload, BAD_REQUEST, "partial-upload", "The request has a part of the file. Send the whole file.";
    InvalidCredentials, UNAUTHORIZED, "invalid-credentials", "The username or the password is wrong.";
    Unauthenticated, UNAUTHORIZED, "unauthenticated", "This needs a valid log-in or API key.";
    Forbidden, FORBIDDEN, "forbidden", "You may not do this.";
    PaidNotAllowed, FORBIDDEN, "paid-not-allowed",
        "The paid provider requires the right `paid`; log in again after it has been granted.";
    NotFound, NOT_FOUND, "not-found", "There is nothing at this address.";
    KeyNotFound, NOT_FOUND, "key-not-found", "You have no such API key.";
    RecordNotFound, NOT_FOUND, "record-not-found", "This record does not exist.";
    TaskNotFound, NOT_FOUND, "task-not-found", "This task does not exist.";
    MethodNotAllowed, METHOD_NOT_ALLOWED, "method-not-allowed", "This address doesn't take this method.";
    SlowUpload, REQUEST_TIMEOUT, "slow-upload", "The upload came too slowly, or stood still.";
    TaskEnded, CONFLICT, "task-ended", "The task has ended already.";
    TaskNotEnded, CONFLICT, "task-not-ended", "The task has not ended yet.";
    ConfirmExpired, CONFLICT, "confirm-expired",
        "The confirmation is over an hour old, or of another request. Ask without it first.";
    TaskNotLogged, CONFLICT, "task-not-logged",
        "An outcome log does not have the task's line yet. Try again when it has.";
    UploadGone, CONFLICT, "upload-gone", "The task's upload is not kept any more. Send it again.";
    NothingFailed, CONFLICT, "nothing-failed", "No row of this table has failed.";
    TooManyKeys, CONFLICT, "too-many-keys", "You have as many API keys as a user may have.";
    UsernameTaken, CONFLICT, "username-taken", "Another user has this name.";
    OutcomeExpired, GONE, "outcome-expired",
        "Outcomes after this cursor were deleted.";
    RecordExpired, GONE, "record-expired", "This record was deleted, as old ones are, or never existed.";
    BodyTooLarge, PAYLOAD_TOO_LARGE, "body-too-large", "The body is larger than this address accepts.";
    UploadTooLarge, PAYLOAD_TOO_LARGE, "upload-too-large", "The upload is larger than this server accepts.";
    NotATable, UNSUPPORTED_MEDIA_TYPE, "not-a-table", "The file is not valid UTF-8.";
    UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type",
        "The body's media type is not accepted here.";
    InvalidLog, IM_A_TEAPOT, "invalid-log",
        "This is not a line of an access log: {IP} {METHOD} {URI} {STATUS}.";
    IdempotencyMismatch, UNPROCESSABLE_ENTITY, "idempotency-mismatch",
        "This Idempotency-Key was already used with different content. Use a new key.";
    InvalidKey, UNPROCESSABLE_ENTITY, "invalid-key", "This can't be an API key's name.";
    InvalidMessage, UNPROCESSABLE_ENTITY, "invalid-message", "This can't be sent as a message.";
    InvalidTable, UNPROCESSABLE_ENTITY, "invalid-table", "The file is not a table of userId,title,body.";
    InvalidUser, UNPROCESSABLE_ENTITY, "invalid-user", "This can't be a user's name and password.";
    UnservedFilter, UNPROCESSABLE_ENTITY, "unserved-filter",
        "No index serves these filters together, so they are not answered.";
    TooManyRequests, TOO_MANY_REQUESTS, "too-many-requests", "There were too many of these. Try again later.";
    HeadersTooLarge, REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large",
        "The request's target and headers are larger than the server accepts.";
    Internal, INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server.";
    DatabaseUnavailable, SERVICE_UNAVAILABLE, "database-unavailable",
        "The database is not available. Try again.";
    NewerKind, SERVICE_UNAVAILABLE, "newer-kind",
        "Only a newer version of the service can change this task, and this process is not of it. Try again.";
    Overloaded, SERVICE_UNAVAILABLE, "overloaded", "The server has as much to do as it can. Try again.";
    QueueFull, SERVICE_UNAVAILABLE, "queue-full", "Too many tasks are waiting already. Try again later.";
    InsufficientStorage, INSUFFICIENT_STORAGE, "insufficient-storage", "The server is short of disk space.";
}

impl Code {
    /// Returns the seconds after which the same request may succeed, if they are the same in every case.
    pub(super) const fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::DatabaseUnavailable | Self::NewerKind => Some(1),
            Self::QueueFull => Some(10),
            _ => None,
        }
    }

    /// Returns the problem with a detail on this very case, which the client sees.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        Problem { detail: Some(detail.into()), ..self.into() }
    }
}
