//! An address: the methods that it takes, and the checks before a request reaches its handler.

use std::future::ready;
use std::rc::Rc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::{Compress, Condition, Next, from_fn};
use actix_web::web::{self, Data};
use actix_web::{Error, HttpRequest, ResponseError, guard};

use crate::app::Api;
use crate::http::addresses::Addresses;
use crate::http::body::Body;
use crate::http::origin;
use crate::http::problem::{Code, Problem};
use crate::identity::access::Audience;
use crate::route::Route;
use crate::settings::Auth;
use crate::site::{missing, page};

/// Serves an address with its routes: admits the [audience](Audience) of each, and rejects other methods with the list of theirs. HEAD
/// is taken wherever GET is.
pub fn resource(path: &str, routes: &[&Route]) -> impl HttpServiceFactory + use<> {
    let mut resource = web::resource(path);
    let mut allowed = Vec::new();
    for Route { method, handler, .. } in routes {
        allowed.push(method.as_str());
        let mut methods = guard::Any(guard::Method(method.clone()));
        if *method == Method::GET {
            allowed.push(Method::HEAD.as_str());
            methods = methods.or(guard::Head());
        }
        resource = resource.route(handler().guard(methods));
    }
    let (allow, described) = (allowed.join(", "), path.trim_end_matches('/').to_owned());
    let refuse = move |request: HttpRequest| ready(missing::method_not_allowed(&request, &described, &allow));
    let audiences = routes.iter().map(|route| (route.method.clone(), route.audience)).collect();
    let gate = Rc::new(Gate { path: path.to_owned(), audiences });
    resource
        .default_service(web::to(refuse))
        .wrap(Condition::new(routes.iter().any(|route| route.is_large), Compress::default()))
        .wrap(from_fn(move |request, next| guarded(gate.clone(), request, next)))
}

/// The audiences of an address.
struct Gate {
    path: String,
    audiences: Vec<(Method, Audience)>,
}

impl Gate {
    /// Returns the audience of a method. A method that the address does not take has that of GET if it is safe, else the narrowest of
    /// all: an anonymous request does not learn which methods a closed address takes.
    fn audience(&self, method: &Method) -> Audience {
        let method = if method.is_safe() { &Method::GET } else { method };
        let of_method = self.audiences.iter().find(|(taken, _)| taken == method);
        let narrowest = || self.audiences.iter().map(|(_, audience)| *audience).max();
        of_method.map(|(_, audience)| *audience).or_else(narrowest).unwrap_or(Audience::Users)
    }

    /// Asserts that a request may come in: no other site is behind it, its client is of the audience, and the address knows all
    /// parameters of its query.
    async fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let api = request.app_data::<Data<Api>>().ok_or(Code::Internal)?;
        let audience = self.audience(request.method());
        if api.access.auth == Auth::Off && audience != Audience::HealthChecks {
            origin::check_host(request, &api.addresses.allowed_hosts)?;
        }
        origin::check(request)?;
        audience.access(&api.access).check(request).await?;
        let addresses = request.app_data::<Data<Addresses>>().ok_or(Code::Internal)?;
        addresses.check_query(request.method(), self.path.trim_end_matches('/'), request.query_string())
    }

    /// Returns whether people look at the address: a refusal is shown to them as a page.
    fn is_page(&self) -> bool {
        self.path.starts_with("/docs") || page::is_file(&self.path)
    }
}

/// Admits the audience of an address before a body is read; the middleware around each.
///
/// # Errors
/// Those of the handler.
async fn guarded(
    gate: Rc<Gate>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Err(problem) = gate.check(request.request()).await else {
        let response = next.call(request).await?.map_into_boxed_body();
        let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
        let page = problem.filter(|_| gate.is_page());
        let page = page.map(|problem| missing::page_refused(response.request(), problem));
        return Ok(match page {
            Some(page) => response.into_response(page),
            None => response,
        });
    };
    let (request, payload) = request.into_parts();
    let refusal = match gate.is_page() {
        true => missing::page_refused(&request, &problem),
        false => problem.error_response(),
    };
    let response = match payload {
        Payload::None => refusal,
        payload => Body::new(payload).unwanted(refusal),
    };
    Ok(ServiceResponse::new(request, response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_is_not_taken_opens_nothing() {
        let of = |audiences: &[(Method, Audience)], method: Method| {
            Gate { path: String::new(), audiences: audiences.to_vec() }.audience(&method)
        };
        let users = [(Method::GET, Audience::Users), (Method::POST, Audience::Anyone)];
        let file = [(Method::GET, Audience::Anyone), (Method::POST, Audience::Users)];
        for (audiences, method, audience) in [
            (&users[..], Method::POST, Audience::Anyone),
            (&users, Method::HEAD, Audience::Users),
            (&users, Method::OPTIONS, Audience::Users),
            (&users, Method::DELETE, Audience::Users),
            (&file, Method::OPTIONS, Audience::Anyone),
            (&file, Method::PUT, Audience::Users),
            (&users[1..], Method::GET, Audience::Anyone),
            (&[], Method::GET, Audience::Users),
        ] {
            assert_eq!(of(audiences, method.clone()), audience, "{method} {audiences:?}");
        }
    }
}
