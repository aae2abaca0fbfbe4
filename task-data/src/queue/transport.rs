//! How the broker is reached: over TCP, and with TLS if its URL is `amqps:`. The TLS is the one of all other clients of the program;
//! that of the AMQP library also reads PKCS #12 files, by 40 more crates.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures::{AsyncRead, AsyncWrite, Stream};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// tokio's tasks and timers, and connections of our own.
#[derive(Clone, Debug)]
pub struct Transport {
    tokio: Tokio,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.host).finish()
    }
}

impl Transport {
    /// Returns connections without TLS, on the runtime that this is called on.
    pub fn plain() -> Self {
        Self { tokio: Tokio::current(), tls: None }
    }

    /// Returns connections with TLS, on the runtime that this is called on. The server must be `host` by a certificate of this machine's
    /// authorities.
    ///
    /// # Errors
    /// One line for a person, if `host` can't be in a certificate or no authorities are found.
    pub fn tls(host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("expected a DNS name or an IP address, got {host}"))?;
        let connector = TlsConnector::from(Arc::new(program::tls::client(None)?));
        Ok(Self { tokio: Tokio::current(), tls: Some(Tls { connector, host: name }) })
    }
}

/// Bytes in both directions.
pub trait Bytes: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Bytes for T {}

impl RuntimeKit for Transport {}

impl Executor for Transport {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.tokio.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.tokio.spawn_blocking(work)
    }
}

impl Reactor for Transport {
    type TcpStream = Compat<Box<dyn Bytes>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let tls = self.tls.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let bytes: Box<dyn Bytes> = match tls {
                None => Box::new(stream),
                Some(Tls { connector, host }) => Box::new(connector.connect(host, stream).await?),
            };
            Ok(bytes.compat())
        }
    }
}
