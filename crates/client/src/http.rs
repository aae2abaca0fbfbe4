//! HTTP to a server of Coatcheck: addresses, TLS, the key, connections.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Url};

use crate::error::SettingError;

/// Returns a client of HTTP, to be set up further. One without `https` URLs trusts no certificate authority, and so needs none.
///
/// # Errors
/// If a URL is `https` and no certificate authorities are known, in one line that says what to set.
pub fn builder(has_https: bool) -> Result<ClientBuilder, String> {
    let tls = program::tls::of_http_client(has_https)?;
    let builder = reqwest::Client::builder()
        // A proxy from the environment would be used for 127.0.0.1 too.
        .no_proxy()
        // An upload can't be replayed to another address, and Coatcheck never redirects.
        .redirect(Policy::none());
    Ok(builder.tls_backend_preconfigured(tls))
}

/// Returns the header with the API key, for each request.
pub(crate) fn credentials(token: Option<&str>) -> Result<HeaderMap, SettingError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let wrong = |_| SettingError::Token("COATCHECK_TOKEN: a key is one word of visible ASCII".to_owned());
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(wrong)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// Returns the URL of a server.
pub(crate) fn base_url(given: &str) -> Result<Url, String> {
    // A URL with a password is not repeated.
    let shown = if given.contains('@') { "this one".to_owned() } else { format!("{given:?}") };
    let other = format!("{shown} does not begin with http:// or https://");
    if !given.contains("://") {
        return Err(other);
    }
    let url = Url::parse(given).map_err(|error| format!("{shown}: {error}"))?;
    match url.scheme() {
        "http" | "https" if !matches!(url.path(), "" | "/") => {
            Err(format!("{shown} has a path; leave out {}", url.path()))
        }
        "http" | "https" if url.query().is_none() && url.fragment().is_none() => Ok(url),
        "http" | "https" => Err(format!("{shown} has a query or a fragment")),
        _ => Err(other),
    }
}

/// Returns the name of a server for messages: its URL without a password.
pub(crate) fn name(base: &Url) -> String {
    let mut shown = base.clone();
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    shown.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_told_without_its_password() {
        for wrong in [
            "",
            "127.0.0.1:9000",
            "localhost:9000",
            "http://",
            "ftp://h",
            "http://h:99999",
            "http://h/?a",
            "http://h/api/v1",
        ] {
            let error = base_url(wrong).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
        for right in ["http://h", "https://h", "https://[::1]:8443/", "https://me:secret@h"] {
            assert!(base_url(right).is_ok(), "{right}");
        }
        assert!(!base_url("ftp://me:secret@host").unwrap_err().contains("secret"));
        assert_eq!(name(&base_url("http://me:secret@host").unwrap()), "http://host");
    }
}
