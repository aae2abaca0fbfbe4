//! Access to routes and tasks. Each route names its [`Audience`], or it does not compile; the settings decide which requests that
//! admits. A request's [`Scope`] tells whose tasks it sees; without one a handler cannot reach a task.

use accounts::user::{Right, UserId};
use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use task_data::task::Task;

use crate::app::Api;
use crate::http::problem::{Code, Problem};
use crate::identity::auth::Session;
use crate::settings::{AccessSettings, Auth, Exposure};

/// The clients that a route is for; later ones are narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audience {
    /// Anyone, including health checks: they use host names of their own, and learn nothing but the health.
    HealthChecks,
    /// Anyone: pages, and where clients register and log in.
    Anyone,
    /// Users where `AUTH` is `required`, else anyone.
    Users,
    /// Anyone, or only admins, as `METRICS` says.
    Metrics,
    /// Anyone, or only admins, as `DOCS` says.
    Docs,
}

impl Audience {
    /// Returns the access that the settings give it.
    pub fn access(self, settings: &AccessSettings) -> Access {
        let exposed = |exposure| if exposure == Exposure::Open { Access::Open } else { Access::Admin };
        match self {
            Self::HealthChecks | Self::Anyone => Access::Open,
            Self::Users if settings.auth == Auth::Off => Access::Open,
            Self::Users => Access::User,
            Self::Metrics => exposed(settings.metrics),
            Self::Docs => exposed(settings.docs),
        }
    }
}

/// The requests that an address admits.
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

/// The tasks that a request may see. To the request, other tasks do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All tasks: authentication is off, or the user is an admin.
    All,
    /// One owner's tasks.
    Of(UserId),
}

impl Scope {
    /// Returns whether the scope includes this task.
    pub fn has(self, task: &Task) -> bool {
        match self {
            Self::All => true,
            Self::Of(user) => task.owner == Some(user),
        }
    }

    /// Returns the owner, if the scope is one owner's tasks.
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
    fn what_a_setting_closes_is_for_admins_and_the_rest_for_users_where_these_must_log_in() {
        let off = AccessSettings { auth: Auth::Off, ..REQUIRED };
        for (audience, required, free) in [
            (Audience::HealthChecks, Access::Open, Access::Open),
            (Audience::Anyone, Access::Open, Access::Open),
            (Audience::Users, Access::User, Access::Open),
            (Audience::Metrics, Access::Open, Access::Open),
            (Audience::Docs, Access::Admin, Access::Admin),
        ] {
            assert_eq!((audience.access(&REQUIRED), audience.access(&off)), (required, free), "{audience:?}");
        }
    }
}
