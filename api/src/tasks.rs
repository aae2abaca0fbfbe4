//! Tasks of any kind: their form in JSON, and how clients find and cancel them.

mod event_stream;
pub mod events;
pub mod kinds;
pub mod list;
pub mod outcomes;
pub mod retry;

use std::collections::BTreeMap;

use accounts::audit::Act;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::kinds::{Kind, RowKind};
use task_data::life::Accepted;
use task_data::store::{Attempt, Cancel, Purge, Retry};
use task_data::task::{Status, Task, TaskError, TaskId, Time, WorkerId};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::params::{Id, parsed};
use crate::http::problem::{self, Code, Problem};
use crate::http::wait::Wait;
use crate::identity::access::Scope;
use crate::tasks::kinds::{TaskInput, TaskOutput};
use crate::uploads::idempotency;

/// Where tasks of any kind are redeemed; tickets follow it.
const PATH: &str = "/api/v1/tasks/";

/// One unit of accepted work
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task, example = example)]
pub struct TaskView {
    /// The ticket: a UUIDv7
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    #[schema(schema_with = kinds)]
    kind: RowKind,
    #[schema(schema_with = statuses)]
    status: Status,
    /// When it was accepted
    #[schema(value_type = String, format = DateTime)]
    created: Time,
    /// When its last attempt began
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started: Option<Time>,
    /// When it ended
    #[schema(value_type = Option<String>, format = DateTime, required)]
    finished: Option<Time>,
    /// How often it was begun
    attempt: i64,
    /// The input as it was handed in
    #[schema(value_type = TaskInput)]
    input: Value,
    /// The result; null until the task has succeeded
    #[schema(value_type = Option<TaskOutput>, required)]
    result: Option<Value>,
    /// Why it failed or was cancelled; while it waits for another try or an unreachable service, the last failure
    #[schema(required)]
    error: Option<TaskErrorView>,
    /// When it is tried again, while it waits for that
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_attempt: Option<Time>,
    /// The ended task that this one does again, or whose failed rows it sends again
    #[schema(value_type = Option<uuid::Uuid>, required)]
    retried_from: Option<TaskId>,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        let Task { id, kind, status, created, started, finished, attempt, .. } = task;
        let Task { input, result, error, next_attempt, retried_from, .. } = task;
        let error = error.map(|TaskError { code, detail }| TaskErrorView { code, detail });
        Self {
            id,
            kind,
            status,
            created,
            started,
            finished,
            attempt,
            input,
            result,
            error,
            next_attempt,
            retried_from,
        }
    }
}

/// Why a task ended without a result, or waits
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskError)]
pub struct TaskErrorView {
    /// A stable word for programs
    #[schema(example = "worker-lost")]
    code: String,
    /// A sentence for people
    #[schema(example = "Each worker that took the task was lost before it ended.")]
    detail: String,
}

/// Returns the task as soon as it, or the wait, has ended.
///
/// # Errors
/// 404 if the task does not exist, or is another user's or of another kind.
pub async fn redeem(
    api: &Api,
    scope: Scope,
    id: Id,
    wait: Wait,
    kind: Option<Kind>,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(redeemed(api, scope, id, wait, kind).await?.into()))
}

/// Returns the task as [`redeem`] does, before it becomes JSON.
///
/// # Errors
/// As [`redeem`].
pub async fn redeemed(
    api: &Api,
    scope: Scope,
    Id(id): Id,
    Wait(wait): Wait,
    kind: Option<Kind>,
) -> Result<Task, Problem> {
    // The time that another user's task takes must not show.
    if scope != Scope::All && !wait.is_zero() {
        found(api, scope, id).await?;
    }
    let task = tokio::select! {
        task = api.life.wait(id, wait) => task,
        // Waiting requests are answered when the server begins to stop.
        () = api.draining() => api.life.find(id).await,
    };
    let of_kind = task?.filter(|task| scope.has(task) && kind.is_none_or(|kind| task.kind == kind));
    Ok(of_kind.ok_or(Code::TaskNotFound)?)
}

/// Returns the task as it is now, if the scope includes it.
async fn found(api: &Api, scope: Scope, id: TaskId) -> Result<Task, Problem> {
    let task = api.life.find(id).await?;
    Ok(task.filter(|task| scope.has(task)).ok_or(Code::TaskNotFound)?)
}

/// Answers with the ticket of a new task, and the address under `path` where it is redeemed.
pub fn accepted(api: &Api, path: &str, Accepted { task, is_replay }: Accepted) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response.insert_header((LOCATION, format!("{path}{}", task.id)));
    if is_replay {
        response.insert_header((idempotency::REPLAYED, "true"));
    } else {
        api.admission.count();
    }
    response.json(TaskView::from(task))
}

/// Returns the OpenAPI responses of a request that makes a task: the answer of [`accepted`], with an example, or a problem with one of
/// these codes.
pub fn acceptance(example: Value, codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let header = |kind, description: &str| {
        let schema = ObjectBuilder::new().schema_type(kind);
        HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
    };
    let task =
        ContentBuilder::new().schema(Some(Ref::from_schema_name("Task"))).example(Some(example)).build();
    let accepted = ResponseBuilder::new()
        .description("Accepted: the task is kept, whatever happens")
        .content("application/json", task)
        .header("Location", header(Type::String, "Where the ticket is redeemed"))
        .header(
            "Idempotency-Replayed",
            header(Type::Boolean, "`true` where the ticket was given out before, under the same key"),
        );
    let mut responses = problem::responses(codes);
    responses.insert("202".to_owned(), accepted.build().into());
    responses
}

/// Look a task up
///
/// With `wait` the answer comes as soon as the task has ended, or after that many seconds with its present state.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "getTask",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), Wait),
    responses((status = 200, description = "The task", body = TaskView), RedeemProblems),
)]
pub async fn get(api: Data<Api>, scope: Scope, id: Id, wait: Wait) -> Result<Json<TaskView>, Problem> {
    redeem(&api, scope, id, wait, None).await
}

/// An attempt to do a task
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// 1 for the first; numbers are missing where an attempt was only put off, as while a service was away
    number: i64,
    /// The worker that had it, as its log names it; null for the last attempt of an ended task, and for small work
    #[schema(value_type = Option<uuid::Uuid>, required)]
    worker: Option<WorkerId>,
    /// When it began
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started: Option<Time>,
    /// When it ended; null while it runs
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended: Option<Time>,
    /// Why it did not succeed; null if it did, or runs
    #[schema(required)]
    error: Option<TaskErrorView>,
}

/// A task that does an ended one again
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
struct RetryView {
    /// The ticket
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    #[schema(schema_with = statuses)]
    status: Status,
    /// When it ended
    #[schema(value_type = Option<String>, format = DateTime, required)]
    finished: Option<Time>,
}

/// The attempts of a task, first one first, and its retries
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempts, example = attempts_example)]
pub struct AttemptsView {
    attempts: Vec<AttemptView>,
    /// The tasks whose `retried_from` is this one, newest first; at most 10
    retries: Vec<RetryView>,
}

fn attempts_example() -> Value {
    json!({"attempts": [
        {"number": 1, "worker": "0b2f6a5e-6a55-4d1c-8a3f-3f1f5d7f5a10", "started": "2026-11-29T08:00:00.000000Z", "ended": "2026-11-29T08:00:31.000000Z",
         "error": {"code": "worker-lost", "detail": "Each worker that took the task was lost before it ended."}},
        {"number": 2, "worker": null, "started": "2026-11-29T08:00:32.000000Z", "ended": "2026-11-29T08:00:33.000000Z", "error": null},
    ], "retries": []})
}

/// List the attempts of a task
///
/// Those that went wrong or lost their worker, and the one that runs or has ended the task. Beside them the tasks that do it again.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/attempts", tag = "tasks", operation_id = "listAttempts",
    params(("id" = uuid::Uuid, Path, description = "The ticket")),
    responses((status = 200, description = "The attempts", body = AttemptsView), FindProblems),
)]
pub async fn attempts(api: Data<Api>, scope: Scope, Id(id): Id) -> Result<Json<AttemptsView>, Problem> {
    found(&api, scope, id).await?;
    let attempts = api.life.attempts(id).await?.into_iter();
    let view = |Attempt { number, worker, started, ended, error }| {
        let error = error.map(|TaskError { code, detail }| TaskErrorView { code, detail });
        AttemptView { number, worker, started, ended, error }
    };
    let retries = api.life.retries(id).await?.into_iter();
    let retries = retries.map(|Retry { id, status, finished }| RetryView { id, status, finished });
    Ok(Json(AttemptsView { attempts: attempts.map(view).collect(), retries: retries.collect() }))
}

/// Whether to delete a task that has ended
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PurgeParameters {
    /// `true` deletes a task that has ended, with all that belongs to it
    #[param(value_type = Option<bool>)]
    purge: Option<String>,
}

/// Cancel a task, or delete one that has ended
///
/// A task that runs is told soon after; what commits first wins. With `purge=true` a task that has ended is deleted, with its attempts and rows;
/// its lines in the outcome logs stay.
#[utoipa::path(
    delete, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "cancelTask",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), PurgeParameters),
    responses(
        (status = 200, description = "The task, cancelled or about to be", body = TaskView),
        (status = 204, description = "The task is deleted"),
        CancelProblems,
    ),
)]
pub async fn cancel(
    api: Data<Api>,
    scope: Scope,
    Id(id): Id,
    parameters: Query<PurgeParameters>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // The owner of a task never changes.
    if scope != Scope::All {
        scope.need_to_change(&found(&api, scope, id).await?)?;
    }
    let purge = parsed::<bool>("purge", parameters.purge.as_deref())?;
    if purge == Some(true) {
        return purged(&api, &request, id).await;
    }
    match api.life.cancel(id).await? {
        Cancel::Accepted(task) => {
            api.audit_of_another(&request, Act::Cancel, (id, task.owner), None).await?;
            Ok(HttpResponse::Ok().json(TaskView::from(task)))
        }
        Cancel::Ended(task) => {
            Err(Code::TaskEnded.because(format!("Its status is `{}`.", task.status.name())))
        }
        Cancel::Newer(task) => Err(Code::NewerKind.because(format!("It is of kind `{}`.", task.kind))),
        Cancel::Unknown => Err(Code::TaskNotFound.into()),
    }
}

async fn purged(api: &Api, request: &HttpRequest, id: TaskId) -> Result<HttpResponse, Problem> {
    let owner = api.life.find(id).await?.and_then(|task| task.owner);
    match api.life.purge(id).await? {
        Purge::Done { .. } => {
            api.audit_of_another(request, Act::Purge, (id, owner), None).await?;
            Ok(HttpResponse::NoContent().finish())
        }
        Purge::NotEnded => Err(Code::TaskNotEnded.into()),
        Purge::Continued => Err(Code::TaskNotEnded.because("A task that continues it has not ended.")),
        Purge::Unlogged => Err(Code::TaskNotLogged.into()),
        Purge::Newer => Err(Code::NewerKind.into()),
        Purge::Unknown => Err(Code::TaskNotFound.into()),
    }
}

/// The problems of [`redeem`].
pub struct RedeemProblems;

impl IntoResponses for RedeemProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidId, InvalidParameter, TaskNotFound};
        problem::responses(&[InvalidId, InvalidParameter, TaskNotFound, DatabaseUnavailable])
    }
}

/// The problems of [`events`](crate::tasks::events).
pub struct FindProblems;

impl IntoResponses for FindProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, InvalidId, TaskNotFound};
        problem::responses(&[InvalidId, TaskNotFound, DatabaseUnavailable])
    }
}

struct CancelProblems;

impl IntoResponses for CancelProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, Forbidden, InvalidId, InvalidParameter, NewerKind};
        use Code::{TaskEnded, TaskNotEnded, TaskNotFound, TaskNotLogged};
        let conflicts = [TaskEnded, TaskNotEnded, TaskNotLogged];
        let others = [InvalidId, InvalidParameter, Forbidden, TaskNotFound, DatabaseUnavailable, NewerKind];
        problem::responses(&[&conflicts[..], &others].concat())
    }
}

fn kinds() -> Object {
    words("What sort of work a task is", Kind::ALL.map(Kind::name))
}

fn statuses() -> Object {
    words(
        "Where a task stands; `succeeded`, `failed` and `cancelled` are final",
        Status::ALL.map(Status::name),
    )
}

/// Returns the schema of a string that is one of these words.
pub fn words<const N: usize>(meaning: &str, words: [&'static str; N]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).description(Some(meaning)).enum_values(Some(words)).build()
}

/// Returns a task that has succeeded, for OpenAPI.
pub fn example() -> Value {
    json!({
        "id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "kind": "md5", "status": "succeeded",
        "created": "2026-01-02T03:04:05.678901Z", "started": "2026-01-02T03:04:05.680002Z",
        "finished": "2026-01-02T03:04:05.681003Z", "attempt": 1,
        "input": {"filename": "a.txt", "size": 3, "content_type": "text/plain"},
        "result": {"md5": "900150983cd24fb0d6963f7d28e17f72"}, "error": null, "next_attempt": null, "retried_from": null,
    })
}

/// Returns an ended task as it was when it was accepted, for OpenAPI.
pub fn as_accepted(mut task: Value) -> Value {
    for (field, value) in [
        ("status", json!("pending")),
        ("attempt", json!(0)),
        ("started", json!(null)),
        ("finished", json!(null)),
        ("result", json!(null)),
    ] {
        task[field] = value;
    }
    task
}
