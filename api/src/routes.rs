//! Every address: its path, its methods, and who answers.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use crate::identity::{accounts, api_keys, quotas, session, users};
use crate::records;
use crate::resource::{large_resource, resource};
use crate::site::{health, openapi, page};
use crate::tasks::{self, events, kinds};

/// Every address, with the methods that it takes.
pub fn routes(config: &mut ServiceConfig) {
    use Method as M;
    kinds::routes(config);
    config
        .service(large_resource("/api/v1/tasks", [(M::GET, web::to(tasks::list))]))
        .service(resource(
            "/api/v1/tasks/{id}",
            [(M::GET, web::to(tasks::get)), (M::DELETE, web::to(tasks::cancel))],
        ))
        .service(resource("/api/v1/tasks/{id}/events", [(M::GET, web::to(events::events))]))
        .service(large_resource(
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
        .service(large_resource("/api/data/stats", [(M::GET, web::to(records::stats::get))]))
        .service(resource("/healthz", [(M::GET, web::to(health::alive))]))
        .service(resource("/readyz", [(M::GET, web::to(health::ready))]))
        .service(resource("/metrics", [(M::GET, web::to(health::metrics))]))
        .service(large_resource(page::DESCRIPTION, [(M::GET, web::to(openapi::document))]))
        .service(large_resource("/docs", [(M::GET, web::to(page::docs_index))]))
        .service(large_resource("/docs/{file:.*}", [(M::GET, web::to(page::docs))]));
    for (path, _) in page::FILES {
        config.service(resource(path, [(M::GET, web::to(page::file))]));
    }
}
