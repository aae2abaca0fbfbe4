//! The server of one provider: its addresses, its start and its stop.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::header;
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, Data, JsonConfig, ServiceConfig};
use actix_web::{App, HttpServer, Resource, Route, dev};
use program::announce;
use tracing::{error, info};

use crate::control::Control;
use crate::problem::{Code, Problem};
use crate::provider::Provider;
use crate::stand_in::StandIn;
use crate::{call, openapi};

/// The largest body in bytes.
const BODY: usize = 1 << 20;
/// How long a connection is kept open between two requests: longer than clients reuse it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests in progress may take when the server stops. The provider may have been told to be slower than that.
const DRAIN_SECONDS: u64 = 5;
/// Only our own files; Swagger UI sets styles in its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A server that is bound to its address and does not answer yet.
pub struct Server {
    provider: Provider,
    server: dev::Server,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Binds the address; connections wait until the server [runs](Self::run).
    ///
    /// # Errors
    /// If the address can't be bound.
    pub fn bind(provider: Provider, control: Control, listen: SocketAddr) -> io::Result<Self> {
        let stand_in = Data::new(StandIn::new(provider, control));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(stand_in.clone())
                .app_data(
                    // Any content type: curl's own, too.
                    JsonConfig::default()
                        .limit(BODY)
                        .content_type_required(false)
                        .content_type(|_| true)
                        .error_handler(|error, _| Problem::from(error).into()),
                )
                .configure(|config| routes(config, provider))
                .default_service(web::to(async || Err::<String, _>(Problem::from(Code::NotFound))))
                .wrap(
                    DefaultHeaders::new()
                        .add((header::CONTENT_SECURITY_POLICY, POLICY))
                        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                        .add((header::CACHE_CONTROL, "no-store")),
                )
        })
        // Counting needs only one thread.
        .workers(1)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .bind(listen)?;
        Ok(Self { provider, addresses: server.addrs(), server: server.run() })
    }

    /// Prints its address, in a line on standard output that programs may read.
    ///
    /// # Errors
    /// The exit status, if the line can't be written.
    pub fn announce(&self) -> Result<(), ExitCode> {
        let name = self.provider.name();
        let line =
            |address| format!("coatcheck: {name} provider http://{address}/ · API http://{address}/docs\n");
        announce(&self.addresses.iter().map(line).collect::<String>())
    }

    /// Serves until `stop`, then accepts nothing new and returns when the requests in progress have ended, or after 5 s.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { provider, server, addresses } = self;
        let (name, handle) = (provider.name(), server.handle());
        for address in addresses {
            info!("the {name} provider listens on http://{address}");
        }
        let end = async {
            stop.await;
            handle.stop(true).await;
        };
        tokio::select! {
            ended = server => if let Err(cause) = ended {
                error!("the {name} provider has ended: {cause}");
            },
            () = end => {}
        }
    }
}

/// Adds every address, with the methods that it accepts.
fn routes(config: &mut ServiceConfig, provider: Provider) {
    match provider {
        Provider::Free | Provider::Paid => {
            config.service(resource("/process", "POST", [web::post().to(call::process)]))
        }
        Provider::ThirdParty => config.service(resource("/posts", "POST", [web::post().to(call::post)])),
    };
    let control = [web::get().to(call::control), web::put().to(call::obey)];
    config
        .service(resource("/stats", "GET", [web::get().to(call::stats)]))
        .service(resource("/stats/arrivals", "GET", [web::get().to(call::arrivals)]))
        .service(resource("/reset", "POST", [web::post().to(call::reset)]))
        .service(resource("/control", "GET, PUT", control))
        .service(resource("/healthz", "GET", [web::get().to(call::alive)]))
        .service(resource("/readyz", "GET", [web::get().to(call::ready)]))
        .service(web::redirect("/", "/docs/"))
        .service(web::redirect("/docs", "/docs/"))
        .service(openapi::description(provider))
        .service(openapi::docs());
}

/// Returns an address that rejects all methods but these, and names these in its answer.
fn resource<const N: usize>(path: &str, allow: &'static str, routes: [Route; N]) -> Resource {
    let refused = web::to(move || ready(Err::<String, _>(Problem::method_not_allowed(allow))));
    routes.into_iter().fold(web::resource(path), Resource::route).default_service(refused)
}
