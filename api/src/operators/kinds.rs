//! The kinds of tasks: their load, and their pauses.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use accounts::audit::Act;
use actix_web::dev::Payload;
use actix_web::web::{Data, Json};
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::kinds::Kind;
use task_data::life::Life;
use task_data::store::{KindStats, Pause, StoreError};
use task_data::task::Time;
use utoipa::openapi::schema::Object;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::look::Look;
use crate::http::problem::{self, Code, Problem};
use crate::tasks;

/// The greatest age of the numbers of tasks: counting millions of rows is costly.
const LOAD_AGE: Duration = Duration::from_secs(2);

/// The load of all kinds, counted at most once in 2 s, however many requests ask.
pub struct Loads(Look<Result<Vec<KindStats>, StoreError>>);

impl Loads {
    pub fn new(life: &Arc<Life>) -> Self {
        let life = life.clone();
        Self(Look::new(LOAD_AGE, move || {
            let life = life.clone();
            async move {
                let mut loads = Vec::with_capacity(Kind::ALL.len());
                for kind in Kind::ALL {
                    loads.push(life.load(kind).await?);
                }
                Ok(loads)
            }
        }))
    }

    async fn now(&self) -> Result<Vec<KindStats>, Problem> {
        let counted = self.0.outcome().await;
        let counted =
            counted.ok_or_else(|| Code::Overloaded.because("Counting the tasks takes too long."))?;
        Ok(counted?)
    }
}

/// The kind in a request's path.
#[derive(Debug, Clone, Copy)]
pub struct KindInPath(Kind);

impl FromRequest for KindInPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let kind = request.match_info().query("kind").parse();
        let words = Kind::ALL.map(Kind::name).join(", ");
        let missing = || Code::NotFound.because(format!("This kind does not exist. The kinds are {words}."));
        ready(kind.map(Self).map_err(|_| missing()))
    }
}

/// A kind of tasks
#[derive(Debug, Serialize, ToSchema)]
pub struct KindView {
    #[schema(schema_with = kinds)]
    kind: Kind,
    /// Whether its tasks don't begin
    paused: bool,
    /// Since when it is paused
    #[schema(value_type = Option<String>, format = DateTime, required)]
    since: Option<Time>,
    /// The number of its pending tasks; as the two below, it may be 2 s old
    pending: i64,
    /// The number of its running tasks
    running: i64,
    /// When the oldest pending one was accepted
    #[schema(value_type = Option<String>, format = DateTime, required)]
    oldest: Option<Time>,
}

/// All kinds of tasks
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = kinds_example)]
pub struct KindsView {
    kinds: Vec<KindView>,
}

/// Whether a kind is paused
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"kind": "md5", "paused": true, "since": "2026-01-02T03:04:05.678901Z"}))]
pub struct PauseView {
    #[schema(schema_with = kinds)]
    kind: Kind,
    /// Whether its tasks don't begin
    paused: bool,
    /// Since when it is paused
    #[schema(value_type = Option<String>, format = DateTime, required)]
    since: Option<Time>,
}

impl PauseView {
    fn of(kind: Kind, pause: Option<Pause>) -> Self {
        Self { kind, paused: pause.is_some(), since: pause.map(|pause| pause.since) }
    }
}

/// A number for an autoscaler
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"value": 17}))]
pub struct Scale {
    /// The number of pending and running tasks
    value: i64,
}

/// List the kinds of tasks
///
/// With their pauses, and the numbers of their tasks that have not ended.
#[utoipa::path(
    get, path = "/api/v1/kinds", tag = "operators", operation_id = "listKinds",
    responses((status = 200, description = "Each kind", body = KindsView), LoadProblems),
)]
pub async fn list(api: Data<Api>) -> Result<Json<KindsView>, Problem> {
    let (loads, pauses) = (api.loads.now().await?, api.life.pauses().await?);
    let view = |KindStats { kind, pending, running, oldest, .. }| {
        let PauseView { kind, paused, since } =
            PauseView::of(kind, pauses.iter().copied().find(|pause| pause.kind == kind));
        KindView { kind, paused, since, pending, running, oldest }
    };
    Ok(Json(KindsView { kinds: loads.into_iter().map(view).collect() }))
}

/// Count a kind's tasks for an autoscaler
///
/// Counts the pending and the running ones, at most once in 2 s, for all who ask.
#[utoipa::path(
    get, path = "/api/v1/scale/{kind}", tag = "operators", operation_id = "getScale",
    params(("kind" = String, Path, description = "The kind")),
    responses((status = 200, description = "The number", body = Scale), LoadProblems, KindProblems),
)]
pub async fn scale(api: Data<Api>, KindInPath(kind): KindInPath) -> Result<Json<Scale>, Problem> {
    let loads = api.loads.now().await?;
    let value = loads.iter().find(|load| load.kind == kind).map_or(0, |load| load.pending + load.running);
    Ok(Json(Scale { value }))
}

/// Pause a kind
///
/// Once this is answered, no task of the kind begins until it is resumed. Those that run go on, and new ones are accepted. A kind that is
/// paused already stays as it is.
#[utoipa::path(
    put, path = "/api/v1/kinds/{kind}/pause", tag = "operators", operation_id = "pauseKind",
    params(("kind" = String, Path, description = "The kind")),
    responses((status = 200, description = "It is paused", body = PauseView), KindProblems),
)]
pub async fn pause(
    api: Data<Api>,
    KindInPath(kind): KindInPath,
    request: HttpRequest,
) -> Result<Json<PauseView>, Problem> {
    let pause = api.life.pause(kind).await?;
    api.audit(&request, Act::Pause, kind, None).await?;
    Ok(Json(PauseView::of(kind, Some(pause))))
}

/// Resume a kind
///
/// Its tasks begin again within a second. A kind that is not paused stays as it is.
#[utoipa::path(
    delete, path = "/api/v1/kinds/{kind}/pause", tag = "operators", operation_id = "resumeKind",
    params(("kind" = String, Path, description = "The kind")),
    responses((status = 200, description = "It is not paused", body = PauseView), KindProblems),
)]
pub async fn resume(
    api: Data<Api>,
    KindInPath(kind): KindInPath,
    request: HttpRequest,
) -> Result<Json<PauseView>, Problem> {
    api.life.resume(kind).await?;
    api.audit(&request, Act::Resume, kind, None).await?;
    Ok(Json(PauseView::of(kind, None)))
}

struct KindProblems;

impl IntoResponses for KindProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::NotFound, Code::DatabaseUnavailable])
    }
}

struct LoadProblems;

impl IntoResponses for LoadProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::DatabaseUnavailable, Code::Overloaded])
    }
}

fn kinds() -> Object {
    tasks::words("What sort of work a task is", Kind::ALL.map(Kind::name))
}

fn kinds_example() -> Value {
    let idle = |kind| json!({"kind": kind, "paused": false, "since": null, "pending": 0, "running": 0, "oldest": null});
    json!({"kinds": [
        {"kind": "md5", "paused": true, "since": "2026-01-02T03:04:05.678901Z", "pending": 17, "running": 2,
         "oldest": "2026-01-02T03:04:05.680002Z"},
        idle("message"), idle("table"),
    ]})
}
