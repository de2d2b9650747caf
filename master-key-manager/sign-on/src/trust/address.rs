//! Addresses of key sets: https, by name, nothing of this machine or its network neighbourhood.
//!
//! An administrator gives the address. It is still checked, so that a trust cannot make the manager ask a cloud's
//! metadata service or its own loopback ports. A name can resolve to such an address, too: whoever fetches asks
//! [`AddressRules::permits`] for each resolved address before it connects, follows no redirect, and takes no proxy.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// The rules for addresses that may be fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRules {
    loopback: bool,
}

impl AddressRules {
    /// The rules of production.
    pub const STRICT: Self = Self { loopback: false };

    /// Rules that admit this machine: for tests, whose issuer runs beside the manager. `https` stays.
    pub const DANGEROUS_LOOPBACK: Self = Self { loopback: true };

    /// True if a resolved address may be connected to.
    pub fn permits(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if address.is_loopback() {
            return self.loopback;
        }
        match address {
            // Private networks are where clusters are. Metadata services live on link-local addresses.
            IpAddr::V4(v4) => {
                !(v4.is_link_local()
                    || v4.is_unspecified()
                    || v4.is_broadcast()
                    || v4.is_multicast()
                    || v4.octets().starts_with(&[0]))
            }
            IpAddr::V6(v6) => {
                !(v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || METADATA.contains(&v6)
                    || hides_v4(v6))
            }
        }
    }
}

/// The checked address of a key set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySetUrl(String);

impl KeySetUrl {
    /// Checks an address.
    ///
    /// # Errors
    /// It may not be fetched from; the error says why.
    pub fn parse(text: &str, rules: AddressRules) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("has more than 512 bytes");
        }
        let url = Url::parse(text).map_err(|_| "is not an address")?;
        if url.scheme() != "https" {
            return Err("does not begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("names a user");
        }
        if url.fragment().is_some() {
            return Err("has a fragment");
        }
        // Other spellings are read by others as other addresses.
        if url.as_str() != text {
            return Err("is not in its plain form");
        }
        let permitted = match url.host() {
            Some(Host::Domain(name)) => rules.loopback || !is_local(name),
            Some(Host::Ipv4(address)) => rules.permits(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => rules.permits(IpAddr::V6(address)),
            None => false,
        };
        if permitted {
            Ok(Self(text.to_owned()))
        } else {
            Err("is one of this machine, of its link, or of a metadata service")
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 6761, and the names of metadata services. Names below `cluster.local` are those of a Kubernetes cluster.
fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let ends = |domain: &str| name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    ["localhost", "localdomain", "metadata.google.internal", "metadata.internal"].into_iter().any(ends)
        || name == "metadata"
        || name == "instance-data"
}

/// Forms of IPv6 that stand for an IPv4 address behind a translator: a way around the rules.
fn hides_v4(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // IPv4-compatible, NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
    matches!(segments, [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..])
}

/// The metadata services of AWS and Google on IPv6.
const METADATA: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254), Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)];
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> bool {
        KeySetUrl::parse(text, AddressRules::STRICT).is_err()
    }

    #[test]
    fn ordinary_addresses_are_taken() {
        for text in [
            "https://token.actions.githubusercontent.com/.well-known/jwks",
            "https://gitlab.example:8443/oauth/discovery/keys?x=1",
            "https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
            "https://10.96.0.1/openid/v1/jwks",
            "https://[2001:db8::1]/keys",
        ] {
            assert!(!refused(text), "{text}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_of_metadata_services_are_refused() {
        for text in [
            "https://localhost/keys",
            "https://a.localhost/keys",
            "https://localhost./keys",
            "https://127.0.0.1/keys",
            "https://127.1.2.3/keys",
            "https://[::1]/keys",
            "https://[::ffff:7f00:1]/keys",
            "https://[::ffff:a9fe:a9fe]/keys",
            "https://169.254.169.254/keys",
            "https://[fd00:ec2::254]/keys",
            "https://[fd20:ce::254]/keys",
            "https://[fe80::1]/keys",
            "https://0.0.0.0/keys",
            "https://0.1.2.3/keys",
            "https://[::]/keys",
            "https://[64:ff9b::a9fe:a9fe]/keys",
            "https://[2002:a9fe:a9fe::]/keys",
            "https://[::7f00:1]/keys",
            "https://255.255.255.255/keys",
            "https://224.0.0.1/keys",
            "https://metadata.google.internal/keys",
            "https://metadata/keys",
        ] {
            assert!(refused(text), "{text}");
        }
    }

    #[test]
    fn other_schemes_users_fragments_and_spellings_are_refused() {
        for text in [
            "http://example.org/keys",
            "file:///etc/passwd",
            "ftp://example.org/",
            "https://user@example.org/",
            "https://u:p@example.org/",
            "https://example.org/#a",
            "https://EXAMPLE.org/",
            "https://example.org",
            "https://example.org:443/",
            " https://example.org/",
            "https://example.org/a/../b",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://127.1/",
            "https:example.org/",
            "",
            "/keys",
            "https:\\\\example.org/",
        ] {
            assert!(refused(text), "{text}");
        }
        assert!(refused(&format!("https://example.org/{}", "x".repeat(500))));
    }

    #[test]
    fn tests_may_fetch_from_this_machine_and_nothing_more() {
        let rules = AddressRules::DANGEROUS_LOOPBACK;
        assert!(KeySetUrl::parse("https://127.0.0.1:8443/keys", rules).is_ok());
        assert!(KeySetUrl::parse("https://localhost:8443/keys", rules).is_ok());
        assert!(KeySetUrl::parse("http://127.0.0.1:8080/keys", rules).is_err());
        assert!(KeySetUrl::parse("https://169.254.169.254/keys", rules).is_err());
        assert!(!AddressRules::STRICT.permits([127, 0, 0, 1].into()) && rules.permits([127, 0, 0, 1].into()));
        assert!(AddressRules::STRICT.permits([192, 168, 1, 1].into()));
    }

    proptest! {
        #[test]
        fn no_address_panics_and_none_is_another_when_it_is_read_again(text in "https://[a-z0-9.:@\\[\\]%#?/-]{0,40}") {
            if let Ok(url) = KeySetUrl::parse(&text, AddressRules::STRICT) {
                prop_assert_eq!(url.as_str(), &text);
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert_eq!(again.as_str(), &text);
            }
        }
    }
}
