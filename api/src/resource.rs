//! An address: which methods it takes, and what is asked of each request before its handler is.

use std::future::ready;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Compress, Condition, Next, from_fn};
use actix_web::web::{self, Data};
use actix_web::{Error, HttpRequest, ResponseError, Route, guard};

use crate::app::Api;
use crate::http::addresses::Addresses;
use crate::http::body::Body;
use crate::http::origin;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Access;
use crate::settings::Auth;
use crate::site::{missing, page};

/// An address that lets in whom it is [for](Access), refuses all methods but these, and names these then. Whatever is got can be
/// asked for by HEAD.
pub fn resource<const N: usize>(path: &'static str, routes: [(Method, Route); N]) -> impl HttpServiceFactory {
    of_size(path, routes, false)
}

/// A [`resource`] that may answer with much JSON: it is compressed for clients that take it so.
pub fn large_resource<const N: usize>(
    path: &'static str,
    routes: [(Method, Route); N],
) -> impl HttpServiceFactory {
    of_size(path, routes, true)
}

fn of_size<const N: usize>(
    path: &'static str,
    routes: [(Method, Route); N],
    is_large: bool,
) -> impl HttpServiceFactory {
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
        .wrap(Condition::new(is_large, Compress::default()))
        .wrap(from_fn(move |request, next| guarded(path, request, next)))
}

/// Asserts that a request may come in: no other site is behind it, and it is for whom it comes from.
async fn check(api: &Api, access: Access, path: &str, request: &HttpRequest) -> Result<(), Problem> {
    // Health checks come by host names of their own, and learn nothing but the health.
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
    let addresses = request.app_data::<Data<Addresses>>().ok_or(Code::Internal)?;
    addresses.check_query(request.method(), path.trim_end_matches('/'), request.query_string())
}
