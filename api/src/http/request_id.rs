//! The id of a request, by which a client and the log speak of the same one.

use actix_web::http::header::HeaderName;
use uuid::Uuid;

/// Tells a client which request of the log was his.
pub const ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static ID: Uuid;
}

/// Answers a request under an id of its own.
pub async fn answer<T>(id: Uuid, answered: impl Future<Output = T>) -> T {
    ID.scope(id, answered).await
}

/// The id of the request that is being answered, if one is.
pub fn id() -> Option<Uuid> {
    ID.try_with(|id| *id).ok()
}
