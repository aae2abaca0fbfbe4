//! `/openapi.json`: every call, made of what stands beside the handlers.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::web::Data;
use utoipa::OpenApi;

use crate::auth::Schemes;
use crate::problem::{Code, ProblemView};
use crate::{events, health, kinds, records, session, tasks, users};

/// Where the description is found.
pub const PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Coatcheck",
        description = "Hand a piece of work in, get a ticket at once, redeem the ticket for the result. The ticket is kept, \
                       whatever crashes.\n\nMD5 is a checksum against accidents, not against attackers."
    ),
    paths(
        kinds::md5::post, kinds::md5::put, kinds::md5::get, kinds::md5::find,
        kinds::message::post, kinds::message::get, kinds::message::free,
        kinds::table::post, kinds::table::get, kinds::table::rows::get, kinds::table::page, kinds::table::elsewhere,
        tasks::list, tasks::get, events::events, tasks::cancel,
        users::post, users::me, users::grant, users::revoke, session::post, session::delete,
        records::post, records::bulk::post, records::query::get, records::stats::get,
        health::alive, health::ready, health::metrics, document,
    ),
    components(schemas(Code, ProblemView)),
    modifiers(&Schemes),
    tags(
        (name = "md5", description = "Digests of files"),
        (name = "messages", description = "Messages to a free and a paid provider"),
        (name = "tables", description = "Rows to a third party"),
        (name = "tasks", description = "Tasks of any kind"),
        (name = "users", description = "Who is logged in, and what he may do"),
        (name = "access log", description = "Requests that someone served, in the order in which they were reported"),
        (name = "health", description = "For those who run the server"),
    ),
)]
struct Document;

/// The description as it is served.
pub struct Description(String);

impl Description {
    /// # Errors
    /// If it can't be put as JSON, which is a bug.
    pub fn build() -> serde_json::Result<Self> {
        Document::openapi().to_json().map(Self)
    }
}

/// This description
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "getOpenApi",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub async fn document(description: Data<Description>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(ContentType::json()).insert_header((CACHE_CONTROL, "no-cache"));
    response.body(description.0.clone())
}
