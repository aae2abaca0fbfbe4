//! Worker processes: what they run, and their draining.

use std::collections::BTreeMap;

use accounts::audit::Act;
use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::kinds::RowKind;
use task_data::store::{RunningTask, WorkerState};
use task_data::task::{TaskId, Time, WorkerId};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::params::Id;
use crate::http::problem::{self, Code, Problem};

/// A worker process
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerView {
    /// The id of its lease; a process that has lost its lease gets another
    #[schema(value_type = uuid::Uuid)]
    id: WorkerId,
    /// Its host name and process id
    name: String,
    /// Its last heartbeat
    #[schema(value_type = String, format = DateTime)]
    seen: Time,
    /// When its tasks are taken from it unless it is heard of before
    #[schema(value_type = String, format = DateTime)]
    lease_until: Time,
    /// Whether it takes nothing more, or learns that by its next heartbeat
    draining: bool,
    /// The number of its running tasks; small uploads are not among them
    running: i64,
    /// Those that have run longest, at most 10
    tasks: Vec<RunningView>,
}

/// A task that a worker runs
#[derive(Debug, Serialize, ToSchema)]
pub struct RunningView {
    /// The ticket
    #[schema(value_type = uuid::Uuid)]
    id: TaskId,
    #[schema(value_type = String)]
    kind: RowKind,
    /// When its attempt began
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started: Option<Time>,
}

/// The worker processes
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = example)]
pub struct WorkersView {
    /// By their names, at most 500
    workers: Vec<WorkerView>,
}

/// Whether a worker drains
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": "5c1f7a9e-3b42-4c1d-9e0a-8d7f6b5a4c3e", "draining": true}))]
pub struct DrainView {
    /// The id of its lease
    #[schema(value_type = uuid::Uuid)]
    id: WorkerId,
    /// Whether it takes nothing more, or learns that by its next heartbeat
    draining: bool,
}

impl From<WorkerState> for WorkerView {
    fn from(state: WorkerState) -> Self {
        let WorkerState { id, name, seen, lease_until, is_draining, running, tasks } = state;
        let view = |RunningTask { id, kind, started }| RunningView { id, kind, started };
        let tasks = tasks.into_iter().map(view).collect();
        Self { id, name, seen, lease_until, draining: is_draining, running, tasks }
    }
}

/// List the worker processes
///
/// Those that have a lease, each with the tasks that have run longest.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "operators", operation_id = "listWorkers",
    responses((status = 200, description = "The workers", body = WorkersView), WorkersProblems),
)]
pub async fn list(api: Data<Api>) -> Result<Json<WorkersView>, Problem> {
    let workers = api.life.workers().await?;
    Ok(Json(WorkersView { workers: workers.into_iter().map(WorkerView::from).collect() }))
}

/// Drain a worker
///
/// From its next heartbeat on it takes nothing more. It finishes what it has, or hands it back; then its process ends, unless the API is
/// part of that.
#[utoipa::path(
    put, path = "/api/v1/workers/{id}/drain", tag = "operators", operation_id = "drainWorker",
    params(("id" = uuid::Uuid, Path, description = "The worker")),
    responses((status = 200, description = "It drains", body = DrainView), DrainProblems),
)]
pub async fn drain(api: Data<Api>, Id(id): Id, request: HttpRequest) -> Result<Json<DrainView>, Problem> {
    set_draining(&api, &request, WorkerId(id.0), true).await
}

/// Let a worker take tasks again
///
/// If its process has not ended.
#[utoipa::path(
    delete, path = "/api/v1/workers/{id}/drain", tag = "operators", operation_id = "undoDrainWorker",
    params(("id" = uuid::Uuid, Path, description = "The worker")),
    responses((status = 200, description = "It does not drain", body = DrainView), DrainProblems),
)]
pub async fn undo_drain(
    api: Data<Api>,
    Id(id): Id,
    request: HttpRequest,
) -> Result<Json<DrainView>, Problem> {
    set_draining(&api, &request, WorkerId(id.0), false).await
}

async fn set_draining(
    api: &Api,
    request: &HttpRequest,
    id: WorkerId,
    draining: bool,
) -> Result<Json<DrainView>, Problem> {
    if !api.life.drain(id, draining).await? {
        return Err(Code::NotFound.because("This worker does not exist, or has ended."));
    }
    let detail = (!draining).then(|| "it may take tasks again".to_owned());
    api.audit(request, Act::Drain, id, detail).await?;
    Ok(Json(DrainView { id, draining }))
}

struct WorkersProblems;

impl IntoResponses for WorkersProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::DatabaseUnavailable])
    }
}

struct DrainProblems;

impl IntoResponses for DrainProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::InvalidId, Code::NotFound, Code::DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({"workers": [{
        "id": "5c1f7a9e-3b42-4c1d-9e0a-8d7f6b5a4c3e", "name": "host-1:4711", "seen": "2026-01-02T03:04:05.678901Z",
        "lease_until": "2026-01-02T03:04:35.678901Z", "draining": false, "running": 1,
        "tasks": [{"id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "kind": "table", "started": "2026-01-02T03:04:05.680002Z"}],
    }]})
}
