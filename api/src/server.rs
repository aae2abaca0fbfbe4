//! The server: its addresses, its start and its end.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use access_log::AccessLog;
use accounts::password::Passwords;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, QueryConfig};
use actix_web::{App, HttpServer, dev};
use database::{Database, StoreError};
use nix::sys::resource::{Resource, getrlimit};
use program::{Repeated, announce, in_one_line, taken_address};
use task_data::life::Life;
use task_data::stack::Stack;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::app::Api;
use crate::http::keep_alive::HEADERS_WITHIN;
use crate::http::permits::FairSemaphore;
use crate::http::{params, request};
use crate::identity::secret;
use crate::identity::throttle::Throttle;
use crate::operators::kinds::Loads;
use crate::records::counting::Counting;
use crate::route::Route;
use crate::routes;
use crate::settings::{ApiSettings, Auth};
use crate::site::health::{RetentionTimes, TriedWrites};
use crate::site::{missing, openapi};
use crate::uploads::admission::Admission;

/// How long the server reads on after a rejection, so that the client receives the response.
const LINGER: Duration = Duration::from_secs(5);
/// How long requests under way may take once the server stops.
const DRAIN_SECONDS: u64 = 25;
/// Descriptors reserved from connections, if the process may have at least twice as many: two for each upload that streams in, those of the
/// database and the log, and those of the uploads that a worker in this process reads.
const KEPT_DESCRIPTORS: u64 = 512;
/// The most connections of a thread, where descriptors allow more.
const MOST_CONNECTIONS: usize = 25_000;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// The most answers with rows of tables at a time; each holds a few MiB.
const TABLE_ANSWERS: usize = 16;
/// The most answers with records at a time; each holds up to some 2 MiB.
const RECORD_ANSWERS: usize = 64;
/// The most lists of tasks that are being read, or are large and being sent; each holds up to some 4 MiB.
const LIST_ANSWERS: usize = 32;
/// The most readers of outcomes, each of which has some 24 KiB at most. One client gets half of the places that are free, and so 2,048.
const OUTCOME_READERS: usize = 4096;

/// The most passwords that are hashed or wait for it; fewer than [`Passwords`] has places for. One client gets half of those that are free.
const PASSWORDS: usize = 64;

/// A reason why the server can't start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can't be bound; the text names it.
    #[error("{0}")]
    Listen(String),
    /// The OpenAPI description could not be made.
    #[error("the API's description could not be made: {0}")]
    Description(String),
    /// The key that signs tokens is missing.
    #[error("{0}")]
    JwtSecret(String),
}

/// A bound address that is not listened on yet: clients are refused until a server runs.
#[derive(Debug)]
pub struct Address {
    socket: TcpSocket,
    listen: SocketAddr,
}

impl Address {
    /// Binds the address first, before anything is made that would be left behind if that fails.
    ///
    /// # Errors
    /// [`BindError::Listen`] if it can't be bound.
    pub fn take(listen: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Allows the address of a program that has just ended, but never one that is listened on.
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            Ok(socket)
        };
        bind().map(|socket| Self { socket, listen }).map_err(|error| cannot_listen(listen, &error))
    }

    fn listen(self) -> Result<TcpListener, BindError> {
        let listening = self.socket.listen(BACKLOG).and_then(tokio::net::TcpListener::into_std);
        listening.map_err(|error| cannot_listen(self.listen, &error))
    }
}

fn cannot_listen(listen: SocketAddr, error: &io::Error) -> BindError {
    BindError::Listen(taken_address("LISTEN", listen, error))
}

/// A server that has its address and does not answer yet.
pub struct Server {
    server: dev::Server,
    addresses: Vec<SocketAddr>,
    api: Data<Api>,
    draining: watch::Sender<bool>,
}

impl Server {
    /// Listens on the address; connections wait until the server [runs](Self::run). The access log's batches live on the runtime
    /// that this is called on.
    ///
    /// # Errors
    /// If the address can't be had, or the key that signs tokens is missing.
    pub fn bind(
        address: Address,
        life: Arc<Life>,
        stack: Stack,
        database: &Database,
        settings: ApiSettings,
    ) -> Result<Self, BindError> {
        let (access, addresses, keep_records) =
            (settings.access, settings.addresses.clone(), settings.keep_records);
        let listen = address.listen;
        let keys =
            secret::keys(settings.jwt_secret_file.as_deref(), access.auth).map_err(BindError::JwtSecret)?;
        let (draining, is_draining) = watch::channel(false);
        let Stack { store, queue, blobs, limits, .. } = stack;
        let admission = Admission::new(&life, store.clone(), blobs.clone(), limits.clone(), settings);
        let writes = TriedWrites::new(&store, &blobs);
        let access_log = AccessLog::start(access_log::of(database), keep_records);
        let retention = RetentionTimes::new(life.settings(), keep_records);
        let throttle = Throttle::new(limits.clone());
        let passwords = Passwords::default();
        let routes: Arc<[Route]> = routes::all().into();
        let (description, known) = openapi::Description::build(&routes, &access, &keys)
            .map_err(|error| BindError::Description(error.to_string()))?;
        let (description, known) = (Data::new(description), Data::new(known));
        let api = Data::new(Api {
            loads: Loads::new(&life),
            life,
            store,
            queue,
            blobs,
            limits,
            accounts: accounts::of(database),
            access_log,
            counting: Counting::default(),
            table_answers: FairSemaphore::new(TABLE_ANSWERS),
            record_answers: FairSemaphore::new(RECORD_ANSWERS),
            list_answers: FairSemaphore::new(LIST_ANSWERS),
            outcome_readers: FairSemaphore::new(OUTCOME_READERS),
            admission,
            writes,
            retention,
            keys,
            passwords,
            password_permits: FairSemaphore::new(PASSWORDS),
            throttle,
            access,
            addresses,
            draining: is_draining,
        });
        let proxies = Data::new(api.addresses.trusted_proxies.clone());

        let (handed_out, workers) = (api.clone(), available_parallelism().map_or(1, NonZero::get));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(handed_out.clone())
                .app_data(description.clone())
                .app_data(known.clone())
                .app_data(proxies.clone())
                .app_data(QueryConfig::default().error_handler(|error, _| params::unreadable(error).into()))
                .configure(|config| routes::serve(&routes, config))
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
        .listen(address.listen()?)
        .map_err(|error| cannot_listen(listen, &error))?;
        let server = Self { addresses: server.addrs(), server: server.run(), api, draining };
        if access.auth == Auth::Off {
            server.warn_of_strangers();
        }
        Ok(server)
    }

    /// Returns the addresses that it listens on, with the real port where the setting says 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Warns that anonymous requests may come from other machines.
    fn warn_of_strangers(&self) {
        if let Some(address) = self.addresses.iter().find(|address| !address.ip().is_loopback()) {
            warn!(
                "AUTH is off, and {address} can be reached from other machines: any of their users can read, list and cancel all \
                 tasks; set AUTH=required, or LISTEN=127.0.0.1:{}",
                address.port()
            );
        }
    }

    /// Announces the addresses in a line on standard output, which programs may read.
    ///
    /// # Errors
    /// The exit status if the line can't be written: a program that waits for it would wait for ever.
    pub fn announce(&self) -> Result<(), ExitCode> {
        let line = |address| format!("coatcheck: page http://{address}/ · API http://{address}/docs\n");
        announce(&self.addresses.iter().map(line).collect::<String>())
    }

    /// Serves until `stop`, then accepts nothing new, and ends when requests under way have ended, at most 25 s later.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { server, addresses, api, draining } = self;
        let handle = server.handle();
        for address in addresses {
            info!("listening on http://{address}, {}", reached_by(address, api.access.auth));
        }
        let blobs = api.blobs.clone();
        tokio::spawn({
            let api = api.clone();
            async move { api.admission.warn_of_low_disk().await }
        });
        let outage = Repeated::default();
        let prune = async {
            let failed = |error: StoreError| {
                if let Some(line) = outage.line("old records could not be deleted; the next look goes on") {
                    warn!(error = in_one_line(&error), "{line}");
                }
            };
            api.access_log.prune(failed).await;
            // All are kept.
            pending::<()>().await;
        };
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
            () = prune => {}
        }
        // Uploads that were cut off: the task that received one may never run again.
        blobs.abandon().await;
    }
}

/// Describes for the log which clients can reach an address.
fn reached_by(address: SocketAddr, auth: Auth) -> &'static str {
    match (address.ip().is_loopback(), auth) {
        (true, Auth::Off) => "AUTH=off: open to every user of this machine, and to no other machine",
        (true, Auth::Required) => "AUTH=required: from this machine alone, with a log-in or an API key",
        (false, Auth::Off) => "AUTH=off: open to every machine that reaches it",
        (false, Auth::Required) => {
            "AUTH=required: from every machine that reaches it, with a log-in or an API key"
        }
    }
}

/// Returns the number of connections that each thread may have. Further clients wait to be accepted, so connections never take the
/// descriptors that uploads, the database and the log need.
fn most_connections(threads: usize) -> usize {
    let open = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let kept = (open / 2).min(KEPT_DESCRIPTORS);
    let each = usize::try_from(open - kept).unwrap_or(usize::MAX) / threads;
    each.clamp(1, MOST_CONNECTIONS)
}
