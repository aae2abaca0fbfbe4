//! `/api/v1/messages`: accepts messages, hands out and redeems their tickets, and reports the state of the free provider.

use std::collections::BTreeMap;

use accounts::user::Right;
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use limits::window::Standing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::idempotency::Idempotency;
use task_data::kinds::Kind;
use task_data::kinds::message::{Choice, Input as MessageInput, Provider, Text};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::json as json_body;
use crate::http::params::Id;
use crate::http::wait::Wait;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Scope;
use crate::identity::auth::Session;
use crate::route::{Route, route};
use crate::tasks::{self, RedeemProblems, TaskView};
use crate::uploads::idempotency::{self, IdempotencyHeader};

/// The path of messages; tickets follow it.
const PATH: &str = "/api/v1/messages/";
/// The form of [`NewMessage`], in words.
const FORM: &str = "an object with the string `text`, and optionally `provider`: `auto`, `free` or `paid`";

/// The tag of these addresses, and its meaning.
pub const TAG: (&str, &str) = ("messages", "Messages to a free and a paid provider");

/// Returns the routes of this kind.
pub fn routes() -> Vec<Route> {
    vec![route!(Users: post), route!(Users: get), route!(Users: free)]
}

/// The provider to answer a message
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Choice)]
#[serde(rename_all = "lowercase")]
pub enum ChoiceView {
    #[default]
    Auto,
    Free,
    Paid,
}

impl From<ChoiceView> for Choice {
    fn from(choice: ChoiceView) -> Self {
        match choice {
            ChoiceView::Auto => Self::Auto,
            ChoiceView::Free => Self::Free,
            ChoiceView::Paid => Self::Paid,
        }
    }
}

/// A message
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The text to send: at least one character, none of them U+0000
    #[schema(value_type = String, min_length = 1, example = "How far is the moon?")]
    text: String,
    /// `auto`: the free provider, and while that is blocked the paid one, if you have the right `paid`. `free`: the free
    /// provider, whenever it takes the message. `paid`: the paid one at once
    #[serde(default)]
    #[schema(value_type = Option<ChoiceView>, default = "auto", nullable = false)]
    provider: ChoiceView,
}

/// The message that was handed in
#[derive(ToSchema)]
#[schema(as = MessageInput)]
#[expect(dead_code, reason = "describes the JSON of kinds::message::Input, which knows nothing of OpenAPI")]
pub struct Input {
    #[schema(example = "How far is the moon?")]
    text: String,
    #[schema(inline)]
    provider: ChoiceView,
    /// Whether its sender had the right `paid`
    #[schema(example = false)]
    may_pay: bool,
}

/// The answer to a message
#[derive(ToSchema)]
#[schema(as = MessageOutput)]
#[expect(dead_code, reason = "describes the JSON of kinds::message::Output, which knows nothing of OpenAPI")]
pub struct Output {
    /// `free` or `paid`: the provider that answered
    #[schema(example = "free")]
    provider: String,
    /// The provider's answer, whole
    #[schema(value_type = Object)]
    reply: Value,
}

/// Send a message
///
/// Needs a log-in or an API key. A message whose owner lacks the right `paid` waits for the free provider, however long that takes.
#[utoipa::path(
    post, path = "/api/v1/messages", tag = "messages", operation_id = "postMessage",
    security(("bearer" = []), ("cookie" = [])),
    params(IdempotencyHeader),
    request_body(content = NewMessage, content_type = "application/json"),
    responses(MessageAnswers),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = accept(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn accept(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let session = Session::of(request).await?;
    let key = idempotency::key(request.headers())?;
    let mut reserved = api.admission.admit_input(Some(session.user)).await?;
    let NewMessage { text, provider } = json_body::read(request, body, Code::InvalidMessage, FORM).await?;
    reserved.grow_to(text.len() as u64).await?;
    let text: Text =
        text.try_into().map_err(|error| Code::InvalidMessage.because(format!("`text`: {error}.")))?;
    let (provider, may_pay) = (Choice::from(provider), session.has(Right::Paid));
    if provider == Choice::Paid && !may_pay {
        return Err(Code::PaidNotAllowed.into());
    }

    // The request's own words, not the sender's rights, which may differ when it is repeated.
    let said = json!({"text": text, "provider": provider}).to_string();
    let idempotency = key.map(|key| Idempotency::of(key, said.as_bytes()));
    let input = MessageInput { text, provider, may_pay };
    let accepted = api.life.accept_input(idempotency, Some(session.user), input.into()).await?;
    Ok(tasks::accepted(api, PATH, accepted))
}

/// Redeem a ticket
///
/// With `wait` the answer comes as soon as the message is answered, or after that many seconds with the task's present state.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", tag = "messages", operation_id = "getMessage",
    params(("id" = uuid::Uuid, Path, description = "The ticket"), Wait),
    responses((status = 200, description = "The task", body = TaskView, example = answered), RedeemProblems),
)]
pub async fn get(
    api: Data<Api>,
    scope: Scope,
    id: Id,
    wait: Wait,
) -> Result<Json<TaskView>, Problem> {
    tasks::redeem(&api, scope, id, wait, Some(Kind::Message)).await
}

/// The state of the free provider, as far as it has been counted
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"state": "blocked", "remaining": 0, "is_at_most": false, "opens_in": 12.5}))]
pub struct FreeProvider {
    state: FreeState,
    /// Requests that it takes before it blocks
    #[schema(required)]
    remaining: Option<u32>,
    /// Whether `remaining` is an upper bound: the provider may have taken other requests before these were counted
    is_at_most: bool,
    /// Seconds until it takes requests again, at least; only while it is blocked
    #[schema(required)]
    opens_in: Option<f64>,
}

/// `unknown`: nothing was sent yet, or the count was lost; the next message finds out
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FreeState {
    Open,
    Blocked,
    Unknown,
}

impl From<Standing> for FreeProvider {
    fn from(standing: Standing) -> Self {
        let is_at_most = matches!(standing, Standing::Taking { .. });
        let (state, remaining, opens_in) = match standing {
            Standing::Open { remaining } | Standing::Taking { at_most: remaining } => {
                (FreeState::Open, Some(remaining), None)
            }
            Standing::Blocked { opens_in } => (FreeState::Blocked, Some(0), Some(opens_in.as_secs_f64())),
            Standing::Unknown => (FreeState::Unknown, None, None),
        };
        Self { state, remaining, is_at_most, opens_in }
    }
}

/// Ask where the free provider stands
#[utoipa::path(
    get, path = "/api/v1/providers/free", tag = "messages", operation_id = "getFreeProvider",
    responses((status = 200, description = "What all workers together have counted", body = FreeProvider)),
)]
pub async fn free(api: Data<Api>) -> Json<FreeProvider> {
    let standing = api.limits.standing(Provider::Free.name()).await;
    Json(standing.unwrap_or(Standing::Unknown).into())
}

struct MessageAnswers;

impl IntoResponses for MessageAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        tasks::acceptance(
            accepted(),
            &[
                Code::InvalidIdempotencyKey,
                Code::InvalidJson,
                Code::Unauthenticated,
                Code::Forbidden,
                Code::PaidNotAllowed,
                Code::SlowUpload,
                Code::BodyTooLarge,
                Code::UploadTooLarge,
                Code::Overloaded,
                Code::IdempotencyMismatch,
                Code::InvalidMessage,
                Code::TooManyRequests,
                Code::DatabaseUnavailable,
                Code::QueueFull,
                Code::InsufficientStorage,
            ],
        )
    }
}

/// Returns a message that was answered, for OpenAPI.
fn answered() -> Value {
    let mut task = tasks::example();
    task["kind"] = json!("message");
    task["input"] = json!({"text": "How far is the moon?", "provider": "auto", "may_pay": false});
    task["result"] = json!({"provider": "free", "reply": {"text": "How far is the moon?", "words": 5}});
    task
}

/// Returns a message that was just handed in, for OpenAPI.
fn accepted() -> Value {
    tasks::as_accepted(answered())
}
