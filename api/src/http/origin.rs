//! Requests that another site makes a browser send. They are recognised by the headers in which browsers say where a request comes from
//! (CSRF) and which host it was meant for (DNS rebinding).
//!
//! The cookie is `SameSite=Strict` besides. Clients other than browsers send none of these headers, and are admitted.

use std::net::IpAddr;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderValue, ORIGIN};
use actix_web::http::uri::{Authority, Uri};

use crate::http::bearer;
use crate::http::hops;
use crate::http::problem::{Code, Problem};

/// Names of hosts as a setting lists them, with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let name = |name: &str| {
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            let wrong = || format!("expected host names without a port, got {name:?}");
            is_name.then(|| bare(name)).ok_or_else(wrong)
        };
        names.map(name).collect::<Result<_, _>>().map(Self)
    }
}

/// Admits a request that was meant for an IP address, `localhost`, or one of these names. A page whose own name resolves to this server
/// could read the answers; an IP address can't be such a name.
///
/// # Errors
/// 403.
pub fn check_host(request: &HttpRequest, allowed: &Hosts) -> Result<(), Problem> {
    let is_known = |host: &str| {
        let authority: Option<Authority> = host.parse().ok();
        authority.is_some_and(|authority| {
            let host = authority.host();
            let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let host = bare(host);
            address.parse::<IpAddr>().is_ok() || host == "localhost" || allowed.0.contains(&host)
        })
    };
    let mut headers = request.headers().get_all(HOST).map(HeaderValue::to_str);
    let authority = request.uri().authority().map(Authority::as_str);
    match headers.all(|host| host.is_ok_and(is_known)) && authority.is_none_or(is_known) {
        true => Ok(()),
        false => Err(Code::Forbidden.because(
            "With AUTH=off only requests for an address, for localhost or for a host in ALLOWED_HOSTS are answered.",
        )),
    }
}

/// Returns the host in lower case and without a final dot.
fn bare(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Admits a request that changes something unless a browser says that another site caused it. A request that brings a token or key in a
/// header is admitted: no browser adds one, or lets a page of another site do so.
///
/// # Errors
/// 403.
pub fn check(request: &HttpRequest) -> Result<(), Problem> {
    match request.method().is_safe()
        || bearer::is_there(request)
        || is_own_site(request, hops::is_tls(request))
    {
        true => Ok(()),
        false => Err(Code::Forbidden.because("It comes from another site.")),
    }
}

fn is_own_site(request: &HttpRequest, is_tls: bool) -> bool {
    let mut sites = request.headers().get_all("sec-fetch-site");
    let mut origins = request.headers().get_all(ORIGIN);
    sites.all(|site| site == "same-origin" || site == "none")
        && origins.all(|origin| is_own(request, origin, is_tls))
}

/// Returns whether the origin is the address that the request itself came to. `null`, which a browser sends to hide the origin, is not.
fn is_own(request: &HttpRequest, origin: &HeaderValue, is_tls: bool) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
    let parts = origin.as_ref().and_then(|origin| Some((origin.scheme_str()?, origin.authority()?.as_str())));
    let (Some(host), Some((scheme, authority))) = (host, parts) else { return false };
    let port = match scheme {
        "https" => ":443",
        // A page that came without TLS may be forged by anyone.
        "http" if !is_tls => ":80",
        _ => return false,
    };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> HttpRequest {
        let header = |request: TestRequest, header: &(&'static str, &str)| request.append_header(*header);
        headers.iter().fold(TestRequest::post(), header).to_http_request()
    }

    fn passes(headers: &[(&'static str, &str)]) -> bool {
        is_own_site(&request(headers), false)
    }

    #[test]
    fn only_what_changes_something_by_itself_is_asked_where_it_comes_from() {
        let foreign = [("host", "a"), ("origin", "http://evil.example")];
        assert!(check(&request(&foreign)).is_err());
        assert!(check(&request(&[&foreign[..], &[("authorization", "Basic abc")]].concat())).is_err());
        assert!(check(&request(&[&foreign[..], &[("authorization", "Bearer abc")]].concat())).is_ok());
        let get = TestRequest::get().append_header(foreign[1]);
        assert!(check(&get.to_http_request()).is_ok());
    }

    #[test]
    fn hosts_are_addresses_localhost_and_what_a_setting_names() {
        let allowed: Hosts = "proxy, Files.example.".parse().unwrap();
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "192.168.0.1:80",
            "[::1]:9000",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:9000",
            "localhost.",
            "proxy:9000",
            "files.example",
            "files.example.:443",
        ] {
            assert!(check_host(&request(&[("host", host)]), &allowed).is_ok(), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9000",
            "a.files.example",
            "files.example.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "user@evil.example",
            "[::1",
        ] {
            assert!(check_host(&request(&[("host", host)]), &allowed).is_err(), "{host}");
        }
        assert!(check_host(&request(&[]), &allowed).is_ok(), "a program of HTTP/1.0");
        let both = [("host", "localhost"), ("host", "evil.example")];
        assert!(check_host(&request(&both), &allowed).is_err());
        for garbage in ["a:80", "http://a", "*", "a b"] {
            assert!(garbage.parse::<Hosts>().is_err(), "{garbage}");
        }
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
        let of = |origin| request(&[("host", "a"), ("origin", origin)]);
        assert!(is_own_site(&of("https://a"), true));
        assert!(!is_own_site(&of("http://a"), true));
    }

    #[test]
    fn what_a_browser_calls_another_site_is() {
        let host = ("host", "a");
        for (site, is_let_through) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            assert_eq!(passes(&[host, ("sec-fetch-site", site)]), is_let_through, "{site}");
        }
    }
}
