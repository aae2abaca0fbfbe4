//! The way of a request through proxies, as far as those are trusted.

use std::net::IpAddr;
use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::Data;
use ipnet::{IpNet, Ipv6Net};

/// Networks as a setting lists them: in CIDR form or as single addresses, with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let one = || part.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
            part.parse()
                .or_else(|_| one())
                .map_err(|_| format!("expected networks such as 10.0.0.0/8, got {part:?}"))
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// Returns the client's address: the last one on the request's way that does not belong to a trusted proxy. Addresses before it in
/// `X-Forwarded-For` are only its claim.
pub fn client(request: &HttpRequest) -> Option<IpAddr> {
    client_by(trusted(request), request)
}

fn client_by(trusted: &Networks, request: &HttpRequest) -> Option<IpAddr> {
    way_by(trusted, request).map(|(client, _)| client)
}

/// Returns the client's address, and whether it is where the request began: nothing tells of addresses before it.
fn way_by(trusted: &Networks, request: &HttpRequest) -> Option<(IpAddr, bool)> {
    let told: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
    let told = told.iter().filter_map(|told| told.to_str().ok()).flat_map(|told| told.split(','));
    let mut told: Vec<&str> = told.collect();
    let mut client = peer(request)?;
    while trusted.has(client) {
        match told.pop().map(|told| told.trim().parse::<IpAddr>()) {
            Some(Ok(before)) => client = before.to_canonical(),
            Some(Err(_)) => return Some((client, false)),
            None => break,
        }
    }
    Some((client, told.is_empty()))
}

/// Returns whether the request began on this machine. A proxy on this machine that is not trusted, and tells of a client, is not enough.
pub fn is_local(request: &HttpRequest) -> bool {
    is_local_by(trusted(request), request)
}

fn is_local_by(trusted: &Networks, request: &HttpRequest) -> bool {
    let is_forwarded = request.headers().contains_key("forwarded");
    way_by(trusted, request)
        .is_some_and(|(client, is_first)| client.is_loopback() && is_first && !is_forwarded)
}

/// Returns the network that a request is counted under: the client's IPv4 address, or the /64 of its IPv6 address, all of which one client
/// may have.
pub fn network(request: &HttpRequest) -> Option<IpNet> {
    Some(match client(request)? {
        IpAddr::V4(address) => IpAddr::from(address).into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().into(),
    })
}

/// Returns the [`network`] as text; an IPv4 address without its prefix length.
pub fn counted(request: &HttpRequest) -> Option<String> {
    Some(match network(request)? {
        IpNet::V4(network) => network.addr().to_string(),
        IpNet::V6(network) => network.to_string(),
    })
}

/// Returns whether a trusted proxy says that the request came over TLS.
pub fn is_tls(request: &HttpRequest) -> bool {
    is_tls_by(trusted(request), request)
}

fn is_tls_by(trusted: &Networks, request: &HttpRequest) -> bool {
    // Of several values, that of the nearest proxy.
    let told = request.headers().get_all("x-forwarded-proto").last().and_then(|told| told.to_str().ok());
    let is_https = |told: &str| {
        told.rsplit(',').next().is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
    };
    told.is_some_and(is_https) && peer(request).is_some_and(|peer| trusted.has(peer))
}

fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip().to_canonical())
}

fn trusted(request: &HttpRequest) -> &Networks {
    const NONE: &Networks = &Networks(Vec::new());
    request.app_data::<Data<Networks>>().map_or(NONE, |networks| networks)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::test::TestRequest;

    use super::*;

    fn from(peer: &str, headers: &[(&'static str, &str)]) -> HttpRequest {
        let request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        let header = |request: TestRequest, header: &(&'static str, &str)| request.append_header(*header);
        headers.iter().fold(request, header).to_http_request()
    }

    #[test]
    fn a_client_is_the_last_that_is_no_trusted_proxy() {
        let trusted: Networks = "10.0.0.0/8, 192.168.0.1,fd00::/8".parse().unwrap();
        for (peer, told, address) in [
            ("203.0.113.1", &[][..], "203.0.113.1"),
            ("203.0.113.1", &["198.51.100.1"], "203.0.113.1"),
            // An address of a private network is not a trusted proxy by that alone.
            ("127.0.0.1", &["198.51.100.1"], "127.0.0.1"),
            ("192.168.0.2", &["198.51.100.1"], "192.168.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.1, 192.168.0.1"], "203.0.113.1"),
            ("10.0.0.1", &["203.0.113.1, 192.168.0.2"], "192.168.0.2"),
            ("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::1", &["10.0.0.1"], "10.0.0.1"),
        ] {
            let headers: Vec<_> = told.iter().map(|told| ("x-forwarded-for", *told)).collect();
            let request = from(peer, &headers);

            assert_eq!(client_by(&trusted, &request), Some(address.parse().unwrap()), "{peer} {told:?}");
            assert_eq!(client(&request), self::peer(&request), "none is trusted by default");
        }
    }

    #[test]
    fn a_client_is_local_only_if_nothing_tells_of_another() {
        let trusted: Networks = "127.0.0.1, 10.0.0.1".parse().unwrap();
        for (peer, told, by_trust, without) in [
            ("127.0.0.1", &[][..], true, true),
            ("::1", &[], true, true),
            ("::ffff:127.0.0.2", &[], true, true),
            ("10.0.0.1", &[], false, false),
            ("203.0.113.1", &["127.0.0.1"], false, false),
            ("127.0.0.1", &["127.0.0.1"], true, false),
            ("127.0.0.1", &["203.0.113.1"], false, false),
            ("127.0.0.1", &["127.0.0.1, 203.0.113.1"], false, false),
            ("127.0.0.1", &["203.0.113.1, 127.0.0.2"], false, false),
            ("127.0.0.1", &["nonsense"], false, false),
            ("10.0.0.1", &["127.0.0.1"], true, false),
        ] {
            let headers: Vec<_> = told.iter().map(|told| ("x-forwarded-for", *told)).collect();
            let request = from(peer, &headers);

            assert_eq!(is_local_by(&trusted, &request), by_trust, "{peer} {told:?}");
            assert_eq!(is_local(&request), without, "{peer} {told:?}");
            let forwarded = from(peer, &[&headers[..], &[("forwarded", "for=203.0.113.1")]].concat());
            assert!(!is_local_by(&trusted, &forwarded), "{peer} {told:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_that_there_was_tls() {
        let trusted: Networks = "10.0.0.1".parse().unwrap();
        for (peer, told, is_tls) in [
            ("10.0.0.1", &["https"][..], true),
            ("10.0.0.1", &["http, HTTPS"], true),
            ("10.0.0.1", &["https", "http"], false),
            ("10.0.0.1", &[], false),
            ("10.0.0.2", &["https"], false),
        ] {
            let headers: Vec<_> = told.iter().map(|told| ("x-forwarded-proto", *told)).collect();
            let request = from(peer, &[&headers[..], &[("forwarded", "proto=https")]].concat());

            assert_eq!(is_tls_by(&trusted, &request), is_tls, "{peer} {told:?}");
            assert!(!self::is_tls(&request), "none is trusted by default");
        }
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network() {
        for (peer, counted) in [
            ("203.0.113.1", "203.0.113.1"),
            ("::ffff:203.0.113.1", "203.0.113.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(super::counted(&from(peer, &[])).as_deref(), Some(counted));
        }
    }

    #[test]
    fn networks_are_addresses_with_commas_between() {
        assert_eq!("".parse::<Networks>().unwrap(), Networks::default());
        for garbage in ["nonsense", "10.0.0.0/33", "10.0.0.0/8;10.1.0.0/8", "example.com"] {
            assert!(garbage.parse::<Networks>().is_err(), "{garbage}");
        }
    }
}
