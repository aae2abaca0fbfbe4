//! Who a request comes from: the token or API key that it brings as `Authorization: Bearer`, or the token in the cookie.
//!
//! One that doesn't hold is a refusal wherever one is read. Nobody is only who brings none.

use std::collections::BTreeSet;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use task_data::user::{Right, UserId, Username};
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::api_keys::{self, Secret};
use crate::origin;
use crate::problem::{Code, Problem};
use crate::server::Api;
use crate::token::Bearer;

/// The cookie that has the token.
pub const COOKIE: &str = "coatcheck_session";

/// A user who is logged in, or whose key it is. As an argument of a handler: the request is refused if there is none.
///
/// A handler that reads a body calls [`Session::of`] itself, so that its refusal ends the connection in good order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub user: UserId,
    pub username: Username,
    /// What he could do when he logged in; with a key, what he may do now.
    pub rights: BTreeSet<Right>,
    /// Whether it is a key that stands for him.
    pub is_key: bool,
}

/// A user who is logged in, or nobody. A token that doesn't hold is refused all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeSession(pub Option<Session>);

impl Session {
    /// Who the request comes from.
    ///
    /// # Errors
    /// 401 if that is nobody; else as [`MaybeSession::of`].
    pub async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if request.headers().contains_key(AUTHORIZATION) && bearer_token(request)?.is_none() {
            return Err(Code::Unauthenticated.because("`Authorization` has a token as `Bearer`."));
        }
        MaybeSession::of(request).await?.0.ok_or_else(|| Code::Unauthenticated.because("Log in first."))
    }

    /// Whether he may do this.
    pub fn has(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Asserts that he may do this.
    ///
    /// # Errors
    /// 403.
    pub fn need(&self, right: Right) -> Result<(), Problem> {
        match self.has(right) {
            true => Ok(()),
            false => Err(Code::Forbidden.because(format!("It needs the right `{right}`."))),
        }
    }

    /// Asserts that he has logged in: what keys may not.
    ///
    /// # Errors
    /// 403.
    pub fn need_log_in(&self) -> Result<(), Problem> {
        match self.is_key {
            false => Ok(()),
            true => Err(Code::Forbidden.because("It needs a log-in; an API key is not enough.")),
        }
    }
}

impl MaybeSession {
    /// Who the request comes from, if he says so. A key is looked up once a request.
    ///
    /// # Errors
    /// 401 if he says so by a token or key that doesn't hold; 403 if another site has made a browser send it; 503 if a key can't be
    /// looked up.
    pub async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if let Some(found) = request.extensions().get::<Self>() {
            return Ok(found.clone());
        }
        let found = Self(Self::find(request).await?);
        request.extensions_mut().insert(found.clone());
        Ok(found)
    }

    async fn find(request: &HttpRequest) -> Result<Option<Session>, Problem> {
        let api = request.app_data::<Data<Api>>().ok_or(Code::Internal)?;
        let invalid = || Code::Unauthenticated.because("The token is not valid, or no longer. Log in again.");
        let (token, is_cookie) = match (bearer_token(request)?, cookie_token(request)?) {
            (Some(token), _) => (token, false),
            (None, Some(token)) => (token, true),
            (None, None) => return Ok(None),
        };
        if let Some(key) = Secret::read(&token).filter(|_| !is_cookie) {
            return api_keys::holder(api, &key).await.map(Some);
        }
        let Bearer { user, username, rights } = api.keys.verify(&token).ok_or_else(invalid)?;
        // A browser sends the cookie by itself, whoever made it ask.
        if is_cookie && !request.method().is_safe() {
            origin::check(request)?;
        }
        Ok(Some(Session { user, username, rights, is_key: false }))
    }

    /// The user's id, if there is one.
    pub fn user(&self) -> Option<UserId> {
        self.0.as_ref().map(|session| session.user)
    }
}

impl FromRequest for Session {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move { Self::of(&request).await }.boxed_local()
    }
}

/// The token in `Authorization`; `None` if that is missing or has another scheme.
fn bearer_token(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut tokens = Vec::new();
    for value in request.headers().get_all(AUTHORIZATION) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let (scheme, token) = value.split_once(' ').unwrap_or((&value, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            tokens.push(token.trim().to_owned());
        }
    }
    only(tokens)
}

fn cookie_token(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let unreadable = |_| Code::Unauthenticated.because("The cookies can't be read.");
    let cookies = request.cookies_raw().map_err(unreadable)?;
    only(cookies.iter().filter(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned()))
}

fn only(tokens: impl IntoIterator<Item = String>) -> Result<Option<String>, Problem> {
    let mut tokens = tokens.into_iter();
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        (_, Some(_)) => Err(Code::Unauthenticated.because("There are several tokens.")),
    }
}

/// The two ways to bring a token, for OpenAPI: `security(("bearer" = []), ("cookie" = []))`.
pub struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The `token` that a log-in gives, or an API key"));
        let cookie = ApiKeyValue::with_description(COOKIE, "The cookie that a log-in sets");
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}
