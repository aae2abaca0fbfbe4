//! Does an ended task once more, as a task of its own, because an ended task never changes.

use std::collections::BTreeMap;

use accounts::audit::Act;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use task_data::idempotency::Idempotency;
use task_data::kinds::Kind;
use task_data::life::Retried;
use task_data::task::Status;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::params::Id;
use crate::http::problem::{Code, Problem};
use crate::http::wait::Wait;
use crate::identity::access::Scope;
use crate::tasks::{self, PATH};
use crate::uploads::idempotency::{self, IdempotencyHeader};

/// Do an ended task again
///
/// It becomes a new task of the same owner, with the same upload or text; `retried_from` names the old one, which does not change. The upload of
/// a failed task is kept for `KEEP_FAILED_UPLOADS`. Of a table the rows that failed are sent again, as by `POST /api/v1/tables/{id}/retry`.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/retry", tag = "tasks", operation_id = "retryTask",
    params(("id" = uuid::Uuid, Path, description = "The ticket of a task that has ended"), IdempotencyHeader),
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
    let outcome = accept(&api, scope, id, &request, None, PATH).await;
    body.answered(outcome)
}

/// Makes a new task of an ended one, of that kind if one is given, and answers with its ticket and its address under `path`.
///
/// # Errors
/// 404 if it does not exist for the request; 409 if it has not ended, there is nothing to do again, or the upload is gone; and those of
/// admission and of accepting.
pub async fn accept(
    api: &Api,
    scope: Scope,
    id: Id,
    request: &HttpRequest,
    kind: Option<Kind>,
    path: &str,
) -> Result<HttpResponse, Problem> {
    let key = idempotency::key(request.headers())?;
    let task = tasks::redeemed(api, scope, id, Wait::NONE, kind).await?;
    scope.need_to_change(&task)?;
    if !task.status.is_ended() {
        return Err(Code::TaskNotEnded.because(format!("Its status is `{}`.", task.status.name())));
    }
    let idempotency = key.map(|key| Idempotency::of(key, format!("retry {}", task.id).as_bytes()));
    let _reserved = api.admission.admit_input(task.owner).await?;
    match api.life.retry(idempotency, &task).await? {
        Retried::Accepted(accepted) => {
            let detail = Some(format!("as {}", accepted.task.id));
            api.audit_of_another(request, Act::Retry, (task.id, task.owner), detail).await?;
            Ok(tasks::accepted(api, path, *accepted))
        }
        Retried::UploadGone => Err(Code::UploadGone.into()),
        Retried::NothingFailed if task.status == Status::Cancelled => Err(Code::NothingFailed.because(
            "It was cancelled; rows that were not sent are gone with its file: hand that in again.",
        )),
        Retried::NothingFailed => Err(Code::NothingFailed.into()),
        Retried::Newer => Err(Code::NewerKind.because(format!("It is of kind `{}`.", task.kind))),
    }
}

struct RetryAnswers;

impl IntoResponses for RetryAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut again = tasks::as_accepted(tasks::example());
        again["retried_from"] = serde_json::json!("0198c5a0-0000-7000-8000-000000000000");
        tasks::acceptance(
            again,
            &[
                Code::InvalidId,
                Code::InvalidIdempotencyKey,
                Code::Forbidden,
                Code::TaskNotFound,
                Code::TaskNotEnded,
                Code::NothingFailed,
                Code::UploadGone,
                Code::IdempotencyMismatch,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::NewerKind,
                Code::Overloaded,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}
