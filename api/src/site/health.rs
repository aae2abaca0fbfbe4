//! Liveness, readiness and metrics.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Json};
use program::{Keep, in_one_line};
use serde::Serialize;
use task_data::blobs::Blobs;
use task_data::kinds::Kind;
use task_data::settings::Settings;
use task_data::store::Store;
use tokio::time::timeout;
use tracing::warn;
use utoipa::ToSchema;

use crate::app::Api;
use crate::http::look::Look;

/// How long the queue, or a reading of the gauges, may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// The greatest age of the outcome of a write.
const WRITE_AGE: Duration = Duration::from_secs(3);

/// The writes that an upload needs, tried at most once in 3 s, however many requests ask.
pub struct TriedWrites {
    database: Look<bool>,
    uploads: Look<bool>,
}

impl TriedWrites {
    pub fn new(store: &Arc<dyn Store>, blobs: &Arc<dyn Blobs>) -> Self {
        let (store, blobs) = (store.clone(), blobs.clone());
        let (is_database_away, is_folder_away) = (Arc::default(), Arc::default());
        Self {
            database: Look::new(WRITE_AGE, move || {
                let (store, was_away) = (store.clone(), Arc::clone(&is_database_away));
                async move { told("the database", &was_away, store.try_write().await) }
            }),
            uploads: Look::new(WRITE_AGE, move || {
                let (blobs, was_away) = (blobs.clone(), Arc::clone(&is_folder_away));
                async move { told("the folder of uploads", &was_away, blobs.try_write().await) }
            }),
        }
    }
}

/// Returns whether a write succeeded. Logs the first of several failures with its cause.
fn told<E: Error + 'static>(what: &str, was_away: &AtomicBool, outcome: Result<(), E>) -> bool {
    match outcome {
        Ok(()) => was_away.store(false, Relaxed),
        Err(error) if !was_away.swap(true, Relaxed) => {
            warn!("not ready: {what} takes no writes: {}", in_one_line(&error));
        }
        Err(_) => {}
    }
    !was_away.load(Relaxed)
}

/// The program answers
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The state of the program, part by part
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready", "database": "ok", "queue": "ok", "blobs": "ok", "disk": "ok",
    "retention": {"succeeded": 2_592_000.0, "failed": 7_776_000.0, "cancelled": null, "records": null}}))]
pub struct Readiness {
    status: Overall,
    database: PartHealth,
    queue: PartHealth,
    blobs: PartHealth,
    disk: DiskHealth,
    retention: RetentionTimes,
}

/// How long ended tasks and records are kept, in seconds; null: forever
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct RetentionTimes {
    #[schema(required)]
    succeeded: Option<f64>,
    #[schema(required)]
    failed: Option<f64>,
    #[schema(required)]
    cancelled: Option<f64>,
    #[schema(required)]
    records: Option<f64>,
}

impl RetentionTimes {
    pub fn new(tasks: &Settings, records: Keep) -> Self {
        let seconds = |keep: Keep| keep.age().map(|age| age.as_secs_f64());
        Self {
            succeeded: seconds(tasks.keep_succeeded),
            failed: seconds(tasks.keep_failed),
            cancelled: seconds(tasks.keep_cancelled),
            records: seconds(records),
        }
    }
}

/// Whether requests should come here
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Overall {
    /// Yes.
    Ready,
    /// No: the database or the disk takes no writes.
    Unready,
    /// No: the program is stopping.
    Draining,
}

/// How a part is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PartHealth {
    Ok,
    /// It does not answer, or takes no writes. Without the queue all goes on.
    Unavailable,
}

/// How the disk of the uploads is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DiskHealth {
    Ok,
    /// Less than `MIN_FREE_DISK` is free, so whatever adds to it is refused with 507; all else goes on.
    Low,
    /// It is full, read-only or does not answer.
    Unavailable,
}

impl PartHealth {
    async fn of<T, E>(answer: impl Future<Output = Result<T, E>>) -> Self {
        match timeout(CHECK_TIMEOUT, answer).await {
            Ok(Ok(_)) => Self::Ok,
            Ok(Err(_)) | Err(_) => Self::Unavailable,
        }
    }

    async fn of_writes(look: &Look<bool>) -> Self {
        if look.outcome().await == Some(true) { Self::Ok } else { Self::Unavailable }
    }
}

/// Does the program live?
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "isAlive",
    responses((status = 200, description = "It does", body = Alive)))]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Can the program do its work?
///
/// Tries the writes that an upload needs: a row in the database, committed, and a file beside the uploads, synced. They are tried at most
/// once in 3 s, for all who ask.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "isReady",
    responses(
        (status = 200, description = "It can; with `disk` `low`, all but take uploads, records, messages and users in", body = Readiness),
        (status = 503, description = "It can't: the database or the disk takes no writes, or the program is stopping", body = Readiness),
    ))]
pub async fn ready(api: Data<Api>) -> HttpResponse {
    let (database, queue, blobs, is_low) = tokio::join!(
        PartHealth::of_writes(&api.writes.database),
        PartHealth::of(api.queue.depth(Kind::Md5)),
        PartHealth::of_writes(&api.writes.uploads),
        api.admission.is_disk_low(),
    );
    let disk = match blobs {
        PartHealth::Unavailable => DiskHealth::Unavailable,
        PartHealth::Ok if is_low => DiskHealth::Low,
        PartHealth::Ok => DiskHealth::Ok,
    };
    let status = match (database, blobs) {
        _ if api.is_draining() => Overall::Draining,
        (PartHealth::Ok, PartHealth::Ok) => Overall::Ready,
        _ => Overall::Unready,
    };
    let mut response =
        if status == Overall::Ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Readiness { status, database, queue, blobs, disk, retention: api.retention })
}

/// Metrics for Prometheus
///
/// Counters and times are this process's own; each call reads the gauges anew from the database and the queue.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "In Prometheus's text format", body = String, content_type = "text/plain",
        example = "# TYPE coatcheck_tasks_accepted_total counter\ncoatcheck_tasks_accepted_total{kind=\"md5\"} 3")))]
pub async fn metrics(api: Data<Api>) -> HttpResponse {
    // Without the database the answer has everything else, and the last known gauges.
    let _ = tokio::join!(timeout(CHECK_TIMEOUT, api.life.look_around()), api.admission.is_disk_low());
    HttpResponse::Ok().content_type(program::metrics::MEDIA_TYPE).body(program::metrics::text())
}
