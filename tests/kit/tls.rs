//! TLS before a server that does not speak it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// A proxy that speaks TLS before a server. Gone when dropped.
pub struct Front {
    pub address: SocketAddr,
    _serves: AbortOnDropHandle<()>,
}

impl Front {
    /// With the certificate of that name in `tests/certificates`, whose authority is `authority.pem`.
    pub async fn before(server: &str, certificate: &str) -> Self {
        let chain = CertificateDer::from_pem_file(self::certificate(&format!("{certificate}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self::certificate(&format!("{certificate}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![chain], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), server.to_owned());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serves = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    // A client that trusts it not hangs up.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, _serves: AbortOnDropHandle::new(serves) }
    }

    /// Returns its URL with that scheme.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }
}

/// Returns the path of a file of `tests/certificates`.
pub fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/certificates").join(name)
}
