//! A route: a method of an address, its audience, its handler and its description for OpenAPI.
//!
//! utoipa-actix-web collects descriptions too, but only of handlers that are services of their own. Here the methods of an address share
//! a resource, which answers HEAD, and other methods with 405 and `Allow`.

use actix_web::http::Method;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, PathItem};

use crate::identity::access::Audience;

/// A method of an address. [`route!`] makes it.
pub struct Route {
    pub method: Method,
    /// The pattern that requests are matched with, such as `/api/v1/tasks/{id}`.
    pub path: String,
    pub audience: Audience,
    /// Whether it may answer with much text, which is compressed for clients that take it so.
    pub is_large: bool,
    pub handler: fn() -> actix_web::Route,
    /// A description of the handler alone, with the schemas that it names; `None` for pages, which OpenAPI doesn't describe.
    pub description: Option<OpenApi>,
}

impl Route {
    /// Makes the route of a handler's `#[utoipa::path]`, given the description of that handler alone.
    pub fn described(description: OpenApi, audience: Audience, handler: fn() -> actix_web::Route) -> Self {
        // There is one of each: without a method and a path the attribute does not compile.
        let (path, item) = description.paths.paths.first_key_value().unzip();
        let method = item.and_then(|item| operations(item).next()).map(|(method, _)| method);
        let (method, path) = (method.unwrap_or_default(), path.cloned().unwrap_or_default());
        Self { method, path, audience, is_large: false, handler, description: Some(description) }
    }

    /// Makes a route that OpenAPI does not describe.
    pub fn undescribed(
        method: Method,
        path: impl Into<String>,
        audience: Audience,
        handler: fn() -> actix_web::Route,
    ) -> Self {
        Self { method, path: path.into(), audience, is_large: false, handler, description: None }
    }

    /// Marks its answers as large.
    pub fn large(self) -> Self {
        Self { is_large: true, ..self }
    }
}

/// Makes a [`Route`] of its [`Audience`] and its handler, whose `#[utoipa::path]` has the method, the path and the description; without
/// one of them it does not compile. A route that OpenAPI does not describe names its method and path in the macro.
macro_rules! route {
    ($audience:ident: $($handler:ident)::+) => {{
        #[derive(utoipa::OpenApi)]
        #[openapi(paths($($handler)::+))]
        struct Described;

        $crate::route::Route::described(
            <Described as utoipa::OpenApi>::openapi(),
            $crate::identity::access::Audience::$audience,
            || actix_web::web::to($($handler)::+),
        )
    }};
    ($audience:ident: $method:ident $path:expr, $($handler:ident)::+) => {
        $crate::route::Route::undescribed(
            actix_web::http::Method::$method,
            $path,
            $crate::identity::access::Audience::$audience,
            || actix_web::web::to($($handler)::+),
        )
    };
}

pub(crate) use route;

/// Returns the operations of a path, each with its method.
pub fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}
