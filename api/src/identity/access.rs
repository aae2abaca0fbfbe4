//! Who may ask what: one table of addresses.
//!
//! What the table doesn't name needs a user where `AUTH` is `required`: an address that is added later is closed until it is
//! named. Whose tasks a request sees is told by its [`Scope`], without which no handler gets at one.

use accounts::user::{Right, UserId};
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use task_data::task::Task;

use crate::app::Api;
use crate::http::problem::{Code, Problem};
use crate::identity::auth::Session;
use crate::settings::{AccessSettings, Auth, Exposure};
use crate::site::page;

/// Whom an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Open,
    /// Any user.
    User,
    /// Users who are admins.
    Admin,
}

impl Access {
    /// What the settings make of an address, given as the pattern that it is routed by.
    pub fn of(settings: &AccessSettings, method: &Method, path: &str) -> Self {
        let door = |door| if door == Exposure::Open { Self::Open } else { Self::Admin };
        match path {
            "/healthz" | "/readyz" => Self::Open,
            // Who has no log-in gets one here.
            "/api/v1/session" => Self::Open,
            "/api/v1/users" if *method == Method::POST => Self::Open,
            // It leads to a page.
            "/api/v1/file" if method.is_safe() => Self::Open,
            path if page::FILES.iter().any(|(file, _)| *file == path) => Self::Open,
            page::DESCRIPTION | "/docs" | "/docs/{file:.*}" => door(settings.docs),
            "/metrics" => door(settings.metrics),
            _ if settings.auth == Auth::Off => Self::Open,
            _ => Self::User,
        }
    }

    /// Asserts that a request may come in.
    ///
    /// # Errors
    /// 401, 403, and those of looking the user up.
    pub async fn check(self, request: &HttpRequest) -> Result<(), Problem> {
        match self {
            Self::Open => Ok(()),
            Self::User => Session::of(request).await.map(|_| ()),
            Self::Admin => Session::of(request).await?.need(Right::Admin),
        }
    }
}

/// Which tasks there are for a request: those of others are to it as if they were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All: nobody has to say who he is, or it is an admin who asks.
    All,
    /// One owner's.
    Of(UserId),
}

impl Scope {
    /// Whether there is this task.
    pub fn has(self, task: &Task) -> bool {
        match self {
            Self::All => true,
            Self::Of(user) => task.owner == Some(user),
        }
    }

    /// The one owner, if it is one's.
    pub fn owner(self) -> Option<UserId> {
        match self {
            Self::All => None,
            Self::Of(user) => Some(user),
        }
    }
}

impl FromRequest for Scope {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let api = request.app_data::<Data<Api>>().ok_or(Code::Internal)?;
            if api.access.auth == Auth::Off {
                return Ok(Self::All);
            }
            let session = Session::of(&request).await?;
            Ok(if session.has(Right::Admin) { Self::All } else { Self::Of(session.user) })
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIRED: AccessSettings = AccessSettings {
        auth: Auth::Required,
        registration: Exposure::Open,
        docs: Exposure::Closed,
        metrics: Exposure::Open,
    };

    #[test]
    fn an_address_that_nobody_has_thought_of_is_closed() {
        for path in [
            "/api/v2/anything",
            "/docs/x",
            "/healthz/",
            "/HEALTHZ",
            "",
            "/api/v1/users",
            "/api/v1/users/{id}",
            "/page.html",
        ] {
            assert_eq!(Access::of(&REQUIRED, &Method::GET, path), Access::User, "{path}");
        }
        assert_eq!(Access::of(&REQUIRED, &Method::GET, "/openapi.json"), Access::Admin);
        assert_eq!(Access::of(&REQUIRED, &Method::GET, "/metrics"), Access::Open);
        assert_eq!(Access::of(&REQUIRED, &Method::GET, "/"), Access::Open);
    }

    #[test]
    fn without_auth_only_what_a_setting_closes_is_closed() {
        let off = AccessSettings { auth: Auth::Off, ..REQUIRED };
        for (path, access) in
            [("/docs", Access::Admin), ("/metrics", Access::Open), ("/api/v1/tasks", Access::Open)]
        {
            assert_eq!(Access::of(&off, &Method::GET, path), access, "{path}");
        }
    }
}
