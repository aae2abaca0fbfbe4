//! `/api/v1/session`: log in, log out.

use std::collections::BTreeMap;

use ::accounts::Login;
use ::accounts::user::{TypedName, User};
use actix_web::http::header::SET_COOKIE;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::task::Time;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::problem::{self, Code, Problem};
use crate::http::{hops, json as json_body};
use crate::identity::auth;
use crate::identity::throttle::Attempt;
use crate::identity::token::{Issued, LIFE};
use crate::identity::users::{Credentials, FORM};

/// A log-in
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session, example = example)]
pub struct SessionView {
    /// For `Authorization: Bearer`, where no cookie is wanted
    token: String,
    /// When it ends; log in again before
    #[schema(value_type = String, format = DateTime)]
    expires: Time,
}

/// Log in
///
/// The token comes in the body and as a cookie, which pages need not see. It has the rights that the user has now. Too many wrong
/// passwords for one name, or from one address, and neither is tried any more for some minutes.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "users", operation_id = "logIn",
    request_body(content = Credentials, content_type = "application/json"),
    responses(
        (status = 200, description = "Logged in, for an hour", body = SessionView,
         headers(("Set-Cookie" = String, description = "The token; the cookie's name is the deployment's"))),
        LogInProblems,
    ),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = log_in(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn log_in(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    let Credentials { username, password } = json_body::read(request, body, Code::InvalidUser, FORM).await?;
    let found = known(api, request, &username, password).await?;
    // The rights may be others by now; the session is the one that the password was for.
    let account = api.accounts.account(found.id).await?.ok_or(Code::InvalidCredentials)?;
    if account.disabled.is_some() {
        return Err(Code::InvalidCredentials.into());
    }
    begin(api, request, &account.user, found.sessions)
}

/// Finds the user of that name and password. Wrong guesses are counted.
///
/// # Errors
/// 401 if no user has this name and password; 429, 503.
pub async fn known(
    api: &Api,
    request: &HttpRequest,
    username: &str,
    password: String,
) -> Result<Login, Problem> {
    let name = TypedName::new(username);
    let attempt = Attempt::new(name.as_ref(), request, &api.keys);
    api.throttle.check(&attempt).await?;

    let found = match name {
        Some(name) => api.accounts.login(name).await?,
        None => None,
    };
    // Neither the words nor the time of the answer may show whether there is such a user.
    let hash = found.as_ref().map(|found| found.password_hash.clone());
    let permit = api.password_permit(request).await?;
    let is_right = api.passwords.verify(password, hash).await?;
    drop(permit);
    let Some(found) = found.filter(|_| is_right) else {
        api.throttle.count(&attempt).await?;
        return Err(Code::InvalidCredentials.into());
    };
    api.throttle.forget(&attempt).await?;
    Ok(found)
}

/// Answers with the token of session number `sessions`, in the body and as a cookie.
///
/// # Errors
/// 500 if the token can't be made, which is a bug.
pub fn begin(api: &Api, request: &HttpRequest, user: &User, sessions: i64) -> Result<HttpResponse, Problem> {
    let issued = api.keys.issue(user, sessions);
    let Issued { token, expires } = issued.map_err(|error| Problem::internal(&error))?;
    let mut response = HttpResponse::Ok();
    if let Some(cookie) = cookies(api, request, &token, LIFE.num_seconds()).next() {
        response.append_header((SET_COOKIE, cookie));
    }
    Ok(response.json(SessionView { token, expires: Time(expires) }))
}

/// Log out
///
/// Deletes the cookie, whatever is in it. A token kept elsewhere stays valid until it expires or your sessions are ended.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "users", operation_id = "logOut",
    responses((status = 204, description = "Logged out"), LogOutProblems),
)]
pub async fn delete(api: Data<Api>, request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    for cookie in cookies(&api, &request, "", 0) {
        response.append_header((SET_COOKIE, cookie));
    }
    response.finish()
}

/// Returns the cookie that is set, and those that processes with an older secret may have set, as values of `Set-Cookie` (RFC 6265).
fn cookies(api: &Api, request: &HttpRequest, token: &str, seconds: i64) -> impl Iterator<Item = String> {
    let is_tls = hops::is_tls(request);
    // A browser would not send a secure cookie back without TLS.
    let secure = if is_tls { "; Secure" } else { "" };
    // Neither a name nor a token has a character that ends it there.
    auth::cookie_names(&api.keys, is_tls).map(move |name| {
        format!("{name}={token}; HttpOnly; SameSite=Strict{secure}; Path=/; Max-Age={seconds}")
    })
}

struct LogInProblems;

impl IntoResponses for LogInProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[
            Code::IncompleteUpload,
            Code::InvalidJson,
            Code::InvalidCredentials,
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

struct LogOutProblems;

impl IntoResponses for LogOutProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::Forbidden])
    }
}

fn example() -> Value {
    json!({
        "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjNmMjkuLi4ifQ.eyJzdWIiOiIwMTk4Li4uIn0.6d2Q",
        "expires": "2026-01-02T04:04:05.000000Z",
    })
}
