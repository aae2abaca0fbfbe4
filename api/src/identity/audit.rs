//! `/api/v1/audit`: what operators and admins have done.

use std::collections::BTreeMap;

use ::accounts::audit::{Act, Entry, NewEntry};
use ::accounts::user::UserId;
use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use task_data::task::{TaskId, Time};
use utoipa::openapi::{RefOr, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::app::Api;
use crate::http::hops;
use crate::http::params::{page_limit, parsed, wrong};
use crate::http::problem::{self, Code, Problem};
use crate::identity::auth::MaybeSession;

impl Api {
    /// Records an act of the request's user, or of its client where it is anonymous. A handler calls it after the act and before its answer.
    ///
    /// # Errors
    /// 401 and 503, as for looking the user up; 503 if it can't be recorded.
    pub async fn audit(
        &self,
        request: &HttpRequest,
        act: Act,
        target: impl ToString,
        detail: Option<String>,
    ) -> Result<(), Problem> {
        let user = MaybeSession::of(request).await?.user();
        let who = match user {
            // Of a user that was deleted meanwhile, only the id is known.
            Some(id) => {
                self.accounts.account(id).await?.map_or(id.to_string(), |it| it.user.username.to_string())
            }
            None => hops::client(request).map_or_else(|| "unknown".to_owned(), |client| client.to_string()),
        };
        Ok(self.accounts.add_entry(NewEntry { user, who, act, target: target.to_string(), detail }).await?)
    }

    /// Records an act on a task, unless the task is the user's own: see [`audit`](Self::audit).
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub async fn audit_of_another(
        &self,
        request: &HttpRequest,
        act: Act,
        (id, owner): (TaskId, Option<UserId>),
        detail: Option<String>,
    ) -> Result<(), Problem> {
        match MaybeSession::of(request).await?.user() == owner {
            true => Ok(()),
            false => self.audit(request, act, id, detail).await,
        }
    }
}

/// Something that an operator or an admin has done
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Act, example = example)]
struct ActView {
    /// Later acts have higher numbers
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// The user who did it, who may be deleted by now; null without a log-in
    #[schema(value_type = Option<uuid::Uuid>, required)]
    user: Option<UserId>,
    /// The user's name at that time; without a log-in the client's address, or the command
    #[schema(example = "ada")]
    who: String,
    /// The act: `pause`, `resume`, `retry`, `purge`, `bulk`, `cancel`, `drain`, `create-user`, `set-password`, `grant`, `revoke`,
    /// `disable-user`, `enable-user`, `delete-user`, `end-sessions`, `revoke-key`; newer versions may have others
    #[schema(example = "cancel")]
    act: String,
    /// The id, or the name, of what it was done to
    target: String,
    /// More about it, such as the right that was granted
    #[schema(required)]
    detail: Option<String>,
}

impl From<Entry> for ActView {
    fn from(Entry { id, at, user, who, act, target, detail }: Entry) -> Self {
        Self { id, at, user, who, act, target, detail }
    }
}

/// A page of acts, newest first
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Audit, example = json!({"acts": [example()], "next": null}))]
pub struct AuditView {
    acts: Vec<ActView>,
    /// The value of `after` for the next page; null on the last one
    #[schema(required)]
    next: Option<String>,
}

/// Which acts to list
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParameters {
    /// The most acts to return; 100 if not given
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the page before
    after: Option<String>,
}

/// Read the audit, newest first
///
/// Acts of operators and admins on tasks, kinds, workers and users that are not their own. For viewers.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "operators", operation_id = "readAudit", params(AuditParameters),
    responses((status = 200, description = "A page of acts", body = AuditView), AuditProblems),
)]
pub async fn list(api: Data<Api>, parameters: Query<AuditParameters>) -> Result<Json<AuditView>, Problem> {
    let limit = page_limit(parameters.limit.as_deref())?;
    let after: Result<Option<i64>, _> = parsed("after", parameters.after.as_deref());
    let after = after.map_err(|_| wrong("after", "it is the `next` of another page"))?;
    // One more tells whether there is a next page.
    let mut acts = api.accounts.entries(after, limit + 1).await?;
    let has_more = acts.len() > limit as usize;
    acts.truncate(limit as usize);
    let next = acts.last().filter(|_| has_more).map(|entry| entry.id.to_string());
    Ok(Json(AuditView { acts: acts.into_iter().map(ActView::from).collect(), next }))
}

struct AuditProblems;

impl IntoResponses for AuditProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem::responses(&[Code::InvalidParameter, Code::DatabaseUnavailable])
    }
}

fn example() -> Value {
    json!({
        "id": 17, "at": "2026-01-02T03:04:05.678901Z", "user": "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d", "who": "ada", "act": "cancel",
        "target": "0198c5a2-7b3e-7c40-9d55-2f0e8a1b6c3d", "detail": null,
    })
}
