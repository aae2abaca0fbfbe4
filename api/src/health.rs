//! Whether the program lives, and whether it can do its work.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use serde::Serialize;
use task_data::kinds::Kind;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::server::Api;

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The program answers
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// What the program can do, part by part
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready", "database": "ok", "queue": "ok", "blobs": "ok"}))]
pub struct Readiness {
    status: Overall,
    database: PartHealth,
    queue: PartHealth,
    blobs: PartHealth,
}

/// Whether requests should come here
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Overall {
    /// Yes.
    Ready,
    /// No: the database is away.
    Unready,
    /// No: the program is stopping.
    Draining,
}

/// How a part is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PartHealth {
    Ok,
    /// It doesn't answer. Without the queue or the blobs much still goes on.
    Unavailable,
}

impl PartHealth {
    async fn of<T, E>(answer: impl Future<Output = Result<T, E>>) -> Self {
        match timeout(PATIENCE, answer).await {
            Ok(Ok(_)) => Self::Ok,
            Ok(Err(_)) | Err(_) => Self::Unavailable,
        }
    }
}

/// Does the program live?
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "isAlive",
    responses((status = 200, description = "It does", body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Can the program do its work?
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "isReady",
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It can't: the database is away, or the program is stopping", body = Readiness),
    ))]
pub async fn ready(api: Data<Api>) -> HttpResponse {
    let stack = api.life.stack();
    let (database, queue, blobs) = tokio::join!(
        PartHealth::of(stack.store.now()),
        PartHealth::of(stack.queue.depth(Kind::Md5)),
        PartHealth::of(stack.blobs.free_bytes()),
    );
    let status = match database {
        _ if api.is_draining() => Overall::Draining,
        PartHealth::Ok => Overall::Ready,
        PartHealth::Unavailable => Overall::Unready,
    };
    let mut response =
        if status == Overall::Ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Readiness { status, database, queue, blobs })
}

/// What is counted and timed, for Prometheus
///
/// What is counted is this process's; what the rows and the queue say is looked up at each call.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "In Prometheus's text format", body = String, content_type = "text/plain",
        example = "# TYPE coatcheck_tasks_accepted_total counter\ncoatcheck_tasks_accepted_total{kind=\"md5\"} 3")))]
pub async fn metrics(api: Data<Api>) -> HttpResponse {
    // Without the database the rest is told all the same, the gauges as they were.
    let _ = timeout(PATIENCE, api.life.look_around()).await;
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(api.metrics.render())
}
