//! Every address: its path, its methods, and who answers; and what is asked of each request before.

use std::future::ready;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Compress, Condition, Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpRequest, ResponseError, Route, guard};

use crate::app::Api;
use crate::http::body::Body;
use crate::http::origin;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Access;
use crate::identity::{accounts, api_keys, quotas, session, users};
use crate::records;
use crate::settings::Auth;
use crate::site::openapi::Description;
use crate::site::{health, missing, openapi, page};
use crate::tasks;
use crate::tasks::events;
use crate::tasks::kinds::{md5, message, table};

/// What may answer with much JSON: it is compressed for clients that take it so.
const LARGE: [&str; 9] = [
    "/api/data",
    "/api/data/stats",
    "/api/v1/md5",
    "/api/v1/md5/",
    "/api/v1/tables/{id}/rows",
    "/api/v1/tasks",
    page::DESCRIPTION,
    "/docs",
    "/docs/{file:.*}",
];

/// Every address, with the methods that it takes.
pub fn routes(config: &mut ServiceConfig) {
    use Method as M;
    // `curl -T FILE` adds the file's name to an address that ends with a slash, and standard input has none.
    for path in ["/api/v1/md5", "/api/v1/md5/"] {
        let find_or_take = [
            (M::GET, web::to(md5::find)),
            (M::POST, web::to(md5::post)),
            (M::PUT, web::to(md5::put_unnamed)),
        ];
        config.service(resource(path, find_or_take));
    }
    config
        .service(resource("/api/v1/md5/{id}", [(M::GET, web::to(md5::get)), (M::PUT, web::to(md5::put))]))
        .service(resource("/api/v1/messages", [(M::POST, web::to(message::post))]))
        .service(resource("/api/v1/messages/{id}", [(M::GET, web::to(message::get))]))
        .service(resource("/api/v1/providers/free", [(M::GET, web::to(message::free))]))
        .service(resource("/api/v1/tables", [(M::POST, web::to(table::post))]))
        .service(resource("/api/v1/tables/{id}", [(M::GET, web::to(table::get))]))
        .service(resource("/api/v1/tables/{id}/rows", [(M::GET, web::to(table::rows::get))]))
        .service(resource("/api/v1/tables/{id}/retry", [(M::POST, web::to(table::retry::post))]))
        .service(resource(
            "/api/v1/file",
            [(M::GET, web::to(table::page)), (M::POST, web::to(table::elsewhere))],
        ))
        .service(resource("/api/v1/tasks", [(M::GET, web::to(tasks::list))]))
        .service(resource(
            "/api/v1/tasks/{id}",
            [(M::GET, web::to(tasks::get)), (M::DELETE, web::to(tasks::cancel))],
        ))
        .service(resource("/api/v1/tasks/{id}/events", [(M::GET, web::to(events::events))]))
        .service(resource(
            "/api/data",
            [(M::GET, web::to(records::query::get)), (M::POST, web::to(records::post))],
        ))
        .service(resource(
            "/api/v1/keys",
            [(M::GET, web::to(api_keys::list)), (M::POST, web::to(api_keys::post))],
        ))
        .service(resource("/api/v1/keys/{id}", [(M::DELETE, web::to(api_keys::delete))]))
        .service(resource(
            "/api/v1/users",
            [(M::GET, web::to(accounts::list)), (M::POST, web::to(users::post))],
        ))
        .service(resource("/api/v1/users/me", [(M::GET, web::to(users::me))]))
        .service(resource("/api/v1/users/me/quotas", [(M::GET, web::to(quotas::get))]))
        .service(resource("/api/v1/users/me/password", [(M::PUT, web::to(users::password))]))
        .service(resource("/api/v1/users/{id}", [(M::DELETE, web::to(accounts::remove))]))
        .service(resource(
            "/api/v1/users/{id}/disabled",
            [(M::PUT, web::to(accounts::disable)), (M::DELETE, web::to(accounts::enable))],
        ))
        .service(resource("/api/v1/users/{id}/sessions", [(M::DELETE, web::to(accounts::end_sessions))]))
        .service(resource(
            "/api/v1/users/{id}/rights/{right}",
            [(M::PUT, web::to(users::grant)), (M::DELETE, web::to(users::revoke))],
        ))
        .service(resource(
            "/api/v1/session",
            [(M::POST, web::to(session::post)), (M::DELETE, web::to(session::delete))],
        ))
        .service(resource("/api/data/bulk", [(M::POST, web::to(records::bulk::post))]))
        .service(resource("/api/data/stats", [(M::GET, web::to(records::stats::get))]))
        .service(resource("/healthz", [(M::GET, web::to(health::alive))]))
        .service(resource("/readyz", [(M::GET, web::to(health::ready))]))
        .service(resource("/metrics", [(M::GET, web::to(health::metrics))]))
        .service(resource(page::DESCRIPTION, [(M::GET, web::to(openapi::document))]))
        .service(resource("/docs", [(M::GET, web::to(page::docs_index))]))
        .service(resource("/docs/{file:.*}", [(M::GET, web::to(page::docs))]));
    for (path, _) in page::FILES {
        config.service(resource(path, [(M::GET, web::to(page::file))]));
    }
}

/// An address that lets in whom it is [for](Access), refuses all methods but these, and names these then. Whatever is got can be
/// asked for by HEAD.
fn resource<const N: usize>(path: &'static str, routes: [(Method, Route); N]) -> impl HttpServiceFactory {
    let mut resource = web::resource(path);
    let mut allowed = Vec::new();
    for (method, route) in routes {
        allowed.push(method.to_string());
        let mut methods = guard::Any(guard::Method(method.clone()));
        if method == Method::GET {
            allowed.push(Method::HEAD.to_string());
            methods = methods.or(guard::Head());
        }
        resource = resource.route(route.guard(methods));
    }
    let allow = allowed.join(", ");
    let described = path.trim_end_matches('/');
    let refuse = move |request: HttpRequest| ready(missing::method_not_allowed(&request, described, &allow));
    resource
        .default_service(web::to(refuse))
        .wrap(Condition::new(LARGE.contains(&path), Compress::default()))
        .wrap(from_fn(move |request, next| guarded(path, request, next)))
}

/// Asserts that a request may come in: no other site is behind it, and it is for whom it comes from.
async fn check(api: &Api, access: Access, path: &str, request: &HttpRequest) -> Result<(), Problem> {
    // Who looks whether the server lives knows it by a name of its own, and learns nothing else.
    if api.access.auth == Auth::Off && !matches!(path, "/healthz" | "/readyz") {
        origin::check_host(request, &api.addresses.allowed_hosts)?;
    }
    origin::check(request)?;
    access.check(request).await
}

/// The middleware around each address: lets in whom it is for, before a body is read.
///
/// # Errors
/// Those of the handler.
async fn guarded(
    path: &str,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(api) = request.app_data::<Data<Api>>() else { return Err(Problem::from(Code::Internal).into()) };
    let access = Access::of(&api.access, request.method(), path);
    let may_come = check(api, access, path, request.request()).await;
    let Err(problem) = may_come.and_then(|()| check_query(path, &request)) else {
        let response = next.call(request).await?.map_into_boxed_body();
        let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
        let page = problem.filter(|_| is_page(path));
        let page = page.map(|problem| missing::page_refused(response.request(), problem));
        return Ok(match page {
            Some(page) => response.into_response(page),
            None => response,
        });
    };
    let (request, payload) = request.into_parts();
    let refusal = match is_page(path) {
        true => missing::page_refused(&request, &problem),
        false => problem.error_response(),
    };
    let response = match payload {
        Payload::None => refusal,
        payload => Body::new(payload).unwanted(refusal),
    };
    Ok(ServiceResponse::new(request, response))
}

/// Whether an address is of what people look at, who are told in a page why they don't see it.
fn is_page(path: &str) -> bool {
    path.starts_with("/docs") || page::FILES.iter().any(|(page, _)| *page == path)
}

/// Asserts that the address knows all parameters of the query.
fn check_query(path: &str, request: &ServiceRequest) -> Result<(), Problem> {
    let description = request.app_data::<Data<Description>>().ok_or(Code::Internal)?;
    description.addresses.check_query(request.method(), path.trim_end_matches('/'), request.query_string())
}
