//! Sends the failed rows of a table once more, as a task of its own, because an ended task never changes.

use std::collections::BTreeMap;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use task_data::idempotency::Idempotency;
use task_data::kinds::Kind;
use task_data::task::Status;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::{PATH, input_of};
use crate::app::Api;
use crate::http::body::Body;
use crate::http::params::Id;
use crate::http::wait::Wait;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Scope;
use crate::tasks;
use crate::uploads::idempotency::{self, IdempotencyHeader};

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
    let outcome = accept(&api, scope, id, &request).await;
    body.answered(outcome)
}

async fn accept(api: &Api, scope: Scope, id: Id, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let key = idempotency::key(request.headers())?;
    let table = tasks::redeemed(api, scope, id, Wait::NONE, Some(Kind::Table)).await?;
    scope.need_to_change(&table)?;
    if !table.status.is_ended() {
        return Err(Code::TaskNotEnded.because(format!("Its status is `{}`.", table.status.name())));
    }
    let failed = api.store.table_progress(table.id).await?.failed;
    if failed == 0 {
        return Err(match table.status {
            Status::Cancelled => Code::NothingFailed
                .because("It was cancelled; rows that were not sent are gone with its file: hand that in again."),
            _ => Code::NothingFailed.into(),
        });
    }
    let _reserved = api.admission.admit_input(table.owner).await?;
    let idempotency = key.map(|key| Idempotency::of(key, format!("retry {}", table.id).as_bytes()));
    let input = input_of(&table)?.again(table.id, failed);
    let accepted = api.life.accept_again(idempotency, &table, input.into()).await?;
    Ok(tasks::accepted(api, PATH, accepted))
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
