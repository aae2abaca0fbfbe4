//! `/openapi.json`: every call, collected from the descriptions beside the handlers.

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
use crate::identity::auth;
use crate::identity::token::Keys;
use crate::route::Route;
use crate::settings::{AccessSettings, Auth};
use crate::site::page;
use crate::tasks::kinds;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Coatcheck",
        description = "Hand a piece of work in, get a ticket at once, redeem the ticket for the result. The ticket is kept, \
                       whatever crashes.\n\nMD5 is a checksum against accidents, not against attackers."
    ),
    components(schemas(Code, ProblemView)),
    tags(
        (name = "tasks", description = "Tasks of any kind"),
        (name = "outcomes", description = "Ended tasks, in one order for all readers"),
        (name = "users", description = "Users, their sessions, rights and API keys"),
        (name = "access log", description = "Requests that someone served, in the order in which they were reported"),
        (name = "operators", description = "Kinds of tasks and their pauses, workers and their draining, statistics, the audit: for those who run the service"),
        (name = "health", description = "For those who run the server"),
    ),
)]
struct Document;

/// The description, as text to serve.
pub struct Description(String);

impl Description {
    /// Builds the description of the routes for these settings, with the access that each needs; also returns the addresses as it
    /// describes them.
    ///
    /// # Errors
    /// If it can't be written as JSON, which is a bug.
    pub fn build(
        routes: &[Route],
        settings: &AccessSettings,
        keys: &Keys,
    ) -> serde_json::Result<(Self, Addresses)> {
        let mut document = Document::openapi();
        document.tags.get_or_insert_default().splice(..0, kinds::tags());
        auth::describe(keys, &mut document);
        for Route { method, audience, description, .. } in routes {
            let Some(mut description) = description.clone() else { continue };
            for item in description.paths.paths.values_mut() {
                let operations =
                    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
                for operation in operations.into_iter().flatten() {
                    // Any operation may reject an unknown parameter.
                    may_refuse(operation, &[Code::InvalidParameter]);
                    tell_access(settings, operation, method, audience.access(settings));
                }
            }
            document.merge(description);
        }
        // With a line break at its end, as all answers in JSON.
        let json = document.to_json()? + "\n";
        Ok((Self(json), Addresses::of(&document.paths)))
    }
}

/// Describes the credentials that an operation needs and how it rejects requests without them. An open operation may still take some.
fn tell_access(settings: &AccessSettings, operation: &mut Operation, method: &Method, access: Access) {
    let mut codes = Vec::new();
    if matches!(access, Access::Open | Access::Local) {
        let asks = operation.security.get_or_insert_default();
        // An operation that admits anonymous requests shows no padlock where authentication is off.
        if settings.auth == Auth::Off && asks.contains(&SecurityRequirement::default()) {
            asks.clear();
        }
    } else {
        let by = |scheme| SecurityRequirement::new(scheme, [""; 0]);
        operation.security = Some(vec![by("bearer"), by("cookie")]);
        codes.extend([Code::Unauthenticated, Code::DatabaseUnavailable]);
    }
    // Another site may have caused a request that changes something, and any request where authentication is off.
    if matches!(access, Access::With(_)) || !method.is_safe() || settings.auth == Auth::Off {
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
#[utoipa::path(get, path = page::DESCRIPTION, tag = "health", operation_id = "getOpenApi",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub async fn document(description: Data<Description>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header(ContentType::json()).insert_header((CACHE_CONTROL, "no-cache"));
    response.body(description.0.clone())
}
