//! `/api/v1/keys`: API keys, which stand for a user without a session, for programs that run on.
//!
//! Each request looks its key up in the rows, as it does a token; the key has the present rights of its user. Only a session can make, list
//! and revoke keys, so a lost key can't make others.

use std::collections::BTreeMap;

use ::accounts::NewKey;
use ::accounts::api_key::{ApiKey, KeyId, KeyName};
use ::accounts::audit::Act;
use ::accounts::user::Right;
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::json as json_body;
use crate::http::problem::{self, Code, Problem};
use crate::identity::auth::Session;
use crate::identity::key::Secret;

/// The most keys that a user may have.
const MOST: i64 = 100;
/// The form of [`NewApiKey`], in words.
const FORM: &str = "an object with a text `name`";

/// A key to be
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// A name of your choice: 1 to 64 visible characters, without a space at its ends
    #[schema(example = "nightly backup", min_length = 1, max_length = 64)]
    name: String,
}

/// An API key, without the secret
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey, example = example)]
pub struct KeyView {
    /// The id by which it is revoked
    #[schema(value_type = uuid::Uuid)]
    id: KeyId,
    #[schema(value_type = String)]
    name: KeyName,
    #[schema(value_type = String, format = DateTime)]
    created: Time,
}

impl From<ApiKey> for KeyView {
    fn from(ApiKey { id, name, created }: ApiKey) -> Self {
        Self { id, name, created }
    }
}

/// An API key that was just made
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MadeApiKey, example = made)]
pub struct MadeView {
    /// The id by which it is revoked
    #[schema(value_type = uuid::Uuid)]
    id: KeyId,
    #[schema(value_type = String)]
    name: KeyName,
    #[schema(value_type = String, format = DateTime)]
    created: Time,
    /// For `Authorization: Bearer`. It is told this once
    key: String,
}

/// Make an API key
///
/// Needs a log-in; a key makes no keys. It stands for you, with the rights that you have whenever it is used, until you revoke it.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "users", operation_id = "makeKey",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = NewApiKey, content_type = "application/json"),
    responses((status = 201, description = "Made; the key is not told again", body = MadeView), MakeProblems),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = make(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn make(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let session = Session::of(request).await?;
    session.need_log_in()?;
    let NewApiKey { name } = json_body::read(request, body, Code::InvalidKey, FORM).await?;
    let name: KeyName =
        name.parse().map_err(|error| Code::InvalidKey.because(format!("`name`: {error}.")))?;
    api.admission.need_disk(0).await?;

    let secret = Secret::random().map_err(|error| Problem::internal(&error))?;
    let new = NewKey { id: KeyId::random(), user: session.user, name, hash: secret.hash() };
    let too_many =
        || Code::TooManyKeys.because(format!("A user has at most {MOST}. Revoke one that is not used."));
    let ApiKey { id, name, created } = api.accounts.add_key(new, MOST).await?.ok_or_else(too_many)?;
    Ok(HttpResponse::Created().json(MadeView { id, name, created, key: secret.told() }))
}

/// List your API keys, the oldest first
///
/// Needs a log-in.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "users", operation_id = "listKeys",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Your keys", body = Vec<KeyView>, example = json!([example()])), KeyListProblems),
)]
pub async fn list(api: Data<Api>, session: Session) -> Result<Json<Vec<KeyView>>, Problem> {
    session.need_log_in()?;
    let keys = api.accounts.keys_of(session.user).await?;
    Ok(Json(keys.into_iter().map(KeyView::from).collect()))
}

/// Revoke an API key
///
/// Needs a log-in. The key is invalid from the answer on.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "users", operation_id = "revokeKey",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked"), RevokeProblems),
)]
pub async fn delete(api: Data<Api>, session: Session, request: HttpRequest) -> Result<HttpResponse, Problem> {
    session.need_log_in()?;
    let id = request.match_info().query("id").parse();
    let id = id.map_err(|_| Code::InvalidId.because("An id is a UUID of 36 characters."))?;
    if !api.accounts.remove_key(session.user, id).await? {
        return Err(Code::KeyNotFound.into());
    }
    if session.has(Right::Admin) {
        api.audit(&request, Act::RevokeKey, id, None).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

struct MakeProblems;

impl IntoResponses for MakeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::InvalidJson,
            Code::Unauthenticated,
            Code::Forbidden,
            Code::SlowUpload,
            Code::TooManyKeys,
            Code::BodyTooLarge,
            Code::InvalidKey,
            Code::DatabaseUnavailable,
            Code::Overloaded,
            Code::InsufficientStorage,
        ])
    }
}

struct KeyListProblems;

impl IntoResponses for KeyListProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::Unauthenticated, Code::Forbidden, Code::DatabaseUnavailable])
    }
}

struct RevokeProblems;

impl IntoResponses for RevokeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, Forbidden, InvalidId, KeyNotFound, Unauthenticated};
        problem::responses(&[InvalidId, Unauthenticated, Forbidden, KeyNotFound, DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({
        "id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "name": "nightly backup",
        "created": "2026-01-02T03:04:05.678901Z",
    })
}

fn made() -> Value {
    let mut key = example();
    key["key"] = json!("coatcheck_wZ3pB1m0uXQ7d2s8Yk5nTf9vLr4hJg6cEa0iOxUqPzM");
    key
}
