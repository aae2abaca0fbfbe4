//! `/api/v1/users/…` for admins: lists users, disables and deletes them, and ends their sessions.
//!
//! Each request reads these rows again ([`Session`]), so a change takes effect with the answer, in every process. The last admin needs no
//! protection: `coatcheck user` makes another one in the database itself.

use std::collections::BTreeMap;

use ::accounts::audit::Act;
use ::accounts::user::{Account, Right, User, UserId, Username};
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::params::page_parameters;
use crate::http::problem::{self, Code, Problem};
use crate::identity::auth::Session;
use crate::identity::users::{RightView, no_user};

/// A user, as admins see it
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account, example = example)]
pub struct AccountView {
    /// A UUIDv7
    #[schema(value_type = uuid::Uuid)]
    id: UserId,
    #[schema(value_type = String)]
    username: Username,
    rights: Vec<RightView>,
    #[schema(value_type = String, format = DateTime)]
    created: Time,
    /// Since when the user may not come in; null for one who may
    #[schema(required, value_type = Option<String>, format = DateTime)]
    disabled: Option<Time>,
}

impl From<Account> for AccountView {
    fn from(Account { user: User { id, username, rights }, created, disabled, .. }: Account) -> Self {
        let rights = rights.into_iter().map(RightView).collect();
        Self { id, username, rights, created, disabled }
    }
}

/// A page of users, the oldest first
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountList, example = json!({"users": [example()], "next": null}))]
pub struct AccountList {
    users: Vec<AccountView>,
    /// The value of `after` for the next page; null on the last one
    #[schema(required)]
    next: Option<String>,
}

/// Which users to list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountParameters {
    /// The most users to return; 100 if not given
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the page before
    after: Option<String>,
}

/// List users, the oldest first
///
/// For admins.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "listUsers",
    security(("bearer" = []), ("cookie" = [])),
    params(AccountParameters),
    responses((status = 200, description = "A page of users", body = AccountList), UserListProblems),
)]
pub async fn list(
    api: Data<Api>,
    session: Session,
    parameters: Query<AccountParameters>,
) -> Result<Json<AccountList>, Problem> {
    session.need(Right::Admin)?;
    let (limit, after) = page_parameters(parameters.limit.as_deref(), parameters.after.as_deref())?;
    // One more tells whether there is a next page.
    let mut users = api.accounts.accounts(after.map(|id| UserId(id.0)), limit + 1).await?;
    let has_more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| has_more).map(|account| account.user.id.to_string());
    Ok(Json(AccountList { users: users.into_iter().map(AccountView::from).collect(), next }))
}

/// Disable a user
///
/// For admins. From the answer on, the user can't log in, and their tokens and API keys are rejected. Their tasks go on, but nothing is
/// paid for them.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/disabled", tag = "users", operation_id = "disableUser",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user")),
    responses((status = 200, description = "The user, disabled", body = AccountView, example = disabled), UserProblems),
)]
pub async fn disable(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<AccountView>, Problem> {
    set_disabled(&api, &session, &request, true).await
}

/// Enable a user again
///
/// For admins. API keys are valid again; earlier sessions stay ended.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/disabled", tag = "users", operation_id = "enableUser",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user")),
    responses((status = 200, description = "The user, who may log in", body = AccountView, example = example), UserProblems),
)]
pub async fn enable(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<Json<AccountView>, Problem> {
    set_disabled(&api, &session, &request, false).await
}

async fn set_disabled(
    api: &Api,
    session: &Session,
    request: &HttpRequest,
    is_disabled: bool,
) -> Result<Json<AccountView>, Problem> {
    let id = target(session, request)?;
    let account = api.accounts.set_disabled(id, is_disabled).await?.ok_or_else(no_user)?;
    let act = if is_disabled { Act::DisableUser } else { Act::EnableUser };
    api.audit(request, act, id, Some(account.user.username.to_string())).await?;
    Ok(Json(account.into()))
}

/// Delete a user
///
/// For admins. The name is free again, the API keys are gone, and only admins see the user's tasks from then on.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", tag = "users", operation_id = "deleteUser",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = uuid::Uuid, Path, description = "The user")),
    responses((status = 204, description = "Deleted"), UserProblems),
)]
pub async fn remove(api: Data<Api>, session: Session, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let id = target(&session, &request)?;
    let name = api.accounts.account(id).await?.map(|account| account.user.username.to_string());
    if !api.accounts.remove_user(id).await? {
        return Err(no_user());
    }
    api.audit(&request, Act::DeleteUser, id, name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// End a user's sessions
///
/// For admins, and with `me` as the id for everyone: log out everywhere. API keys stay.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}/sessions", tag = "users", operation_id = "endSessions",
    security(("bearer" = []), ("cookie" = [])),
    params(("id" = String, Path, description = "The user's id, or `me`", example = "me")),
    responses((status = 204, description = "All earlier tokens are invalid"), UserProblems),
)]
pub async fn end_sessions(
    api: Data<Api>,
    session: Session,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = match request.match_info().query("id") {
        "me" => session.user,
        _ => target(&session, &request)?,
    };
    if !api.accounts.end_sessions(id).await? {
        return Err(no_user());
    }
    if id != session.user {
        api.audit(&request, Act::EndSessions, id, None).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Returns the user whom an admin's request names.
///
/// # Errors
/// 403 if the request's user is not an admin; 400 if the id can't be read.
pub fn target(session: &Session, request: &HttpRequest) -> Result<UserId, Problem> {
    session.need(Right::Admin)?;
    let id = request.match_info().query("id").parse();
    id.map_err(|_| Code::InvalidId.because("An id is a UUID of 36 characters."))
}

struct UserListProblems;

impl IntoResponses for UserListProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, Forbidden, InvalidParameter, Unauthenticated};
        problem::responses(&[InvalidParameter, Unauthenticated, Forbidden, DatabaseUnavailable])
    }
}

/// The problems of requests that change a user, for OpenAPI.
pub struct UserProblems;

impl IntoResponses for UserProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Code::{DatabaseUnavailable, Forbidden, InvalidId, NotFound, Unauthenticated};
        problem::responses(&[InvalidId, Unauthenticated, Forbidden, NotFound, DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({
        "id": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "username": "ada", "rights": ["paid"],
        "created": "2026-01-02T03:04:05.678901Z", "disabled": null,
    })
}

fn disabled() -> Value {
    let mut user = example();
    user["disabled"] = json!("2026-02-03T04:05:06.789012Z");
    user
}
