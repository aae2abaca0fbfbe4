//! `/api/v1/users`: who may log in, and what each may do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::password::Password;
use task_data::store::NewUser;
use task_data::user::{Right, User, UserId, Username};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::auth::Session;
use crate::body::Body;
use crate::problem::{self, Code, Problem};
use crate::server::Api;
use crate::{json as json_body, tasks};

/// What [`Credentials`] are, in words.
pub const FORM: &str = "an object with two texts in it, `username` and `password`";

/// A name and a password
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// 1 to 64 visible characters, without a space at its ends; upper and lower case are two
    #[schema(example = "ada", min_length = 1, max_length = 64)]
    pub username: String,
    /// At least 8 characters, at most 1024 bytes
    #[schema(example = "correct horse", min_length = 8, max_length = 1024, format = Password)]
    pub password: String,
}

/// A user
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User, example = example)]
pub struct UserView {
    /// A UUIDv7
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    #[schema(value_type = String)]
    username: Username,
    /// What he may do; it shows in the tokens of his next log-in
    #[schema(value_type = Vec<RightView>)]
    rights: BTreeSet<Right>,
}

impl From<User> for UserView {
    fn from(User { id, username, rights }: User) -> Self {
        Self { id, username, rights }
    }
}

/// A right, for OpenAPI.
pub struct RightView;

impl PartialSchema for RightView {
    fn schema() -> RefOr<Schema> {
        tasks::words("What a user may do beyond what every user may", Right::ALL.map(Right::name)).into()
    }
}

impl ToSchema for RightView {
    fn name() -> Cow<'static, str> {
        "Right".into()
    }
}

/// Register
///
/// Who registers has no rights; an admin grants them.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", operation_id = "register",
    request_body(content = Credentials, content_type = "application/json"),
    responses((status = 201, description = "Registered", body = UserView, example = registered), RegisterProblems),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = register(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn register(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let Credentials { username, password } = json_body::read(request, body, Code::InvalidUser, FORM).await?;
    let wrong =
        |name: &str, why: &dyn ToString| Code::InvalidUser.because(format!("`{name}`: {}.", why.to_string()));
    let username: Username = username.parse().map_err(|error| wrong("username", &error))?;
    let password: Password = password.parse().map_err(|error| wrong("password", &error))?;
    api.admission.need_disk(0).await?;
    let password_hash = api.passwords.hash(password).await?;
    let user = User { id: UserId::random(), username, rights: BTreeSet::new() };
    match api.life.stack().store.add_user(NewUser { user: user.clone(), password_hash }).await? {
        true => Ok(HttpResponse::Created().json(UserView::from(user))),
        false => Err(Code::UsernameTaken.into()),
    }
}

/// Who am I?
#[utoipa::path(
    get, path = "/api/v1/users/me", tag = "users", operation_id = "whoAmI",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "The user as he is now", body = UserView), MeProblems),
)]
pub async fn me(api: Data<Api>, session: Session) -> Result<Json<UserView>, Problem> {
    let user = api.life.stack().store.user(session.user).await?;
    Ok(Json(user.ok_or(Code::Unauthenticated)?.into()))
}

/// Grant a right
///
/// For admins. The user has it from his next log-in on.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/rights/{right}", tag = "users", operation_id = "grantRight",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user"), ("right" = RightView, Path, description = "The right")),
    responses((status = 200, description = "The user, with the right", body = UserView), RightProblems),
)]
pub async fn grant(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<UserView>, Problem> {
    let (id, right) = target(&session, &request)?;
    let user = api.life.stack().store.grant(id, right).await?;
    Ok(Json(user.ok_or_else(no_user)?.into()))
}

/// Revoke a right
///
/// For admins. Tokens that the user has already hold until they end, within an hour.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/rights/{right}", tag = "users", operation_id = "revokeRight",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user"), ("right" = RightView, Path, description = "The right")),
    responses((status = 200, description = "The user, without the right", body = UserView), RightProblems),
)]
pub async fn revoke(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<UserView>, Problem> {
    let (id, right) = target(&session, &request)?;
    let user = api.life.stack().store.revoke(id, right).await?;
    Ok(Json(user.ok_or_else(no_user)?.into()))
}

/// Whom an admin means, and what.
fn target(session: &Session, request: &HttpRequest) -> Result<(UserId, Right), Problem> {
    session.need(Right::Admin)?;
    let segment = |name| request.match_info().query(name);
    let id =
        segment("id").parse().map_err(|_| Code::InvalidId.because("An id is a UUID of 36 characters."))?;
    let right = segment("right").parse().map_err(|_| Code::NotFound.because("There is no such right."))?;
    Ok((id, right))
}

fn no_user() -> Problem {
    Code::NotFound.because("There is no such user.")
}

struct RegisterProblems;

impl IntoResponses for RegisterProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::InvalidJson,
            Code::SlowUpload,
            Code::UsernameTaken,
            Code::BodyTooLarge,
            Code::InvalidUser,
            Code::DatabaseUnavailable,
            Code::Overloaded,
            Code::InsufficientStorage,
        ])
    }
}

struct MeProblems;

impl IntoResponses for MeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::Unauthenticated, Code::DatabaseUnavailable])
    }
}

struct RightProblems;

impl IntoResponses for RightProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, Forbidden, InvalidId, NotFound, Unauthenticated};
        problem::responses(&[InvalidId, Unauthenticated, Forbidden, NotFound, DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({"id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "username": "ada", "rights": ["paid"]})
}

fn registered() -> Value {
    let mut user = example();
    user["rights"] = json!([]);
    user
}
