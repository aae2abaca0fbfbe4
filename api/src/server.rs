//! The server: its addresses, its beginning and its end.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::web::{self, Data, QueryConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpServer, Route, dev, guard};
use nix::sys::resource::{Resource, getrlimit};
use program::PrometheusHandle;
use task_data::access_log::AccessLog;
use task_data::life::Life;
use task_data::password::Passwords;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admission::Admission;
use crate::health::TriedWrites;
use crate::kinds::{md5, message, table};
use crate::openapi;
use crate::records::counting::Counting;
use crate::settings::{AccessSettings, AddressSettings, ApiSettings, Auth};
use crate::slots::Slots;
use crate::throttle::Throttle;
use crate::token::Keys;
use crate::{
    access, accounts, api_keys, events, health, missing, page, quota, records, request, secret, session,
    tasks, users,
};

/// How long a client may take for a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection is read on after a refusal, so that the client gets to see it.
const LINGER: Duration = Duration::from_secs(5);
/// How long requests that are under way may take when the server stops.
const DRAIN_SECONDS: u64 = 25;
/// Descriptors that are kept from connections, where the process may have twice as many: two for each upload that streams in, those of the
/// database and the log, and of the uploads that a worker in this process reads.
const KEPT_DESCRIPTORS: u64 = 512;
/// Connections of a thread, where descriptors are no bound.
const MOST_CONNECTIONS: usize = 25_000;

/// What may answer with much JSON: it is compressed for clients that take it so.
const LARGE: [&str; 9] = [
    "/api/data",
    "/api/data/stats",
    "/api/v1/md5",
    "/api/v1/md5/",
    "/api/v1/tables/{id}/rows",
    "/api/v1/tasks",
    openapi::PATH,
    "/docs",
    "/docs/{file:.*}",
];

/// Answers with rows of tables on their way at a time; each holds some MiB at most.
const TABLE_ANSWERS: usize = 16;
/// Answers with records; each holds some 2 MiB at most.
const RECORD_ANSWERS: usize = 64;
/// Lists of tasks that are read, or are large and on their way; each holds some 4 MiB at most.
const LIST_ANSWERS: usize = 32;

/// What every handler is given.
pub struct Api {
    pub life: Arc<Life>,
    pub access_log: AccessLog,
    pub counting: Counting,
    /// Of answers with rows of tables, records and lists of tasks.
    pub table_answers: Arc<Slots>,
    pub record_answers: Arc<Slots>,
    pub list_answers: Arc<Slots>,
    pub metrics: PrometheusHandle,
    pub admission: Admission,
    pub writes: TriedWrites,
    pub keys: Keys,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub access: AccessSettings,
    pub addresses: AddressSettings,
    draining: watch::Receiver<bool>,
}

impl Api {
    /// Whether the server takes nothing new any more.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns when the server begins to stop.
    pub async fn draining(&self) {
        let mut draining = self.draining.clone();
        // The sender is gone only when the server is.
        let _ = draining.wait_for(|is_draining| *is_draining).await;
    }
}

/// Why a server can't be.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can't be had.
    #[error("LISTEN")]
    Listen(#[from] io::Error),
    /// There is no key to sign tokens with.
    #[error("{0}")]
    JwtSecret(String),
}

/// A server that has its address and does not answer yet.
pub struct Server {
    server: dev::Server,
    addresses: Vec<SocketAddr>,
    api: Data<Api>,
    draining: watch::Sender<bool>,
}

impl Server {
    /// Takes the address; connections wait until the server [runs](Self::run). The access log's batches live on the runtime
    /// that this is called on.
    ///
    /// # Errors
    /// If the address can't be had, or there is no key to sign tokens with.
    pub fn bind(
        life: Arc<Life>,
        settings: ApiSettings,
        metrics: PrometheusHandle,
    ) -> Result<Self, BindError> {
        let (listen, access, addresses) = (settings.listen, settings.access, settings.addresses.clone());
        let keys =
            secret::keys(settings.jwt_secret_file.as_deref(), access.auth).map_err(BindError::JwtSecret)?;
        let (draining, is_draining) = watch::channel(false);
        let admission = Admission::new(life.clone(), settings);
        let writes = TriedWrites::new(&life);
        let access_log = AccessLog::start(life.stack());
        let throttle = Throttle::new(life.stack().limits.clone());
        let passwords = Passwords::default();
        let description = Data::new(openapi::Description::build(&access, &keys).map_err(io::Error::other)?);
        let api = Data::new(Api {
            life: life.clone(),
            access_log,
            counting: Counting::default(),
            table_answers: Slots::new(TABLE_ANSWERS),
            record_answers: Slots::new(RECORD_ANSWERS),
            list_answers: Slots::new(LIST_ANSWERS),
            metrics,
            admission,
            writes,
            keys,
            passwords,
            throttle,
            access,
            addresses,
            draining: is_draining,
        });
        let docs = Data::new(page::docs_config());

        let (handed_out, workers) = (api.clone(), available_parallelism().map_or(1, NonZero::get));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(handed_out.clone())
                .app_data(description.clone())
                .app_data(docs.clone())
                .app_data(QueryConfig::default().error_handler(|error, _| tasks::unreadable(error).into()))
                .configure(routes)
                .default_service(web::to(missing::not_found))
                .wrap(from_fn(request::answer))
        })
        .on_connect(request::Connection::begin)
        .workers(workers)
        .max_connections(most_connections(workers))
        .client_request_timeout(HEADERS_WITHIN)
        .client_disconnect_timeout(LINGER)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals()
        .bind(listen)?;
        let server = Self { addresses: server.addrs(), server: server.run(), api, draining };
        if access.auth == Auth::Off {
            server.warn_of_strangers();
        }
        Ok(server)
    }

    /// Where it listens: what port 0 became is told here.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who reaches the server may do all that nobody may.
    fn warn_of_strangers(&self) {
        if let Some(address) = self.addresses.iter().find(|address| !address.ip().is_loopback()) {
            warn!(
                "AUTH is off, and {address} can be reached from other machines: who reaches it reads, lists and cancels all tasks; \
                 set AUTH=required, or LISTEN=127.0.0.1:{}",
                address.port()
            );
        }
    }

    /// Says where it listens, in a line on standard output that programs may read.
    pub fn announce(&self) {
        for address in &self.addresses {
            println!("coatcheck: page http://{address}/ · API http://{address}/docs");
        }
    }

    /// Serves until `stop`, then takes nothing new and ends when what is under way has ended, or after 25 s.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { server, addresses, api, draining } = self;
        let handle = server.handle();
        for address in addresses {
            info!("listening on http://{address}");
        }
        let life = api.life.clone();
        tokio::spawn(async move { api.admission.warn_of_low_disk().await });
        let end = async {
            stop.await;
            draining.send_replace(true);
            handle.stop(true).await;
        };
        tokio::select! {
            ended = server => if let Err(cause) = ended {
                error!("the server has ended: {cause}");
            },
            () = end => {}
        }
        // Of uploads that were cut off: who received them may never get to run again.
        life.stack().blobs.abandon().await;
    }
}

/// Returns how many connections each of the threads may have. Beyond that clients wait to be accepted, so that connections never take the
/// descriptors that uploads, the database and the log need.
fn most_connections(threads: usize) -> usize {
    let open = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let kept = (open / 2).min(KEPT_DESCRIPTORS);
    let each = usize::try_from(open - kept).unwrap_or(usize::MAX) / threads;
    each.clamp(1, MOST_CONNECTIONS)
}

/// Every address, with the methods that it takes.
fn routes(config: &mut ServiceConfig) {
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
        .service(resource("/api/v1/users/me/quotas", [(M::GET, web::to(quota::get))]))
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
        .service(resource(openapi::PATH, [(M::GET, web::to(openapi::document))]))
        .service(resource("/docs", [(M::GET, web::to(page::docs_index))]))
        .service(resource("/docs/{file:.*}", [(M::GET, web::to(page::docs))]));
    for (path, _) in page::FILES {
        config.service(resource(path, [(M::GET, web::to(page::file))]));
    }
}

/// An address that lets in whom it is [for](access::Access), refuses all methods but these, and names these then. Whatever is got can be
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
        .wrap(from_fn(move |request, next| access::guard(path, request, next)))
}
