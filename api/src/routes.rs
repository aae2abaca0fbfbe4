//! Every route, a line each: its audience and its handler, whose `#[utoipa::path]` has the method and the path.

use std::collections::BTreeMap;

use actix_web::web::ServiceConfig;

use crate::identity::{accounts, api_keys, audit, quotas, session, users};
use crate::operators;
use crate::records;
use crate::resource::resource;
use crate::route::{Route, route};
use crate::site::{health, openapi, page};
use crate::tasks::{self, events, kinds, list, outcomes, retry};

/// Returns every route. `Allow` lists the methods of one address in this order.
pub fn all() -> Vec<Route> {
    let mut routes = kinds::routes();
    routes.extend([
        route!(Users: list::list).large(),
        route!(Users: tasks::get),
        route!(Users: tasks::cancel),
        route!(Users: retry::post),
        route!(Users: tasks::attempts),
        route!(Users: events::events),
        route!(Users: outcomes::list).large(),
        route!(Users: outcomes::events),
        route!(Users: records::query::get).large(),
        route!(Users: records::post),
        route!(Users: records::bulk::post),
        route!(Users: records::stats::get).large(),
        route!(Anyone: session::post),
        route!(Anyone: session::delete),
        route!(Users: api_keys::list),
        route!(Users: api_keys::post),
        route!(Users: api_keys::delete),
        route!(Users: accounts::list),
        route!(Anyone: users::post),
        route!(Users: accounts::remove),
        route!(Users: accounts::disable),
        route!(Users: accounts::enable),
        route!(Users: accounts::end_sessions),
        route!(Users: users::grant),
        route!(Users: users::revoke),
        route!(Users: users::me),
        route!(Users: users::password),
        route!(Users: quotas::get),
        route!(Viewers: operators::kinds::list),
        route!(Viewers: operators::kinds::scale),
        route!(Operators: operators::kinds::pause),
        route!(Operators: operators::kinds::resume),
        route!(Viewers: operators::stats::get).large(),
        route!(Viewers: operators::workers::list).large(),
        route!(Operators: operators::workers::drain),
        route!(Operators: operators::workers::undo_drain),
        route!(Viewers: audit::list).large(),
        route!(HealthChecks: health::alive),
        route!(HealthChecks: health::ready),
        route!(Metrics: health::metrics),
        route!(Docs: openapi::document).large(),
        route!(Docs: GET "/docs", page::docs_index).large(),
        route!(Docs: GET "/docs/{file:.*}", page::docs).large(),
    ]);
    routes.extend(page::addresses().map(|path| route!(Anyone: GET path, page::file)));
    routes
}

/// Serves the routes, those of one path at one address.
pub fn serve(routes: &[Route], config: &mut ServiceConfig) {
    // In order, so that a path comes before a pattern that it matches: `{` is behind all that stands in paths.
    let mut addresses = BTreeMap::<&str, Vec<&Route>>::new();
    for route in routes {
        addresses.entry(&route.path).or_default().push(route);
    }
    for (path, routes) in addresses {
        config.service(resource(path, &routes));
    }
}
