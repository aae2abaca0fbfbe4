//! Requests that another site makes a browser send (CSRF): told by what browsers say of where a request comes from.
//!
//! The cookie is `SameSite=Strict` beside this. What is not a browser sends none of these headers, and is let through.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderValue, ORIGIN};
use actix_web::http::uri::Uri;

use crate::problem::{Code, Problem};

/// Lets a request through unless a browser says that another site is behind it.
///
/// # Errors
/// 403.
pub fn check(request: &HttpRequest) -> Result<(), Problem> {
    let mut sites = request.headers().get_all("sec-fetch-site");
    let mut origins = request.headers().get_all(ORIGIN);
    let is_foreign = sites.any(|site| site == "cross-site") || origins.any(|origin| !is_own(request, origin));
    match is_foreign {
        true => Err(Code::Forbidden.because("It comes from another site.")),
        false => Ok(()),
    }
}

/// Whether it is the address that the request itself came to. `null`, which a browser sends for who hides it, is not.
fn is_own(request: &HttpRequest, origin: &HeaderValue) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 has it in the address.
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    let parts = origin.as_ref().and_then(|origin| Some((origin.scheme_str()?, origin.authority()?.as_str())));
    let (Some(host), Some((scheme, authority))) = (host, parts) else { return false };
    let port = match scheme {
        "https" => ":443",
        // A page that came without TLS may be anyone's.
        "http" if !is_tls(request) => ":80",
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    bare(authority) == bare(host)
}

/// Whether the request came over TLS, as far as who ended that says so.
pub fn is_tls(request: &HttpRequest) -> bool {
    request.connection_info().scheme() == "https"
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn passes(headers: &[(&'static str, &str)]) -> bool {
        let request =
            headers.iter().fold(TestRequest::post(), |request, header| request.append_header(*header));
        check(&request.to_http_request()).is_ok()
    }

    #[test]
    fn who_is_no_browser_says_nothing() {
        assert!(passes(&[("host", "localhost:9000")]));
    }

    #[test]
    fn only_the_own_site_is_behind_a_request() {
        for (host, origin) in [
            ("localhost:9000", "http://localhost:9000"),
            ("LOCALHOST:9000", "http://localhost:9000"),
            ("example.com", "http://example.com"),
            ("example.com:80", "http://example.com"),
            ("example.com", "https://example.com"),
            ("example.com:443", "https://example.com"),
            ("[::1]:9000", "http://[::1]:9000"),
        ] {
            assert!(passes(&[("host", host), ("origin", origin)]), "{host} {origin}");
        }
        for (host, origin) in [
            ("localhost:9000", "http://localhost:9001"),
            ("localhost:9000", "http://localhost"),
            ("localhost:9000", "http://evil.example:9000"),
            ("example.com", "http://sub.example.com"),
            ("example.com", "http://example.com.evil.example"),
            ("example.com", "null"),
            ("example.com", ""),
            ("example.com", "example.com"),
            ("example.com", "file://"),
            ("example.com", "ftp://example.com"),
        ] {
            assert!(!passes(&[("host", host), ("origin", origin)]), "{host} {origin}");
        }
        let own = ("origin", "http://a");
        assert!(!passes(&[("host", "a"), own, ("origin", "http://b")]));
    }

    #[test]
    fn a_page_without_tls_is_foreign_to_one_with_it() {
        let tls = ("x-forwarded-proto", "https");
        assert!(passes(&[("host", "a"), tls, ("origin", "https://a")]));
        assert!(!passes(&[("host", "a"), tls, ("origin", "http://a")]));
    }

    #[test]
    fn what_a_browser_calls_cross_site_is() {
        let host = ("host", "a");
        for (site, is_let_through) in
            [("same-origin", true), ("none", true), ("same-site", true), ("cross-site", false)]
        {
            assert_eq!(passes(&[host, ("sec-fetch-site", site)]), is_let_through, "{site}");
        }
    }
}
