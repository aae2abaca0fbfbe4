//! Sends the failed rows of a table once more, as a task of its own, because an ended task never changes.

use std::collections::BTreeMap;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use task_data::kinds::Kind;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::PATH;
use crate::app::Api;
use crate::http::body::Body;
use crate::http::params::Id;
use crate::http::problem::Code;
use crate::identity::access::Scope;
use crate::tasks::{self, retry};
use crate::uploads::idempotency::IdempotencyHeader;

/// Send the rows of a table again that have failed
///
/// They become a table of their own, of the same owner, under the row numbers and `Idempotency-Key`s that they have had. The table
/// that they are from does not change; it may be a repetition itself.
#[utoipa::path(
    post, path = "/api/v1/tables/{id}/retry", tag = "tables", operation_id = "retryTable",
    params(("id" = uuid::Uuid, Path, description = "The ticket of a table that has ended"), IdempotencyHeader),
    responses(RetryAnswers),
)]
pub async fn post(
    api: Data<Api>,
    scope: Scope,
    id: Id,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let body = Body::new(payload.into_inner());
    let outcome = retry::accept(&api, scope, id, &request, Some(Kind::Table), PATH).await;
    body.answered(outcome)
}

struct RetryAnswers;

impl IntoResponses for RetryAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        tasks::acceptance(
            accepted(),
            &[
                Code::InvalidId,
                Code::InvalidIdempotencyKey,
                Code::Forbidden,
                Code::TaskNotFound,
                Code::TaskNotEnded,
                Code::NothingFailed,
                Code::IdempotencyMismatch,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::Overloaded,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}

/// Returns a table whose failed rows were just handed in again, for OpenAPI.
fn accepted() -> Value {
    let mut task = super::accepted();
    let first = "0198c5a0-0000-7000-8000-000000000000";
    task["retried_from"] = json!(first);
    task["input"]["size"] = json!(0);
    task["input"]["source"] = json!({"table": first, "first": first, "first_rows": 50});
    task
}
