//! The stream under a connection, which records the SQLSTATE of each error.
//!
//! Diesel keeps an error's message, which the server writes in its own language, and drops its SQLSTATE. (Once `DatabaseErrorInformation`
//! has it, this file can go: <https://github.com/diesel-rs/diesel/pull/5232>.) `tokio_postgres` lets only its TLS library provide the
//! stream above the socket, so a clear connection is made as one whose TLS does nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use super::sql_state::SqlState;

/// The SQLSTATE of the last error that came through a connection.
#[derive(Clone, Default)]
pub struct LastError(Arc<Mutex<Option<SqlState>>>);

impl LastError {
    /// Returns the SQLSTATE, if there was an error.
    pub fn get(&self) -> Option<SqlState> {
        *self.0.lock()
    }

    fn set(&self, state: SqlState) {
        *self.0.lock() = Some(state);
    }
}

/// Creates the stream of one connection: TLS or clear, and watched for errors.
#[derive(Clone)]
pub struct Wire<T> {
    /// The TLS connector; `None` for a clear stream.
    pub tls: Option<T>,
    /// The place where errors are recorded.
    pub last_error: LastError,
}

impl<S> MakeTlsConnect<S> for Wire<MakeRustlsConnect>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = Watched<S, <MakeRustlsConnect as MakeTlsConnect<S>>::Stream>;
    type TlsConnect = Wire<<MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect>;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Self::TlsConnect> {
        let make = |tls: &mut MakeRustlsConnect| MakeTlsConnect::<S>::make_tls_connect(tls, domain);
        let tls = self.tls.as_mut().map(make).transpose().map_err(io::Error::other)?;
        Ok(Wire { tls, last_error: self.last_error.clone() })
    }
}

impl<S, T> TlsConnect<S> for Wire<T>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: TlsConnect<S, Stream: Send, Error: Send, Future: Send + 'static> + 'static,
{
    type Stream = Watched<S, T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, T::Error>>;

    fn connect(self, socket: S) -> Self::Future {
        let watch = |stream| Watched { stream, messages: Messages::default(), last_error: self.last_error };
        match self.tls {
            Some(tls) => tls.connect(socket).map(|made| made.map(|tls| watch(Either::Right(tls)))).boxed(),
            None => futures::future::ok(watch(Either::Left(socket))).boxed(),
        }
    }
}

/// A stream of the server's messages.
pub struct Watched<S, T> {
    stream: Either<S, T>,
    messages: Messages,
    last_error: LastError,
}

impl<S: AsyncRead + AsyncWrite + Unpin, T: TlsStream + Unpin> TlsStream for Watched<S, T> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.stream {
            Either::Left(_) => ChannelBinding::none(),
            Either::Right(tls) => tls.channel_binding(),
        }
    }
}

impl<S: AsyncRead + Unpin, T: AsyncRead + Unpin> AsyncRead for Watched<S, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        if let Some(state) = this.messages.last_error_in(&buffer.filled()[before..]) {
            this.last_error.set(state);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, T: AsyncWrite + Unpin> AsyncWrite for Watched<S, T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The bytes of a message before its body: a tag, and a length that counts itself but not the tag.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
const HEADER: usize = 5;
/// The tag of an `ErrorResponse`.
const ERROR: u8 = b'E';
/// The bytes of an error's body that are parsed. Its severity and SQLSTATE come first.
const KEPT: usize = 128;

/// The state of the parser of messages.
#[derive(Default)]
struct Messages {
    header: Vec<u8>,
    /// The bytes of the message's body that are still to come.
    left: usize,
    /// The beginning of an error's body.
    error: Option<Vec<u8>>,
}

impl Messages {
    /// Parses further bytes. Returns the last error that ends in them.
    fn last_error_in(&mut self, mut bytes: &[u8]) -> Option<SqlState> {
        let mut found = None;
        while !bytes.is_empty() {
            if self.left == 0 {
                let (header, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
                bytes = rest;
                self.header.extend_from_slice(header);
                if let [tag, length @ ..] = &*self.header
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
                    self.error = (*tag == ERROR).then(Vec::new);
                    self.header.clear();
                }
            } else {
                let (body, rest) = bytes.split_at(bytes.len().min(self.left));
                bytes = rest;
                self.left -= body.len();
                if let Some(error) = &mut self.error {
                    error.extend_from_slice(&body[..body.len().min(KEPT - error.len())]);
                    if self.left == 0 {
                        found = SqlState::of_fields(error).or(found);
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn an_error_is_found_however_its_bytes_come() {
        let error = b"SSCHWERWIEGEND\0VFATAL\0C57P01\0Mbreche Verbindung ab\0\0";
        let long = [b"SERROR\0VERROR\0C22P02\0M".as_slice(), &[b'x'; 100_000], b"\0\0"].concat();
        let all = [
            message(b'1', b""),
            message(b'D', b"\0\x01\0\0\0\x0aE\0\0\0\x09C00000"),
            message(b'E', &long),
            message(b'Z', b"I"),
            message(b'E', error),
        ]
        .concat();
        for piece in [1, 2, 5, 7, 64, all.len()] {
            let mut messages = Messages::default();
            let found: Vec<SqlState> =
                all.chunks(piece).filter_map(|bytes| messages.last_error_in(bytes)).collect();
            let last = found.last().unwrap();
            assert_eq!((last.code(), last.spends_session()), ("57P01", true), "{piece}");
            assert_eq!(found.len(), if piece == all.len() { 1 } else { 2 }, "{piece}");
            assert!(piece == all.len() || found[0].code() == "22P02" && !found[0].spends_session());
        }
    }
}
