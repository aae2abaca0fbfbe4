//! A proxy between the service and one of its servers, which acts as a cable that a test can pull out, put in again, or slow down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// A forwarder to a server. Ends with its test.
pub struct Proxy {
    address: SocketAddr,
    cable: watch::Sender<Cable>,
    /// Bytes that the server may still send before all connections are cut; far below zero for any number.
    left: Arc<AtomicI64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cable {
    state: State,
    /// The number of times that all connections were cut.
    cuts: u64,
}

/// The fate of the bytes that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They arrive.
    Whole,
    /// Every connection is refused.
    Out,
    /// They arrive once the cable is whole again.
    Stalled,
    /// Each piece arrives later by that.
    Slow(Duration),
    /// They never arrive, and neither end learns of it.
    Deaf,
}

const UNBOUNDED: i64 = i64::MIN / 2;

impl Proxy {
    /// Starts a proxy to the server of a URL.
    pub async fn to(url: &str) -> Self {
        let server = host(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cable = watch::Sender::new(Cable { state: State::Whole, cuts: 0 });
        let left = Arc::new(AtomicI64::new(UNBOUNDED));
        let proxy = Self { address, cable: cable.clone(), left: left.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), cable.clone(), left.clone()));
            }
        });
        proxy
    }

    /// Returns the URL by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(host(url), &self.address.to_string(), 1)
    }

    /// Cuts all connections and accepts none, like a server that is gone.
    pub fn pull_out(&self) {
        self.set(State::Out);
        self.cut();
    }

    /// Makes the server reachable again. Bytes sent while the cable was deaf are lost, and so are those connections.
    pub fn put_in(&self) {
        let was_deaf = self.cable.borrow().state == State::Deaf;
        self.set(State::Whole);
        if was_deaf {
            self.cut();
        }
    }

    pub fn set(&self, state: State) {
        self.cable.send_modify(|cable| cable.state = state);
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.cable.send_modify(|cable| cable.cuts += 1);
    }

    /// Cuts all connections once the server has sent `bytes` more; the last of them don't arrive.
    pub fn cut_after(&self, bytes: u32) {
        self.left.store(bytes.into(), Relaxed);
    }
}

async fn forward(mut client: TcpStream, server: String, cable: watch::Sender<Cable>, left: Arc<AtomicI64>) {
    let mut looks = cable.subscribe();
    let Cable { state, cuts } = *looks.borrow();
    if state == State::Out {
        return;
    }
    let passing = async {
        let mut passes = cable.subscribe();
        // This future owns the sender.
        let _ = passes.wait_for(|cable| !matches!(cable.state, State::Stalled | State::Deaf)).await;
        let Ok(mut server) = TcpStream::connect(server).await else { return };
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::join!(
            pass(from_client, to_server, &cable, None),
            pass(from_server, to_client, &cable, Some(&left))
        );
    };
    tokio::select! {
        () = passing => {}
        _ = looks.wait_for(|cable| cable.cuts != cuts) => {
            // A cut is a reset, not the orderly end of a connection.
            let _ = client.set_zero_linger();
        }
    }
}

/// Forwards in one direction, up to the end.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    cable: &watch::Sender<Cable>,
    left: Option<&AtomicI64>,
) {
    let mut looks = cable.subscribe();
    let mut piece = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if let Some(left) = left
            && left.load(Relaxed) > UNBOUNDED / 2
            && left.fetch_sub(read as i64, Relaxed) <= read as i64
        {
            left.store(UNBOUNDED, Relaxed);
            return cable.send_modify(|cable| cable.cuts += 1);
        }
        let _ = looks.wait_for(|cable| cable.state != State::Stalled).await;
        let state = looks.borrow().state;
        match state {
            State::Deaf => continue,
            State::Slow(delay) => sleep(delay).await,
            State::Whole | State::Out | State::Stalled => {}
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Returns `HOST:PORT` of `scheme://user@HOST:PORT/path`.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap();
    rest.rsplit('@').next().unwrap()
}
