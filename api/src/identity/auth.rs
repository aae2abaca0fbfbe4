//! The user of a request: named by the token or API key that it brings as `Authorization: Bearer`, or by the token in the cookie.
//!
//! An invalid token or key is rejected, never treated as anonymous. Only Coatcheck's own cookie and the scheme `Bearer` are read; other
//! credentials that a browser or a proxy adds are ignored.

use std::collections::BTreeSet;
use std::time::Duration;

use ::accounts::api_key::KeyHash;
use ::accounts::user::{Right, User, UserId};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, COOKIE};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
use chrono::Utc;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::time::sleep;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::app::Api;
use crate::http::problem::{Code, Problem};
use crate::http::{bearer, hops};
use crate::identity::key::Secret;
use crate::identity::token::{Bearer, Keys};

/// How often a long answer looks its session up again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An authenticated user, by session or by API key. A handler that takes this as an argument rejects anonymous requests.
///
/// A handler that reads a body calls [`Session::of`] itself, so that its refusal ends the connection in good order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub user: UserId,
    /// The user's present rights; with a token, only those that it was issued with.
    pub rights: BTreeSet<Right>,
    credential: Credential,
}

/// A token or key that stands for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Credential {
    Token(Bearer),
    Key(KeyHash),
}

/// An authenticated user, or none for an anonymous request. An invalid token is rejected all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeSession(pub Option<Session>);

impl Credential {
    /// Looks up the user whom the credential stands for. The result is not cached, so a revocation takes effect at once in every process.
    ///
    /// # Errors
    /// 401 if the credential has become invalid; 503.
    async fn holder(self, api: &Api) -> Result<Session, Problem> {
        let accounts = &api.accounts;
        let (user, rights) = match &self {
            Self::Key(hash) => {
                let invalid = || Code::Unauthenticated.because("This API key does not exist or was revoked.");
                let User { id, rights, .. } = accounts.user_of_key(*hash).await?.ok_or_else(invalid)?;
                (id, rights)
            }
            Self::Token(token) => {
                if token.expires <= Utc::now() {
                    return Err(ended());
                }
                let account = accounts.account(token.user).await?.ok_or_else(ended)?;
                if account.disabled.is_some() || account.sessions != token.sessions {
                    return Err(ended());
                }
                (token.user, account.user.rights.intersection(&token.rights).copied().collect())
            }
        };
        Ok(Session { user, rights, credential: self })
    }
}

/// Returns the rejection of a request without a right. A token has the rights that its user had when it was issued, so it names the way out.
pub fn lacks(right: Right) -> Problem {
    Code::Forbidden.because(format!("It needs the right `{right}`; log in again after it has been granted."))
}

fn ended() -> Problem {
    Code::Unauthenticated.because("The token is not valid, or no longer. Log in again.")
}

impl Session {
    /// Returns the user whom the request comes from.
    ///
    /// # Errors
    /// 401 for an anonymous request; else as [`MaybeSession::of`].
    pub async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let MaybeSession(session) = MaybeSession::of(request).await?;
        session.ok_or_else(|| match request.headers().contains_key(AUTHORIZATION) {
            true => Code::Unauthenticated.because("`Authorization` has a token as `Bearer`."),
            false => Code::Unauthenticated.because("Log in by POST /api/v1/session, or send an API key."),
        })
    }

    /// Returns whether the user has this right, or one that includes it.
    pub fn has(&self, right: Right) -> bool {
        self.rights.iter().any(|own| own.includes(right))
    }

    /// Checks that the user has this right.
    ///
    /// # Errors
    /// 403.
    pub fn need(&self, right: Right) -> Result<(), Problem> {
        match self.has(right) {
            true => Ok(()),
            false => Err(lacks(right)),
        }
    }

    /// Checks that the user has a session: API keys may not do this.
    ///
    /// # Errors
    /// 403.
    pub fn need_log_in(&self) -> Result<(), Problem> {
        match self.credential {
            Credential::Token(_) => Ok(()),
            Credential::Key(_) => {
                Err(Code::Forbidden.because("It needs a log-in; an API key is not enough."))
            }
        }
    }

    /// Returns once the session has ended or lost a right, for answers that go on. It notices that within [`LOOK_AGAIN`]. An unreachable
    /// database does not end a session early.
    pub async fn ended(self, api: Data<Api>) {
        loop {
            let left = match &self.credential {
                Credential::Token(token) => (token.expires - Utc::now()).to_std().unwrap_or_default(),
                Credential::Key(_) => LOOK_AGAIN,
            };
            sleep(left.min(LOOK_AGAIN)).await;
            match self.credential.clone().holder(&api).await {
                Ok(now) if self.rights.is_subset(&now.rights) => {}
                Ok(_) => return,
                Err(problem) if problem.status_code() == StatusCode::UNAUTHORIZED => return,
                Err(_) => {}
            }
        }
    }
}

impl MaybeSession {
    /// Returns the user of the request, if it brings credentials. They are looked up once a request.
    ///
    /// # Errors
    /// 401 if the token or key is invalid; 503 if it can't be looked up.
    pub async fn of(request: &HttpRequest) -> Result<Self, Problem> {
        if let Some(found) = Self::found(request) {
            return Ok(found);
        }
        let found = Self(Self::find(request).await?);
        request.extensions_mut().insert(found.clone());
        Ok(found)
    }

    /// Returns the user of the request, if they were looked up already.
    pub fn found(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    async fn find(request: &HttpRequest) -> Result<Option<Session>, Problem> {
        let api = request.app_data::<Data<Api>>().ok_or(Code::Internal)?;
        let read = |token: &str| api.keys.verify(token).map(Credential::Token).ok_or_else(ended);
        let credential = match bearer_token(request)? {
            Some(token) => match Secret::read(&token) {
                Some(key) => Credential::Key(key.hash()),
                None => read(&token)?,
            },
            None => match cookie_token(request, &api.keys)? {
                Some(token) => read(&token)?,
                None => return Ok(None),
            },
        };
        credential.holder(api).await.map(Some)
    }

    /// Returns the user's id, if there is a user.
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

/// Returns the tokens in `Authorization`; other schemes are ignored.
fn bearer_token(request: &HttpRequest) -> Result<Option<String>, Problem> {
    only(bearer::tokens(request))
}

/// Returns the token in Coatcheck's own cookie. Other cookies are not read, not even as text.
fn cookie_token(request: &HttpRequest, keys: &Keys) -> Result<Option<String>, Problem> {
    for own in cookie_names(keys, hops::is_tls(request)) {
        let cookies =
            request.headers().get_all(COOKIE).flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let values = cookies.filter_map(|cookie| {
            let (name, value) = cookie.trim_ascii().split_at_checked(own.len())?;
            let value = value.strip_prefix(b"=")?;
            (name == own.as_bytes()).then(|| String::from_utf8_lossy(value).into_owned())
        });
        if let Some(token) = only(values)? {
            return Ok(Some(token));
        }
    }
    Ok(None)
}

/// Returns the names of the cookie with the token: first the one that is set, then those that processes with an older secret have set.
///
/// The secret's id ties the name to this deployment: others may use other ports or paths of the host, and browsers send their cookies too.
/// Over TLS the prefix keeps sibling domains from setting it (RFC 6265bis, 4.1.3.2).
pub fn cookie_names(keys: &Keys, is_tls: bool) -> impl Iterator<Item = String> {
    let prefix = if is_tls { "__Host-" } else { "" };
    keys.ids().map(move |id| format!("{prefix}coatcheck_{id}"))
}

fn only(tokens: impl IntoIterator<Item = String>) -> Result<Option<String>, Problem> {
    let mut tokens = tokens.into_iter();
    match (tokens.next(), tokens.next()) {
        (token, None) => Ok(token),
        (_, Some(_)) => Err(Code::Unauthenticated.because("There are several tokens.")),
    }
}

/// Describes the two ways to bring a token, for OpenAPI: `security(("bearer" = []), ("cookie" = []))`.
pub fn describe(keys: &Keys, description: &mut OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The `token` that a log-in gives, or an API key"));
    let name = cookie_names(keys, false).next().unwrap_or_default();
    let about = "The cookie that a log-in sets; over TLS its name has `__Host-` before it";
    let cookie = ApiKeyValue::with_description(&*name, about);
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
}
