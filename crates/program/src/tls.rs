//! TLS for clients: rustls, and this machine's authorities.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::settings::variable;

/// The variable that names a file of authorities, in place of the machine's own.
const FILE: &str = "SSL_CERT_FILE";

/// Returns the TLS configuration of a client, with the authorities of `file`, else with this machine's, which `SSL_CERT_FILE` may name.
///
/// # Errors
/// If no authorities are found, in one line that says what to set. `name` is the setting that names the file.
pub fn client(file: Option<(&str, &Path)>) -> Result<ClientConfig, String> {
    let certificates = match file {
        Some((name, path)) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| format!("{name}: {}: {error}", path.display()))?,
        None => of_this_machine()?,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(format!(
            "expected certificate authorities on this machine, found none; install them (ca-certificates), or name a PEM file in {FILE}"
        ));
    }
    with_roots(roots)
}

/// Returns the TLS configuration of an HTTP client. If all its URLs are `http`, it trusts no authority, so that none is needed.
///
/// # Errors
/// Those of [`client`], if a URL is `https`.
pub fn of_http_client(has_https: bool) -> Result<ClientConfig, String> {
    if has_https { client(None) } else { with_roots(RootCertStore::empty()) }
}

fn of_this_machine() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    match (variable(FILE)?, found.errors.first()) {
        (Some(path), Some(error)) if found.certs.is_empty() => Err(format!("{FILE}: {path}: {error}")),
        (Some(path), None) if found.certs.is_empty() => {
            Err(format!("{FILE}: {path}: expected certificates in PEM, got none"))
        }
        _ => Ok(found.certs),
    }
}

fn with_roots(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Returns why TLS failed and what to do, if TLS is the cause of an error. Such an error does not pass by itself.
pub fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = error;
    let of_tls = loop {
        if let Some(error) = cause.downcast_ref::<rustls::Error>() {
            break error;
        }
        // An I/O error contains the error that it was made of, and its source is only that error's source.
        cause = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(within) => within,
            None => cause.source()?,
        };
    };
    Some(match of_tls {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::InvalidMessage(_) => {
            "expected TLS, got something else; if the server speaks HTTP without TLS, use http:// instead of https://".to_owned()
        }
        error => format!("TLS: {error}"),
    })
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let (what, to_do) = match error {
        E::UnknownIssuer => (
            "is signed by an authority that this machine does not know",
            "name its PEM file in SSL_CERT_FILE",
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => (
            "is for another host name",
            "use a host name of the certificate, or give the server a certificate for this host name",
        ),
        E::Expired | E::ExpiredContext { .. } => ("has expired", "renew it, or set this machine's clock"),
        E::NotValidYet | E::NotValidYetContext { .. } => ("is not valid yet", "set this machine's clock"),
        E::Revoked => ("is revoked", "give the server another one"),
        _ => return format!("its certificate is not valid: {error}"),
    };
    format!("its certificate {what}; {to_do}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_found_in_every_wrapping() {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, unknown()));
        for error in [&unknown() as &(dyn Error + 'static), &wrapped] {
            let advice = advice(error).unwrap();
            assert!(advice.contains("does not know") && advice.contains("SSL_CERT_FILE"), "{advice}");
        }
        assert_eq!(advice(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
        assert_eq!(advice(&io::Error::other("another")), None);
    }
}
