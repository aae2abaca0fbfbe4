//! `/api/v1/tasks/bulk`: cancels, retries or deletes all tasks that a filter selects, as a task of its own.
//!
//! The first request counts the tasks and is answered with a token, the second one confirms it. The token stands for the act, its filter, its
//! owner and the time of the count, so nothing is stored between the two.

use std::collections::BTreeMap;

use accounts::audit::Act;
use accounts::user::UserId;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use task_data::idempotency::Idempotency;
use task_data::kinds::bulk::{Action, Input as BulkInput, Selection};
use task_data::store::Filter;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::{hex, json as json_body};
use crate::http::problem::{Code, Problem};
use crate::identity::access::{Access, Scope};
use crate::identity::auth::MaybeSession;
use crate::route::{Route, route};
use crate::settings::Auth;
use crate::tasks;
use crate::tasks::list::{FilterParameters, need_to_be_served};

/// Where the ticket is redeemed.
const PATH: &str = "/api/v1/tasks/";
/// The form of [`BulkRequest`], in words.
const FORM: &str = "an object with `action` (`cancel`, `retry` or `purge`), the object `filter`, and `confirm` to go ahead";
/// How long a token holds.
const HOLDS: TimeDelta = TimeDelta::hours(1);
/// How far another process's clock may be ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(1);
/// How many tasks a step of the count looks at, and the most steps.
const STEP: i64 = 100_000;
const STEPS: usize = 100;

/// The tag of these addresses, and its meaning.
pub const TAG: (&str, &str) = ("bulk", "Many tasks changed at once");

/// Returns the routes of this kind.
pub fn routes() -> Vec<Route> {
    vec![route!(Users: post)]
}

/// The act on each task
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[schema(as = BulkAction)]
#[serde(rename_all = "lowercase")]
pub enum ActionView {
    /// Those that have not ended are cancelled.
    Cancel,
    /// Those that have failed or were cancelled are done again, as new tasks.
    Retry,
    /// Those that have ended are deleted.
    Purge,
}

impl From<ActionView> for Action {
    fn from(action: ActionView) -> Self {
        match action {
            ActionView::Cancel => Self::Cancel,
            ActionView::Retry => Self::Retry,
            ActionView::Purge => Self::Purge,
        }
    }
}

/// An act on many tasks
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "retry", "filter": {"status": "failed", "error_code": "blob-missing"}}))]
pub struct BulkRequest {
    action: ActionView,
    /// The tasks: the filters of `GET /api/v1/tasks`, each a text or a list of texts; without any, all tasks that the act is for
    #[schema(value_type = Object)]
    filter: Map<String, Value>,
    /// The `confirm` of the answer that counted the tasks, at most an hour ago; without it the tasks are only counted
    #[serde(default)]
    #[schema(nullable = false)]
    confirm: Option<String>,
}

/// The tasks were counted
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"eligible": 1000, "at_least": false, "confirm": "1767323045000000.5f2d0a7c9b1e4d3f8a6c5b4d3e2f1a0b"}))]
struct BulkCount {
    /// How many tasks the act is for now
    eligible: i64,
    /// Whether more than 10,000,000 tasks would have to be looked at, so that `eligible` is the number among the oldest of them
    at_least: bool,
    /// The value of `confirm` with which the same request is carried out
    confirm: String,
}

/// The act that was handed in
#[derive(ToSchema)]
#[schema(as = BulkInput)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the JSON of kinds::bulk::Input, which knows nothing of OpenAPI")]
pub struct Input {
    #[schema(inline)]
    action: ActionView,
    /// The filters that were given
    #[schema(value_type = Object)]
    filter: Value,
    /// When the tasks were counted: later ones are left alone
    #[schema(value_type = String, format = DateTime)]
    counted: String,
}

/// The result of an act on many tasks
#[derive(ToSchema)]
#[schema(as = BulkOutput)]
#[expect(dead_code, reason = "describes the JSON of kinds::bulk::Output, which knows nothing of OpenAPI")]
pub struct Output {
    /// How many tasks were changed
    #[schema(example = 1000)]
    affected: u64,
    /// How many could not be changed any more: their upload is gone, or they were changed otherwise meanwhile; absent: none
    skipped: Option<u64>,
}

/// Cancel, retry or delete many tasks
///
/// Without `confirm` the tasks are counted, and nothing is changed. The same request with the `confirm` of that answer is a task of its own,
/// which survives crashes: its result has the number of tasks that were changed. Tasks that were created after the count are left alone.
/// Owners change their own tasks, operators all; while AUTH is off, only clients on the server's own machine may do this.
#[utoipa::path(
    post, path = "/api/v1/tasks/bulk", tag = "bulk", operation_id = "changeTasks",
    request_body(content = BulkRequest, content_type = "application/json"),
    responses((status = 200, description = "Counted: nothing was changed", body = BulkCount), BulkAnswers),
)]
pub async fn post(api: Data<Api>, scope: Scope, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = accept(&api, scope, &request, &mut body).await;
    body.answered(outcome)
}

async fn accept(
    api: &Api,
    scope: Scope,
    request: &HttpRequest,
    body: &mut Body,
) -> Result<HttpResponse, Problem> {
    if api.access.auth == Auth::Off {
        Access::Local.check(request).await?;
    }
    let BulkRequest { action, filter, confirm } =
        json_body::read(request, body, Code::InvalidJson, FORM).await?;
    let action = Action::from(action);
    let owner = MaybeSession::of(request).await?.user();
    let filter = parameters(filter)?.filter()?;
    if action == Action::Purge && filter.statuses.iter().any(|status| !status.is_ended()) {
        return Err(Code::TaskNotEnded.because("Only tasks that have ended are deleted: cancel the others first."));
    }
    // A viewer sees all tasks, but changes only their own.
    let filter = Scope::narrowed(scope.of_changes(), filter)
        .ok_or_else(|| Code::Forbidden.because("The tasks of another user need the right `operator`."))?;
    need_to_be_served(api, &filter).await?;

    let now = api.store.now().await?.0;
    let input = |counted| BulkInput { action, filter: Selection::from(&filter), counted };
    let Some(confirm) = confirm else {
        let input = input(now);
        let (eligible, at_least) = match input.filter() {
            Some(filter) => eligible(api, filter).await?,
            None => (0, false),
        };
        let confirm = token(&input, owner);
        return Ok(HttpResponse::Ok().json(BulkCount { eligible, at_least, confirm }));
    };
    let counted = confirm.split_once('.').and_then(|(micros, _)| {
        let counted = DateTime::<Utc>::from_timestamp_micros(micros.parse().ok()?)?;
        (counted <= now + AHEAD && now - counted < HOLDS).then_some(counted)
    });
    let input = counted.map(input);
    let input = match input {
        Some(input) if token(&input, owner) == confirm => input,
        _ => return Err(Code::ConfirmExpired.into()),
    };
    let _reserved = api.admission.admit_input(owner).await?;
    // A request whose answer was lost is made again, and is one act.
    let key = format!("bulk:{confirm}").parse().ok();
    let idempotency = key.map(|key| Idempotency::of(key, confirm.as_bytes()));
    let detail = serde_json::to_string(&input).ok();
    let accepted = api.life.accept_input(idempotency, owner, input.into()).await?;
    if !accepted.is_replay {
        api.audit(request, Act::Bulk, accepted.task.id, detail).await?;
    }
    Ok(tasks::accepted(api, PATH, accepted))
}

/// Returns the number of these tasks, and whether there may be more.
async fn eligible(api: &Api, mut filter: Filter) -> Result<(i64, bool), Problem> {
    let mut eligible = 0;
    for _ in 0..STEPS {
        let (count, next) = api.life.count_on(filter.clone(), STEP).await?;
        eligible += count;
        match next {
            Some(next) => filter.after = Some(next),
            None => return Ok((eligible, false)),
        }
    }
    Ok((eligible, true))
}

/// Reads the filters of a list from JSON.
fn parameters(filter: Map<String, Value>) -> Result<FilterParameters, Problem> {
    let wrong = |name: &str| {
        Code::InvalidParameter.because(format!("`filter`: `{name}` is not a filter of the list, or not a text."))
    };
    let mut texts = Map::new();
    for (name, value) in filter {
        let text = match value {
            Value::String(text) => text,
            Value::Array(words) => {
                let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                words.ok_or_else(|| wrong(&name))?.join(",")
            }
            _ => return Err(wrong(&name)),
        };
        if !FilterParameters::NAMES.contains(&name.as_str()) {
            return Err(wrong(&name));
        }
        texts.insert(name, Value::String(text));
    }
    serde_json::from_value(Value::Object(texts)).map_err(|error| Problem::internal(&error))
}

/// Returns the token of an act: the time of the count, and a hash of all that the act is.
fn token(input: &BulkInput, owner: Option<UserId>) -> String {
    let said = json!({"input": input, "owner": owner.map(|owner| owner.0)}).to_string();
    format!("{}.{}", input.counted.timestamp_micros(), hex(&Sha256::digest(said)[..16]))
}

struct BulkAnswers;

impl IntoResponses for BulkAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut task = tasks::as_accepted(tasks::example());
        task["kind"] = json!("bulk");
        task["input"] = json!({"action": "retry", "filter": {"status": ["failed"]}, "counted": "2026-01-02T03:04:05.678901Z"});
        tasks::acceptance(
            task,
            &[
                Code::InvalidJson,
                Code::InvalidParameter,
                Code::Forbidden,
                Code::TaskNotEnded,
                Code::ConfirmExpired,
                Code::BodyTooLarge,
                Code::UnsupportedMediaType,
                Code::IdempotencyMismatch,
                Code::UnservedFilter,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::Overloaded,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}
