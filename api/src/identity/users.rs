//! `/api/v1/users`: registration, passwords and rights.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ::accounts::NewUser;
use ::accounts::audit::Act;
use ::accounts::password::{InvalidPassword, Password};
use ::accounts::user::{Right, TypedName, User, UserId, Username};
use actix_web::web::{Data, Json, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::json as json_body;
use crate::http::problem::{self, Code, Problem};
use crate::identity::accounts::{self, UserProblems};
use crate::identity::auth::{MaybeSession, Session};
use crate::identity::session::{self, SessionView};
use crate::settings::Exposure;
use crate::tasks;

/// The form of [`Credentials`], in words.
pub const FORM: &str = "an object with two texts in it, `username` and `password`";

/// A name and a password
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// 1 to 64 letters, digits and ASCII signs, with single spaces between them (RFC 8265, UsernameCaseMapped): upper and lower case are
    /// one, and so are composed and decomposed characters
    #[schema(example = "ada", min_length = 1, max_length = 64)]
    pub username: String,
    /// At least 8 characters, at most 1024 bytes (RFC 8265, OpaqueString)
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
    /// The user's rights; a right that is granted shows in the tokens of the next log-in
    rights: Vec<RightView>,
}

impl From<User> for UserView {
    fn from(User { id, username, rights }: User) -> Self {
        Self { id, username, rights: rights.into_iter().map(RightView).collect() }
    }
}

/// A right, as a word.
#[derive(Debug, Serialize)]
pub struct RightView(pub Right);

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
/// A new user has no rights; an admin grants them. Where registration is closed, only admins make users.
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
    let is_admins = is_admin_who_registers(api, request).await?;
    let Credentials { username: typed, password } =
        json_body::read(request, body, Code::InvalidUser, FORM).await?;
    let username: Username = typed.parse().map_err(|error| wrong("username", &error))?;
    let password = checked("password", &password)?;
    // Here anyone may learn whether a name is taken, so the rate limit makes that slow.
    if !is_admins {
        api.throttle.register(request).await?;
    }
    let accounts = &api.accounts;
    // It may also be taken by a user from before names were mapped, who logs in by the unmapped name.
    let is_taken = match TypedName::new(&typed) {
        Some(name) => accounts.login(name).await?.is_some(),
        None => false,
    };
    if is_taken {
        return Err(Code::UsernameTaken.into());
    }
    api.admission.need_disk(0).await?;
    let permit = api.password_permit(request).await?;
    let password_hash = api.passwords.hash(password).await?;
    drop(permit);
    let user = User { id: UserId::random(), username, rights: BTreeSet::new() };
    if !accounts.add_user(NewUser { user: user.clone(), password_hash }).await? {
        return Err(Code::UsernameTaken.into());
    }
    if is_admins {
        api.audit(request, Act::CreateUser, user.id, Some(user.username.to_string())).await?;
    }
    Ok(HttpResponse::Created().json(UserView::from(user)))
}

/// Returns whether an admin makes the user. Where anyone may register, the request's user is not looked at.
async fn is_admin_who_registers(api: &Api, request: &HttpRequest) -> Result<bool, Problem> {
    if api.access.registration == Exposure::Open {
        return Ok(false);
    }
    let MaybeSession(session) = MaybeSession::of(request).await?;
    match session.is_some_and(|session| session.has(Right::Admin)) {
        true => Ok(true),
        false => Err(Code::Forbidden.because("Registration is closed here: only admins make users.")),
    }
}

fn wrong(name: &str, why: &dyn ToString) -> Problem {
    Code::InvalidUser.because(format!("`{name}`: {}.", why.to_string()))
}

fn checked(name: &str, password: &str) -> Result<Password, Problem> {
    password.parse().map_err(|error: InvalidPassword| wrong(name, &error))
}

/// A password to be, and the one that it replaces
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    #[schema(example = "correct horse", max_length = 1024, format = Password)]
    current: String,
    /// At least 8 characters, at most 1024 bytes (RFC 8265, OpaqueString)
    #[schema(example = "battery staple", min_length = 8, max_length = 1024, format = Password)]
    new: String,
}

/// Change your password
///
/// Needs a log-in. Ends all your sessions and begins one, whose token the answer has, as a log-in's. API keys stay.
#[utoipa::path(
    put, path = "/api/v1/users/me/password", tag = "users", operation_id = "changePassword",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = NewPassword, content_type = "application/json"),
    responses((status = 200, description = "Changed, and logged in by it", body = SessionView), PasswordProblems),
)]
pub async fn password(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = change_password(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn change_password(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let session = Session::of(request).await?;
    session.need_log_in()?;
    let form = "an object with two texts in it, `current` and `new`";
    let NewPassword { current, new } = json_body::read(request, body, Code::InvalidUser, form).await?;
    let new = checked("new", &new)?;
    let accounts = &api.accounts;
    let user = accounts.account(session.user).await?.ok_or(Code::Unauthenticated)?.user;
    // The open session is not enough: wrong guesses are counted as at a log-in.
    session::known(api, request, user.username.as_str(), current).await?;
    let permit = api.password_permit(request).await?;
    let hash = api.passwords.hash(new).await?;
    drop(permit);
    let sessions = accounts.set_password(user.id, hash).await?.ok_or(Code::Unauthenticated)?;
    session::begin(api, request, &user, sessions)
}

/// Who am I?
#[utoipa::path(
    get, path = "/api/v1/users/me", tag = "users", operation_id = "whoAmI",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "The user as they are now", body = UserView), MeProblems),
)]
pub async fn me(api: Data<Api>, session: Session) -> Result<Json<UserView>, Problem> {
    let account = api.accounts.account(session.user).await?;
    Ok(Json(account.ok_or(Code::Unauthenticated)?.user.into()))
}

/// Grant a right
///
/// For admins. The user's API keys have it at once, tokens from the next log-in on.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/rights/{right}", tag = "users", operation_id = "grantRight",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user"), ("right" = RightView, Path, description = "The right")),
    responses((status = 200, description = "The user, with the right", body = UserView), UserProblems),
)]
pub async fn grant(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<UserView>, Problem> {
    let (id, right) = target(&session, &request)?;
    let user = api.accounts.grant(id, right).await?.ok_or_else(no_user)?;
    api.audit(&request, Act::Grant, id, Some(right.to_string())).await?;
    Ok(Json(user.into()))
}

/// Revoke a right
///
/// For admins. From the answer on neither the user's tokens nor API keys have it, and messages that wait are not paid for.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/rights/{right}", tag = "users", operation_id = "revokeRight",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user"), ("right" = RightView, Path, description = "The right")),
    responses((status = 200, description = "The user, without the right", body = UserView), UserProblems),
)]
pub async fn revoke(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<UserView>, Problem> {
    let (id, right) = target(&session, &request)?;
    let user = api.accounts.revoke(id, right).await?.ok_or_else(no_user)?;
    api.audit(&request, Act::Revoke, id, Some(right.to_string())).await?;
    Ok(Json(user.into()))
}

/// Returns the user and the right that an admin's request names.
fn target(session: &Session, request: &HttpRequest) -> Result<(UserId, Right), Problem> {
    let id = accounts::target(session, request)?;
    let right = request.match_info().query("right").parse();
    Ok((id, right.map_err(|_| Code::NotFound.because("This right does not exist."))?))
}

/// Returns the problem for an id without a user.
pub fn no_user() -> Problem {
    Code::NotFound.because("This user does not exist.")
}

struct RegisterProblems;

impl IntoResponses for RegisterProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::InvalidJson,
            Code::Unauthenticated,
            Code::Forbidden,
            Code::SlowUpload,
            Code::UsernameTaken,
            Code::BodyTooLarge,
            Code::InvalidUser,
            Code::TooManyRequests,
            Code::DatabaseUnavailable,
            Code::Overloaded,
            Code::InsufficientStorage,
        ])
    }
}

/// The problems of requests about their own user, for OpenAPI.
pub struct MeProblems;

impl IntoResponses for MeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::Unauthenticated, Code::DatabaseUnavailable])
    }
}

struct PasswordProblems;

impl IntoResponses for PasswordProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::InvalidJson,
            Code::InvalidCredentials,
            Code::Unauthenticated,
            Code::Forbidden,
            Code::SlowUpload,
            Code::BodyTooLarge,
            Code::InvalidUser,
            Code::TooManyRequests,
            Code::DatabaseUnavailable,
            Code::Overloaded,
        ])
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
