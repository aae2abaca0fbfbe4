//! PostgreSQL's connections: a pool, TLS as `sslmode` says, and a bound on every wait.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Metrics, QueueMode};
use diesel::ConnectionError;
use diesel::result::{Error as DieselError, QueryResult};
use diesel_async::pooled_connection::deadpool::{Hook, HookError, Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection, RecyclingMethod,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures::FutureExt;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::{PoolUse, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
/// Connections of one process at most.
const CONNECTIONS: usize = 10;
/// Bound on making a connection, and on waiting for a free one.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection that was handed out longer ago is tried before it is again.
const RESTED: Duration = Duration::from_secs(1);
/// Bound on an answer: a little more than the server's own on a statement, which tells more.
const ANSWER: Duration = Duration::from_secs(6);
/// A process that sleeps in a transaction must not wake up in it: what it read is long out of date.
///
/// To plan a statement takes as long as to run it, so each is planned once. That plan must be right however many rows there will
/// be, and so it finds each row that it needs by an index: no table is read through because it is small now. And no bitmap is
/// made of an index: that leaves unnoted which entries lead to rows that are gone, and what is owed to the log would be looked for
/// among all that was owed since the last vacuum. Where there is no index, as on the few rows of the workers, reading through is held
/// for so dear then that the plan would be compiled to machine code each time, for a tenth of a second.
const SERVER_SIDE: &str = "-c statement_timeout=5s -c idle_in_transaction_session_timeout=5s \
    -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off";

/// Why a URL can't be one of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

/// The pool's connections.
pub struct Connections {
    pool: Pool<AsyncPgConnection>,
}

impl Connections {
    /// Connections to that database, none made yet.
    pub fn new(url: &str) -> Result<Self, UrlError> {
        let target = Arc::new(Target::parse(url)?);
        let runtime = Handle::current();
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |_| {
            let (target, runtime) = (target.clone(), runtime.clone());
            // On the runtime that outlives all who ask: a connection belongs to the runtime that has made it.
            let made = async move { runtime.spawn(async move { target.connect().await }).await };
            made.map(|made| made.unwrap_or_else(|error| Err(bad_connection(error)))).boxed()
        });
        // One that its server has closed is seen to be; one that has rested may have died in silence, and is tried.
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config("", config);
        let verify = Hook::async_fn(|connection: &mut AsyncPgConnection, metrics: &Metrics| {
            let has_rested = metrics.last_used() > RESTED;
            async move {
                if has_rested {
                    let verified = RecyclingMethod::Verified;
                    let answered = timeout(CONNECT, connection.ping(&verified)).await;
                    let answered = answered.map_err(|_| HookError::Message("it does not answer".into()))?;
                    answered.map_err(|error| HookError::Backend(PoolError::QueryError(error)))?;
                }
                Ok(())
            }
            .boxed()
        });
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            // Those in use stay warm, with what they have prepared.
            .queue_mode(QueueMode::Lifo)
            .pre_recycle(verify)
            .wait_timeout(Some(CONNECT))
            .create_timeout(Some(CONNECT))
            .recycle_timeout(Some(CONNECT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| UrlError(error.to_string()))?;
        Ok(Self { pool })
    }

    /// Brings the schema up to date. Several processes may try at once: the first does it.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        use diesel_async::SimpleAsyncConnection;
        // Not to go back into the pool: it has settings of its own.
        let mut connection = Object::take(self.get().await?);
        // Held until the connection goes, so that one process migrates at a time.
        answer(connection.batch_execute("SET statement_timeout = 0; SELECT pg_advisory_lock(6302)")).await?;
        let mut harness = AsyncMigrationHarness::new(connection);
        let outcome = tokio::task::block_in_place(|| harness.run_pending_migrations(MIGRATIONS).map(|_| ()));
        let Err(error) = outcome else { return Ok(()) };
        match error.downcast::<DieselError>() {
            Ok(error) => Err((*error).into()),
            // A migration has failed: by itself, if the server still answers.
            Err(error) => match answer(harness.into_inner().batch_execute("SELECT 1")).await {
                Ok(()) => Err(StoreError::Internal(Arc::from(error))),
                Err(_) => Err(StoreError::Unavailable(Arc::from(error))),
            },
        }
    }

    /// How the connections are used.
    pub fn pool_use(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse { used: status.size - status.available, free: status.available }
    }

    /// A connection that answers.
    pub async fn get(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(Arc::new(error)))
    }
}

/// What the server answers, in time. A read that was too late may be repeated; whether a write was committed is unknown.
pub async fn answer<T>(query: impl Future<Output = QueryResult<T>>) -> Result<T, StoreError> {
    match timeout(ANSWER, query).await {
        Ok(outcome) => Ok(outcome?),
        Err(late) => Err(StoreError::Unknown(Arc::new(late))),
    }
}

/// Where and how to connect.
struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`.
    ///
    /// `sslmode` is `disable` (the default; `prefer` is the same, for it protects from nobody), or `require`, `verify-ca` or
    /// `verify-full`: TLS, the server's certificate and name verified against the system's roots, or against those of
    /// `sslrootcert`.
    fn parse(url: &str) -> Result<Self, UrlError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut ssl_mode, mut root_path, mut others) = ("disable", None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = mode,
                Some(("sslrootcert", path)) => root_path = Some(path),
                _ => others.push(parameter),
            }
        }
        let url = format!("{base}?{}", others.join("&"));
        // The parser's own words may repeat the password.
        let mut config: Config = url
            .parse()
            .map_err(|_| UrlError("must be postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()))?;
        let tls = match ssl_mode {
            "disable" | "allow" | "prefer" => None,
            "require" | "verify-ca" | "verify-full" => Some(tls(root_path.map(Path::new))?),
            other => return Err(UrlError(format!("sslmode can't be `{other}`"))),
        };
        let options = match config.get_options() {
            Some(options) => format!("{SERVER_SIDE} {options}"),
            None => SERVER_SIDE.to_owned(),
        };
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .options(options)
            .connect_timeout(CONNECT)
            .tcp_user_timeout(ANSWER);
        Ok(Self { config, tls })
    }

    async fn connect(&self) -> Result<AsyncPgConnection, ConnectionError> {
        match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await.map_err(bad_connection)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(bad_connection)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

fn tls(root_path: Option<&Path>) -> Result<MakeRustlsConnect, UrlError> {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<CertificateDer<'static>> = match root_path {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| UrlError(format!("sslrootcert: {}: {error}", path.display())))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(UrlError("no certificate authorities are known: set sslrootcert".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UrlError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn bad_connection(error: impl std::error::Error) -> ConnectionError {
    // Diesel takes a text only; the cause has what the server said.
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    ConnectionError::BadConnection(format!("{error}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_to_connect() {
        let parse =
            |url: &str| Target::parse(url).map(|target| (target.config.get_ssl_mode(), target.tls.is_some()));

        assert_eq!(parse("postgres://u:p@h:1/d").unwrap(), (SslMode::Disable, false));
        assert_eq!(
            parse("postgres://u:p@h/d?sslmode=prefer&application_name=x").unwrap(),
            (SslMode::Disable, false)
        );
        for wrong in
            ["postgres://u:p@h:port/d", "postgres://h/d?sslmode=perhaps", "postgres://h/d?nonsense=1"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let without_file =
            parse("postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/nowhere").unwrap_err();
        assert!(
            without_file.to_string().contains("/nowhere") && !without_file.to_string().contains("secret")
        );
    }
}
