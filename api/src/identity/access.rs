//! Access to routes and tasks. Each route names its [`Audience`], or it does not compile; the settings decide which requests that
//! admits. A request's [`Scope`] tells whose tasks it sees; without one a handler cannot reach a task.

use accounts::user::{Right, UserId};
use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use task_data::store::Filter;
use task_data::task::Task;

use crate::app::Api;
use crate::http::hops;
use crate::http::problem::{Code, Problem};
use crate::identity::auth::{Session, lacks};
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
    /// Users with the right `viewer` where `AUTH` is `required`, else anyone: for reading.
    Viewers,
    /// Users with the right `operator` where `AUTH` is `required`, else clients on this machine: for changes.
    Operators,
    /// Anyone, or only admins, as `METRICS` says.
    Metrics,
    /// Anyone, or only admins, as `DOCS` says.
    Docs,
}

impl Audience {
    /// Returns the access that the settings give it.
    pub fn access(self, settings: &AccessSettings) -> Access {
        let exposed = |exposure| match exposure {
            Exposure::Open => Access::Open,
            Exposure::Closed => Access::With(Right::Admin),
        };
        match self {
            Self::HealthChecks | Self::Anyone => Access::Open,
            Self::Users if settings.auth == Auth::Off => Access::Open,
            Self::Users => Access::User,
            Self::Viewers if settings.auth == Auth::Off => Access::Open,
            Self::Viewers => Access::With(Right::Viewer),
            Self::Operators if settings.auth == Auth::Off => Access::Local,
            Self::Operators => Access::With(Right::Operator),
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
    /// Clients on the machine of this process.
    Local,
    /// Any user.
    User,
    /// Users with this right, or one that includes it.
    With(Right),
}

impl Access {
    /// Asserts that a request may come in.
    ///
    /// # Errors
    /// 401, 403, and those of looking the user up.
    pub async fn check(self, request: &HttpRequest) -> Result<(), Problem> {
        match self {
            Self::Open => Ok(()),
            Self::Local if hops::is_local(request) => Ok(()),
            Self::Local => {
                let detail = "While AUTH is off, only clients on the server's own machine may do this.";
                Err(Code::Forbidden.because(detail))
            }
            Self::User => Session::of(request).await.map(|_| ()),
            Self::With(right) => Session::of(request).await?.need(right),
        }
    }
}

/// The tasks that a request may see, and change. To the request, other tasks do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All tasks: authentication is off, or the user is an operator.
    All,
    /// All tasks to see, and the user's own to change: the user is a viewer.
    Seen(UserId),
    /// One owner's tasks.
    Of(UserId),
}

impl Scope {
    /// Returns whether the scope includes this task.
    pub fn has(self, task: &Task) -> bool {
        match self {
            Self::All | Self::Seen(_) => true,
            Self::Of(user) => task.owner == Some(user),
        }
    }

    /// Checks that the request may change a task that the scope includes.
    ///
    /// # Errors
    /// 403 if it may only see the task.
    pub fn need_to_change(self, task: &Task) -> Result<(), Problem> {
        match self {
            Self::Seen(user) if task.owner != Some(user) => Err(lacks(Right::Operator)),
            Self::All | Self::Seen(_) | Self::Of(_) => Ok(()),
        }
    }

    /// Returns the scope of the tasks that the request may change.
    pub fn of_changes(self) -> Self {
        match self {
            Self::Seen(user) => Self::Of(user),
            Self::All | Self::Of(_) => self,
        }
    }

    /// Returns the filter within the scope; `None` if the scope has no such tasks.
    pub fn narrowed(self, filter: Filter) -> Option<Filter> {
        match (self.owner(), filter.owner) {
            (Some(own), Some(other)) if own != other => None,
            (own, other) => Some(Filter { owner: own.or(other), ..filter }),
        }
    }

    /// Returns the owner, if the scope is one owner's tasks.
    pub fn owner(self) -> Option<UserId> {
        match self {
            Self::All | Self::Seen(_) => None,
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
            Ok(match session.user {
                _ if session.has(Right::Operator) => Self::All,
                user if session.has(Right::Viewer) => Self::Seen(user),
                user => Self::Of(user),
            })
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
            (Audience::Viewers, Access::With(Right::Viewer), Access::Open),
            (Audience::Operators, Access::With(Right::Operator), Access::Local),
            (Audience::Metrics, Access::Open, Access::Open),
            (Audience::Docs, Access::With(Right::Admin), Access::With(Right::Admin)),
        ] {
            assert_eq!((audience.access(&REQUIRED), audience.access(&off)), (required, free), "{audience:?}");
        }
    }
}
