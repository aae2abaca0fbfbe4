//! Parses `DATABASE_URL`: its parameters, TLS as `sslmode` says, and the settings of a session.

use std::path::Path;

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_postgres::config::{ChannelBinding, Config, Host, SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsStream};
use tokio_postgres::{Client, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{ANSWER, CONNECT};
use super::session::Session;
use super::wire::{LastError, Wire};

/// The settings of each session, unless the URL's `options` say otherwise. `SET` rather than start-up options, which PgBouncer rejects.
///
/// A commit is answered only once the disk has it: `synchronous_commit` is never `off`, whatever the database's default is.
/// Statements have a time-out, and so have idle transactions: a process that slept in a transaction must not continue with what it read
/// before. Statements see what was committed before them, whatever the database's default is: each reads a row again once it has the lock.
///
/// Planning a statement takes as long as running it, so each is planned once. That plan must be right however many rows there will be, so
/// it finds rows by an index: it never scans a table that is small now. Bitmap scans are off: they don't mark which index entries lead to
/// dead rows, and each search for due lines would visit all lines that were due since the last vacuum. Where a table without an index must
/// be scanned, as that of the few workers, its estimated cost is so high that the plan would be compiled to machine code each time, for a
/// tenth of a second.
///
/// `coatcheck.feeds` says that this session's statements enter the tasks that they end in the feed. For a session without it, such as one
/// of the version before, a trigger does that.
const SET: &str = "SELECT set_config(name, \
    CASE WHEN value = 'not off' THEN COALESCE(NULLIF(setting, 'off'), 'on') ELSE value END, false) \
    FROM (VALUES ('synchronous_commit', 'not off'), \
    ('statement_timeout', '5s'), ('idle_in_transaction_session_timeout', '5s'), \
    ('default_transaction_isolation', 'read committed'), \
    ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('jit', 'off') \
    ) AS ours (name, value) JOIN pg_settings USING (name) WHERE source <> 'client'; \
    SELECT set_config('coatcheck.feeds', 'on', false)";

/// The parameters that a URL may have.
const PARAMETERS: [&str; 17] = [
    "application_name",
    "channel_binding",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
];

/// How often two connections are asked for their sessions. Once is enough if no other program uses the pooler.
const ROUNDS: usize = 4;

/// Moves a connection's bytes until it is dropped.
pub type Driver = AbortOnDropHandle<()>;

/// Why a URL is not one of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(pub(super) String);

/// The address to connect to, and the way.
pub struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Parses `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`.
    ///
    /// `sslmode` is `disable` (the default; `prefer` means the same, since it gives no protection), or `require`, `verify-ca` or
    /// `verify-full`: TLS, with the server's certificate and name verified against the system's authorities, or against those of
    /// `sslrootcert`.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut ssl_mode, mut root_path, mut others) = ("disable", None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            // The values are not repeated: one may be a password.
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => ssl_mode = value,
                "sslrootcert" => root_path = Some(value),
                name if !PARAMETERS.contains(&name) => {
                    let supported = PARAMETERS.join(", ");
                    return Err(UrlError(format!(
                        "parameter `{name}` is not supported; supported: {supported}"
                    )));
                }
                _ if format!("postgres://h?{parameter}").parse::<Config>().is_err() => {
                    return Err(UrlError(format!("parameter `{name}` has an invalid value")));
                }
                _ => others.push(parameter),
            }
        }
        let url = format!("{base}?{}", others.join("&"));
        // The parser's own error may repeat the password.
        let mut config: Config = url
            .parse()
            .map_err(|_| UrlError("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()))?;
        let tls = match ssl_mode {
            "disable" | "allow" | "prefer" => None,
            "require" | "verify-ca" | "verify-full" => Some(tls(root_path.map(Path::new))?),
            other => {
                return Err(UrlError(format!(
                    "parameter `sslmode`: expected disable, prefer, require, verify-ca or verify-full, got `{other}`"
                )));
            }
        };
        if tls.is_none() && config.get_channel_binding() == ChannelBinding::Require {
            return Err(UrlError(
                "parameter `channel_binding`: `require` needs sslmode=require or stricter".to_owned(),
            ));
        }
        // For a server that is named only by its address, this is the name.
        if config.get_hosts().is_empty() {
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        // Always "TLS", for our own stream; in the clear that requests nothing from the server.
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(if tls.is_some() { SslNegotiation::Postgres } else { SslNegotiation::Direct })
            .connect_timeout(CONNECT)
            .tcp_user_timeout(ANSWER);
        Ok(Self { config, tls })
    }

    /// Connects, and begins a session.
    pub async fn connect(&self) -> Result<Session, ConnectionError> {
        let last_error = LastError::default();
        let wire = Wire { tls: self.tls.clone(), last_error: last_error.clone() };
        let (client, driver) = self.client(wire).await?;
        let connection = AsyncPgConnection::try_from(client).await?;
        let mut session = Session::new(connection, last_error, driver);
        session.batch_execute(SET).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(session)
    }

    /// Returns whether a pooler in between assigns a session to each transaction. Two connections ask by turns: if each has a session of
    /// its own, the two differ and stay the same. Leaves nothing in a session.
    pub async fn shares_sessions(&self) -> Result<bool, ConnectionError> {
        let wire = || Wire { tls: self.tls.clone(), last_error: LastError::default() };
        let ((one, _driver), (other, _other_driver)) =
            (self.client(wire()).await?, self.client(wire()).await?);
        let mut before = None;
        for _ in 0..ROUNDS {
            let sessions = (session_of(&one).await?, session_of(&other).await?);
            if sessions.0 == sessions.1 || before.is_some_and(|before| before != sessions) {
                return Ok(true);
            }
            before = Some(sessions);
        }
        Ok(false)
    }

    async fn client(&self, mut wire: Wire<MakeRustlsConnect>) -> Result<(Client, Driver), ConnectionError> {
        // `connect` does not pass TLS a Unix socket's stream.
        if let [Host::Unix(folder)] = self.config.get_hosts() {
            let port = self.config.get_ports().first().unwrap_or(&5432);
            let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await;
            let socket = socket.map_err(bad_connection)?;
            let wire = MakeTlsConnect::<UnixStream>::make_tls_connect(&mut wire, "");
            let made = self.config.connect_raw(socket, wire.map_err(bad_connection)?).await;
            let (client, connection) = made.map_err(bad_connection)?;
            return Ok((client, drive(connection)));
        }
        let (client, connection) = self.config.connect(wire).await.map_err(bad_connection)?;
        Ok((client, drive(connection)))
    }
}

fn drive<S, T>(mut connection: Connection<S, T>) -> Driver
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: TlsStream + Send + Unpin + 'static,
{
    // Notices are ignored; an error ends the connection, and so does its client.
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    Driver::new(tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} }))
}

async fn session_of(client: &Client) -> Result<Option<String>, ConnectionError> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await.map_err(bad_connection)?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

fn tls(root_path: Option<&Path>) -> Result<MakeRustlsConnect, UrlError> {
    let file = root_path.map(|path| ("sslrootcert", path));
    Ok(MakeRustlsConnect::new(program::tls::client(file).map_err(UrlError)?))
}

pub fn bad_connection(error: impl std::error::Error) -> ConnectionError {
    // Diesel accepts only a text; the cause has the server's message.
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    ConnectionError::BadConnection(format!("{error}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Target::parse(url).err().unwrap_or_else(|| panic!("{url} is taken")).to_string()
    }

    #[test]
    fn a_url_says_how_to_connect() {
        for clear in [
            "postgres://u:p@h:1/d",
            "postgres://u:p@h/d?sslmode=prefer&application_name=x&channel_binding=prefer",
            "postgres:///d?host=/run/postgresql&port=5433&user=u&password=p&options=-c%20jit%3Don",
            "postgres:///d?hostaddr=127.0.0.1&keepalives_idle=5&target_session_attrs=read-write",
        ] {
            let target = Target::parse(clear).unwrap();
            assert!(target.tls.is_none() && !target.config.get_hosts().is_empty(), "{clear}");
        }
        assert!(refusal("postgres://u:p@h:port/d").contains("postgres://USER"));
        assert!(refusal("postgres://h/d?sslmode=perhaps").contains("perhaps"));
        let without_file = refusal("postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/nowhere");
        assert!(without_file.contains("/nowhere") && !without_file.contains("secret"));
    }

    #[test]
    fn a_parameter_that_would_be_ignored_is_named() {
        for name in [
            "foo",
            "connect_timeout",
            "tcp_user_timeout",
            "sslcert",
            "sslnegotiation",
            "gssencmode",
            "passfile",
        ] {
            let refusal = refusal(&format!("postgres://u:secret@h/d?application_name=x&{name}=1"));
            assert!(refusal.contains(&format!("`{name}`")) && refusal.contains("sslrootcert"), "{refusal}");
            assert!(!refusal.contains("secret") && !refusal.contains('\n'), "{refusal}");
        }
        for invalid in
            ["port=secret", "target_session_attrs=secret", "channel_binding=secret", "keepalives_idle=x"]
        {
            let refusal = refusal(&format!("postgres://h/d?{invalid}"));
            let name = invalid.split_once('=').unwrap().0;
            assert!(refusal.contains(&format!("`{name}`")) && !refusal.contains("secret"), "{refusal}");
        }
        assert!(refusal("postgres://h/d?channel_binding=require").contains("channel_binding"));
    }
}
