//! The id of a request, which connects a client's response with the log.

use actix_web::http::header::HeaderName;
use uuid::Uuid;

/// The header that tells a client the id of its request.
pub const ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static ID: Uuid;
}

/// Answers a request under an id of its own.
pub async fn answer<T>(id: Uuid, answered: impl Future<Output = T>) -> T {
    ID.scope(id, answered).await
}

/// Returns the id of the request that is being answered, if any.
pub fn id() -> Option<Uuid> {
    ID.try_with(|id| *id).ok()
}
