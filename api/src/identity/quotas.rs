//! `/api/v1/users/me/quotas`: how much of their quotas a user has used.

use actix_web::web::{Data, Json};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::Api;
use crate::http::problem::Problem;
use crate::identity::auth::Session;
use crate::identity::users::MeProblems;
use crate::settings::QuotaSettings;

/// The used part of a user's quotas, and their bounds; null without a bound
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quotas, example = example)]
pub struct QuotasView {
    /// Tasks that have not ended
    pending: i64,
    #[schema(required)]
    max_pending: Option<u64>,
    /// Bytes in tasks that have not ended
    bytes: i64,
    #[schema(required)]
    max_bytes: Option<u64>,
    /// Tasks that may be handed in within a minute
    #[schema(required)]
    uploads_per_minute: Option<u32>,
}

fn example() -> Value {
    json!({"pending": 3, "max_pending": 100, "bytes": 1024, "max_bytes": null, "uploads_per_minute": 60})
}

/// How much of my quotas is used?
#[utoipa::path(
    get, path = "/api/v1/users/me/quotas", tag = "users", operation_id = "getQuotas",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "What is taken, and the bounds", body = QuotasView), MeProblems),
)]
pub async fn get(api: Data<Api>, session: Session) -> Result<Json<QuotasView>, Problem> {
    let holdings = api.store.holdings(session.user).await?;
    let QuotaSettings { uploads_per_minute, max_pending_per_owner, max_bytes_per_owner } =
        api.admission.quotas().settings;
    Ok(Json(QuotasView {
        pending: holdings.pending,
        max_pending: max_pending_per_owner,
        bytes: holdings.bytes,
        max_bytes: max_bytes_per_owner,
        uploads_per_minute,
    }))
}
