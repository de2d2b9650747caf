//! The address of a client behind proxies.
//!
//! A header about the client counts only when a proxy sent it that the configuration names. Of the addresses in it, the
//! last one counts that is not such a proxy's: what stands before it, anybody may have written.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use serde::Deserialize;

/// The proxies whose `Forwarded` (RFC 7239) and `X-Forwarded-For` headers count, as ranges of addresses. None by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Proxies in these ranges.
    pub fn new(ranges: Vec<IpNet>) -> Self {
        Self(ranges)
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(&address))
    }

    /// The client of a request; `None` if its proxy says nothing that can be understood. With both headers they must agree:
    /// a proxy writes one of them, and lets the client write the other.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.trusts(peer) {
            return Some(peer);
        }
        match (self.said(headers, "forwarded", forwarded), self.said(headers, "x-forwarded-for", listed)) {
            (Said::Nothing, Said::Nothing) => Some(peer),
            (Said::Client(one), Said::Nothing) | (Said::Nothing, Said::Client(one)) => Some(one),
            (Said::Client(one), Said::Client(other)) => Some(one).filter(|_| one == other),
            (Said::Nonsense, _) | (_, Said::Nonsense) => None,
        }
    }

    /// The client of a header: the last address in it that is not a proxy's, or else the first.
    fn said(&self, headers: &HeaderMap, name: &str, nodes: fn(&str) -> Option<Vec<IpAddr>>) -> Said {
        if !headers.contains_key(name) {
            return Said::Nothing;
        }
        let mut addresses = Vec::new();
        for value in headers.get_all(name) {
            let Some(more) = value.to_str().ok().and_then(nodes) else { return Said::Nonsense };
            addresses.extend(more);
        }
        let last = addresses.iter().rev().find(|address| !self.trusts(**address));
        last.or(addresses.first()).map_or(Said::Nonsense, |address| Said::Client(*address))
    }
}

/// What a header says of the client.
#[derive(Clone, Copy)]
enum Said {
    Nothing,
    Nonsense,
    Client(IpAddr),
}

/// The address of the client that a request came from; `None` if it is not known.
pub fn client_address(req: &HttpRequest) -> Option<IpAddr> {
    let peer = req.peer_addr()?.ip().to_canonical();
    match req.app_data::<TrustedProxies>() {
        Some(proxies) => proxies.client(peer, req.headers()),
        None => Some(peer),
    }
}

/// The addresses of an `X-Forwarded-For` header; `None` if one cannot be understood.
fn listed(value: &str) -> Option<Vec<IpAddr>> {
    value.split(',').map(|node| address(node.trim_matches([' ', '\t']))).collect()
}

/// The addresses of a `Forwarded` header; `None` if one is missing or cannot be understood.
fn forwarded(value: &str) -> Option<Vec<IpAddr>> {
    parts(value, ',')?.into_iter().map(element).collect()
}

fn element(text: &str) -> Option<IpAddr> {
    let mut found = parts(text, ';')?.into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for").then_some(value)
    });
    let (only, None) = (found.next()?, found.next()) else { return None };
    let only = only.trim_matches([' ', '\t']);
    address(only.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(only))
}

/// The parts between separators that are not quoted; `None` if a quotation does not end.
fn parts(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == separator && !quoted,
        }
        false
    });
    let parts = parts.collect();
    (!quoted).then_some(parts)
}

/// An address with or without a port. IPv6 stands in brackets, or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let parsed = match bare {
        Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())),
    };
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/64".parse().unwrap()]);
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let mut request = TestRequest::get().app_data(proxies).peer_addr(peer);
        for header in headers {
            request = request.append_header(*header);
        }
        client_address(&request.to_http_request()).map(|address| address.to_string())
    }

    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";

    #[test]
    fn header_of_a_stranger_does_not_count() {
        for header in [(X, "192.0.2.1"), (F, "for=192.0.2.1")] {
            assert_eq!(client("198.51.100.9", &[header]).as_deref(), Some("198.51.100.9"));
            assert_eq!(client("::ffff:198.51.100.9", &[header]).as_deref(), Some("198.51.100.9"));
        }
    }

    #[test]
    fn last_address_that_is_no_proxy_is_the_client() {
        for headers in [
            &[(X, "192.0.2.1")][..],
            &[(X, "10.9.9.9, 203.0.113.5, 192.0.2.1, 10.0.0.2")],
            &[(X, "203.0.113.5"), (X, "192.0.2.1:4711")],
            &[(X, "::ffff:192.0.2.1,2001:db8::7")],
            &[(F, "for=192.0.2.1")],
            &[(F, "For=\"[2001:db8:1::1]:47\" ;proto=http, for=192.0.2.1;by=10.0.0.1 ,for=10.0.0.2")],
            &[(F, "for=203.0.113.5"), (F, "proto=https;for=\"192.0.2.1:80\"")],
            &[(F, "for=192.0.2.1"), (X, "192.0.2.1")],
        ] {
            assert_eq!(client("10.0.0.1", headers).as_deref(), Some("192.0.2.1"), "{headers:?}");
        }
        assert_eq!(client("10.0.0.1", &[(F, "for=\"[2001:db8:1::1]\"")]).as_deref(), Some("2001:db8:1::1"));
        assert_eq!(client("10.0.0.1", &[(X, "10.0.0.7, 10.0.0.2")]).as_deref(), Some("10.0.0.7"));
        assert_eq!(client("10.0.0.1", &[]).as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn client_of_a_header_that_cannot_be_understood_is_not_known() {
        for headers in [
            &[(X, "")][..],
            &[(X, "192.0.2.1, unknown")],
            &[(X, "192.0.2.1, _hidden, 10.0.0.2")],
            &[(X, "[192.0.2.1]")],
            &[(F, "for=unknown")],
            &[(F, "for=_hidden, for=10.0.0.2")],
            &[(F, "proto=https")],
            &[(F, "for=192.0.2.1;for=192.0.2.2")],
            &[(F, "for=\"192.0.2.1")],
            // A quotation that the client began swallows what the proxy wrote.
            &[(F, "for=192.0.2.1;a=\", for=203.0.113.5")],
            &[(F, "for=192.0.2.1;a=\", for=\"[2001:db8:1::1]\"")],
            &[(F, "for=192.0.2.1;a=\"\\, for=\"[2001:db8:1::1]\"")],
            // One of them is the client's own.
            &[(F, "for=192.0.2.1"), (X, "203.0.113.5")],
            &[(F, "for=unknown"), (X, "203.0.113.5")],
        ] {
            assert_eq!(client("10.0.0.1", headers), None, "{headers:?}");
        }
    }
}
