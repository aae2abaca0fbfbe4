//! A cable between the service and one of its servers, which a test can pull out and put in again.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A forwarder to a server. Ends with its test.
pub struct Proxy {
    address: SocketAddr,
    is_plugged: watch::Sender<bool>,
}

impl Proxy {
    /// Forwards to the server of a URL.
    pub async fn to(url: &str) -> Self {
        let server = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_plugged = watch::Sender::new(true);
        let plugged = is_plugged.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), plugged.clone()));
            }
        });
        Self { address, is_plugged }
    }

    /// The URL by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(authority(url), &self.address.to_string(), 1)
    }

    /// Cuts all connections and lets no new one stand, as a server that is gone.
    pub fn pull_out(&self) {
        self.is_plugged.send_replace(false);
    }

    /// The server is back.
    pub fn put_in(&self) {
        self.is_plugged.send_replace(true);
    }
}

async fn forward(mut client: TcpStream, server: String, mut plugged: watch::Receiver<bool>) {
    if !*plugged.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = plugged.wait_for(|is_plugged| !is_plugged) => {}
    }
}

/// `HOST:PORT` of `scheme://user@HOST:PORT/path`.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap();
    rest.rsplit('@').next().unwrap()
}
