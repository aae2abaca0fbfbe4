//! `/api/v1/session`: log in, log out.

use std::collections::BTreeMap;

use actix_web::cookie::{Cookie, CookieBuilder, SameSite, time};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};
use task_data::task::Time;
use task_data::user::Username;
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoResponses, ToSchema};

use crate::auth::COOKIE;
use crate::body::Body;
use crate::problem::{self, Code, Problem};
use crate::server::Api;
use crate::throttle::Attempt;
use crate::token::{Issued, LIFE};
use crate::users::{Credentials, FORM};
use crate::{json as json_body, origin};

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
         headers(("Set-Cookie" = String, description = "`coatcheck_session`, the token"))),
        LogInProblems,
    ),
)]
pub async fn post(api: Data<Api>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let mut body = Body::new(payload.into_inner());
    let outcome = log_in(&api, &request, &mut body).await;
    body.answered(outcome)
}

async fn log_in(api: &Api, request: &HttpRequest, body: &mut Body) -> Result<HttpResponse, Problem> {
    origin::check(request)?;
    let Credentials { username, password } = json_body::read(request, body, Code::InvalidUser, FORM).await?;
    let username: Option<Username> = username.parse().ok();
    let attempt = Attempt::new(username.as_ref(), request);
    api.throttle.check(&attempt).await?;

    let store = &api.life.stack().store;
    let found = match username {
        Some(username) => store.login(username).await?,
        None => None,
    };
    // Whether there is such a user must show neither in the words nor in the time that they take.
    let (id, hash) = found.unzip();
    let is_right = api.passwords.verify(password, hash).await?;
    let Some(id) = id.filter(|_| is_right) else {
        api.throttle.count(&attempt).await?;
        return Err(Code::InvalidCredentials.into());
    };
    api.throttle.forget(&attempt).await?;
    let user = store.user(id).await?.ok_or(Code::InvalidCredentials)?;

    let Issued { token, expires } = api.keys.issue(&user).map_err(|error| Problem::internal(&error))?;
    let life = time::Duration::seconds(LIFE.num_seconds());
    let cookie = cookie(request, token.clone()).max_age(life).finish();
    Ok(HttpResponse::Ok().cookie(cookie).json(SessionView { token, expires: Time(expires) }))
}

/// Log out
///
/// Takes the cookie back, whatever is in it. A token that was kept elsewhere holds until it ends.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "users", operation_id = "logOut",
    responses((status = 204, description = "Logged out"), LogOutProblems),
)]
pub async fn delete(request: HttpRequest) -> Result<HttpResponse, Problem> {
    origin::check(&request)?;
    let cookie = cookie(&request, String::new()).max_age(time::Duration::ZERO).finish();
    Ok(HttpResponse::NoContent().cookie(cookie).finish())
}

fn cookie(request: &HttpRequest, token: String) -> CookieBuilder<'static> {
    let cookie = Cookie::build(COOKIE, token).path("/").http_only(true).same_site(SameSite::Strict);
    // Where there is no TLS a browser would not send a secure one back.
    match origin::is_tls(request) {
        true => cookie.secure(true),
        false => cookie,
    }
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
