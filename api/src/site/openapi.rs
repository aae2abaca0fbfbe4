//! `/openapi.json`: every call, made of what stands beside the handlers.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::web::Data;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;

use crate::http::addresses::Addresses;
use crate::http::problem::{self, Code, ProblemView};
use crate::identity::access::Access;
use crate::identity::token::Keys;
use crate::identity::{accounts, api_keys, auth, quotas, session, users};
use crate::settings::{AccessSettings, Auth};
use crate::site::health;
use crate::tasks::{events, kinds};
use crate::{records, tasks};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Coatcheck",
        description = "Hand a piece of work in, get a ticket at once, redeem the ticket for the result. The ticket is kept, \
                       whatever crashes.\n\nMD5 is a checksum against accidents, not against attackers."
    ),
    paths(
        tasks::list, tasks::get, events::events, tasks::cancel,
        api_keys::list, api_keys::post, api_keys::delete,
        users::post, users::me, quotas::get, users::password, users::grant, users::revoke,
        accounts::list, accounts::disable, accounts::enable, accounts::remove, accounts::end_sessions, session::post, session::delete,
        records::post, records::bulk::post, records::query::get, records::stats::get,
        health::alive, health::ready, health::metrics, document,
    ),
    components(schemas(Code, ProblemView)),
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

/// The description, as it is served.
pub struct Description(String);

impl Description {
    /// Builds the description for these settings, with the access that each address needs; also returns what it says of each address.
    ///
    /// # Errors
    /// If it can't be put as JSON, which is a bug.
    pub fn build(settings: &AccessSettings, keys: &Keys) -> serde_json::Result<(Self, Addresses)> {
        let mut document = Document::openapi();
        kinds::describe(&mut document);
        auth::describe(keys, &mut document);
        for (path, item) in &mut document.paths.paths {
            let methods = [
                (Method::GET, &mut item.get),
                (Method::PUT, &mut item.put),
                (Method::POST, &mut item.post),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in methods {
                if let Some(operation) = operation {
                    // Any of them refuses parameters that it doesn't know.
                    may_refuse(operation, &[Code::InvalidParameter]);
                    tell_access(settings, operation, &method, Access::of(settings, &method, path));
                }
            }
        }
        // Ends a line, as all answers in JSON do.
        let json = document.to_json()? + "\n";
        Ok((Self(json), Addresses::of(&document.paths)))
    }
}

/// What an operation asks of who comes, and how it refuses the others. What is open may ask for itself.
fn tell_access(settings: &AccessSettings, operation: &mut Operation, method: &Method, access: Access) {
    let mut codes = Vec::new();
    if access == Access::Open {
        let asks = operation.security.get_or_insert_default();
        // Who may come without a token needs none: no padlock, where nobody has to log in.
        if settings.auth == Auth::Off && asks.contains(&SecurityRequirement::default()) {
            asks.clear();
        }
    } else {
        let by = |scheme| SecurityRequirement::new(scheme, [""; 0]);
        operation.security = Some(vec![by("bearer"), by("cookie")]);
        codes.extend([Code::Unauthenticated, Code::DatabaseUnavailable]);
    }
    // Another site may be behind what changes something, and behind any request where nobody has to say who asks.
    if access == Access::Admin || !method.is_safe() || settings.auth == Auth::Off {
        codes.push(Code::Forbidden);
    }
    may_refuse(operation, &codes);
}

fn may_refuse(operation: &mut Operation, codes: &[Code]) {
    for (status, response) in problem::responses(codes) {
        operation.responses.responses.entry(status).or_insert(response);
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
