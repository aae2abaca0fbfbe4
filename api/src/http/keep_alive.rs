//! Kept connections, between two requests: an idle connection ends.
//!
//! actix bounds how long the head of a connection's first request may take, and how long a connection may stand still after a request. The
//! head of a later request could still come byte by byte for ever. So a task watches each connection. Once no request was under way for
//! longer than both bounds together, the task shuts the socket's reading side, and actix sees the end of the client's input.

use std::cell::Cell;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::rt;
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::http::body::holding;

/// How long a client may take for a request's headers: as long as with Apache (mod_reqtimeout).
/// It includes the delay until a busy server reads what was sent in time.
pub const HEADERS_WITHIN: Duration = Duration::from_secs(20);
/// The longest time without a request: actix's 5 s without a byte, and then the headers.
const LONGEST: Duration = Duration::from_secs(5).saturating_add(HEADERS_WITHIN);

/// A connection, as its requests share it.
pub struct KeepAlive {
    under_way: Cell<usize>,
    since: Cell<Instant>,
    gone: Rc<Notify>,
}

impl KeepAlive {
    /// Watches a connection for as long as the returned value lives.
    ///
    /// # Errors
    /// If it is not a connection.
    pub fn watch(connection: &impl AsRawFd) -> nix::Result<Rc<Self>> {
        let socket = Socket::of(connection)?;
        let gone = Rc::new(Notify::new());
        let keep_alive =
            Rc::new(Self { under_way: Cell::new(0), since: Cell::new(Instant::now()), gone: gone.clone() });
        rt::spawn(left(socket, Rc::downgrade(&keep_alive), gone));
        Ok(keep_alive)
    }

    /// Marks a request as under way until the body of its answer has been sent.
    pub fn begin(self: &Rc<Self>) -> UnderWay {
        self.under_way.set(self.under_way.get() + 1);
        UnderWay(self.clone())
    }

    fn due(&self) -> Instant {
        let since = if self.under_way.get() > 0 { Instant::now() } else { self.since.get() };
        since + LONGEST
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

async fn left(socket: Socket, keep_alive: Weak<KeepAlive>, gone: Rc<Notify>) {
    let mut due = Instant::now() + LONGEST;
    loop {
        tokio::select! {
            () = sleep_until(due) => {}
            () = gone.notified() => return,
        }
        let Some(keep_alive) = keep_alive.upgrade() else { return };
        due = keep_alive.due();
        if due <= Instant::now() {
            socket.end();
            return;
        }
    }
}

/// A socket that actix owns. A duplicated descriptor would halve the number of possible connections.
struct Socket {
    descriptor: RawFd,
    peer: SockaddrStorage,
}

impl Socket {
    fn of(connection: &impl AsRawFd) -> nix::Result<Self> {
        let descriptor = connection.as_raw_fd();
        Ok(Self { descriptor, peer: getpeername(descriptor)? })
    }

    /// Shuts the reading side. Called only while [`KeepAlive`] lives, so on the thread of a connection that is open. Should the number
    /// belong to another connection all the same, that one has another peer.
    fn end(&self) {
        if getpeername(self.descriptor) == Ok(self.peer) {
            // The connection may have ended by itself.
            let _ = shutdown(self.descriptor, Shutdown::Read);
        }
    }
}

/// A request that is under way until this is dropped.
pub struct UnderWay(Rc<KeepAlive>);

impl UnderWay {
    /// Returns the body, which keeps the request under way until it has been sent.
    pub fn with(self, body: BoxBody) -> BoxBody {
        holding(body, self)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.since.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;

    /// Returns both sides of a connection, the server's first.
    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_left_and_one_with_it_is_not() {
        let watched = async {
            let (mut server, _client) = connected().await;
            let keep_alive = KeepAlive::watch(&server).unwrap();
            let under_way = keep_alive.begin();
            sleep(10 * LONGEST).await;
            let mut byte = [0];
            assert!(
                server.try_read(&mut byte).is_err_and(|none| none.kind() == std::io::ErrorKind::WouldBlock)
            );
            drop(under_way);

            assert_eq!(server.read(&mut byte).await.unwrap(), 0);
            assert!(keep_alive.since.get().elapsed() >= LONGEST);
        };
        LocalSet::new().run_until(watched).await;
    }

    #[tokio::test]
    async fn only_the_connection_that_was_watched_is_ended() {
        let (watched, _client) = connected().await;
        let socket = Socket::of(&watched).unwrap();
        let (other, _other_client) = connected().await;
        let stale = Socket { descriptor: other.as_raw_fd(), ..socket };

        stale.end();

        assert!(other.try_read(&mut [0]).is_err_and(|none| none.kind() == std::io::ErrorKind::WouldBlock));
    }
}
