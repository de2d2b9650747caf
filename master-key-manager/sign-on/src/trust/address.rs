//! Addresses of key sets: https, by name, nothing of this machine or its network neighbourhood.
//!
//! An administrator gives the address. It is still checked, so that a trust cannot make the manager ask a cloud's
//! metadata service or its own loopback ports. A name can resolve to such an address, too: whoever fetches asks
//! [`AddressRules::permits`] for each resolved address before it connects, follows no redirect, and takes no proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use shared_proto::Malformed;
use url::{Host, Url};

/// The rules for addresses that may be fetched from. Private networks and this machine are refused, unless an operator
/// names their network: an administrator must not be able to make the manager ask what only it reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRules {
    networks: Vec<IpNet>,
}

impl AddressRules {
    /// The rules without a named network.
    pub const STRICT: Self = Self { networks: Vec::new() };

    /// The rules with these networks, in CIDR notation: `10.96.0.0/12`.
    ///
    /// # Errors
    /// One is malformed, has bits beside its prefix, or is wider than any private network.
    pub fn with_networks(networks: &[String]) -> Result<Self, Malformed> {
        let network = |text: &String| {
            let network: IpNet = text.parse().map_err(|_| Malformed("a network has the form 10.96.0.0/12"))?;
            let least = if network.addr().is_ipv4() { 8 } else { 7 };
            if network != network.trunc() || network.prefix_len() < least {
                return Err(Malformed(
                    "a network has no bits beside its prefix, and is not wider than /8, or /7 of IPv6",
                ));
            }
            Ok(network)
        };
        Ok(Self { networks: networks.iter().map(network).collect::<Result<_, _>>()? })
    }

    /// True if a resolved address may be connected to. Metadata services live on link-local addresses, which no name of a
    /// network admits.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let named = || self.networks.iter().any(|network| network.contains(&address));
        if address.is_loopback() {
            return named();
        }
        match address {
            IpAddr::V4(v4) => {
                let never = v4.is_link_local()
                    || v4.is_unspecified()
                    || v4.is_broadcast()
                    || v4.is_multicast()
                    || v4.octets().starts_with(&[0])
                    || METADATA_V4.contains(&v4);
                // RFC 1918, RFC 6598 for addresses behind a carrier, and what RFC 6890 gives to nobody on the Internet.
                let private = v4.is_private()
                    || matches!(
                        v4.octets(),
                        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..]
                    );
                !never && (!private || named())
            }
            IpAddr::V6(v6) => {
                let never = v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || METADATA.contains(&v6)
                    || hides_v4(v6);
                // RFC 4193, and the site-local addresses before it.
                let private = v6.is_unique_local() || matches!(v6.segments(), [0xfec0..=0xfeff, ..]);
                !never && (!private || named())
            }
        }
    }

    /// True if the names of this machine may be used: what they resolve to is looked at as well.
    fn permits_loopback(&self) -> bool {
        self.permits(IpAddr::V4(Ipv4Addr::LOCALHOST)) || self.permits(IpAddr::V6(Ipv6Addr::LOCALHOST))
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
    pub fn parse(text: &str, rules: &AddressRules) -> Result<Self, &'static str> {
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
            Some(Host::Domain(name)) => !is_metadata(name) && (rules.permits_loopback() || !is_local(name)),
            Some(Host::Ipv4(address)) => rules.permits(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => rules.permits(IpAddr::V6(address)),
            None => false,
        };
        if permitted {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "is one of this machine, of a private network that the configuration does not name, or of a metadata service",
            )
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 6761. Names below `cluster.local` are those of a Kubernetes cluster.
fn is_local(name: &str) -> bool {
    is_one_of(name, &["localhost", "localdomain"])
}

fn is_metadata(name: &str) -> bool {
    is_one_of(name, &["metadata.google.internal", "metadata.internal"])
        || matches!(name.trim_end_matches('.'), "metadata" | "instance-data")
}

/// True if a name is one of these domains, or lies in one.
fn is_one_of(name: &str, domains: &[&str]) -> bool {
    let name = name.trim_end_matches('.');
    let ends = |domain: &&str| name == *domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    domains.iter().any(ends)
}

/// Forms of IPv6 that stand for an IPv4 address behind a translator: a way around the rules.
fn hides_v4(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // IPv4-compatible, SIIT (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4, Teredo.
    matches!(segments, [0, 0, 0, 0, 0 | 0xffff, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..])
}

/// The metadata services of Alibaba, Azure and Oracle that are not link-local.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// The metadata services of AWS and Google on IPv6.
const METADATA: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254), Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)];
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> bool {
        KeySetUrl::parse(text, &AddressRules::STRICT).is_err()
    }

    #[test]
    fn ordinary_addresses_are_taken() {
        for text in [
            "https://token.actions.githubusercontent.com/.well-known/jwks",
            "https://gitlab.example:8443/oauth/discovery/keys?x=1",
            "https://kubernetes.default.svc.cluster.local/openid/v1/jwks",
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
            "https://[::ffff:0:7f00:1]/keys",
            "https://[::ffff:0:a9fe:a9fe]/keys",
            "https://[::ffff:0:5db8:d822]/keys",
            "https://255.255.255.255/keys",
            "https://224.0.0.1/keys",
            "https://metadata.google.internal/keys",
            "https://metadata/keys",
            "https://100.100.100.200/keys",
            "https://168.63.129.16/keys",
            "https://192.0.0.192/keys",
            "https://192.0.0.8/keys",
            "https://198.18.0.1/keys",
            "https://240.0.0.1/keys",
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
    fn private_networks_are_fetched_from_when_they_are_named_and_metadata_services_never() {
        let named = |networks: &[&str]| {
            let networks: Vec<String> = networks.iter().map(|network| (*network).to_owned()).collect();
            AddressRules::with_networks(&networks)
        };
        let cluster = "https://10.96.0.1/openid/v1/jwks";
        assert!(refused(cluster) && refused("https://[fd00::1]/keys") && refused("https://100.64.0.1/keys"));
        let rules = named(&["10.96.0.0/12", "fd00::/8"]).unwrap();
        assert!(
            KeySetUrl::parse(cluster, &rules).is_ok() && KeySetUrl::parse("https://[fd00::1]/keys", &rules).is_ok()
        );
        for other in
            ["https://10.0.0.1/keys", "https://127.0.0.1/keys", "https://[fd00:ec2::254]/keys", "https://localhost/k"]
        {
            assert!(KeySetUrl::parse(other, &rules).is_err(), "{other}");
        }
        assert!(!named(&["169.254.0.0/16"]).unwrap().permits([169, 254, 169, 254].into()));
        let carrier = named(&["100.64.0.0/10"]).unwrap();
        assert!(carrier.permits([100, 64, 0, 1].into()) && !carrier.permits([100, 100, 100, 200].into()));
        for wrong in ["10.96.0.1/12", "0.0.0.0/0", "::/0", "10.0.0.0", "x", "10.0.0.0/33"] {
            assert!(named(&[wrong]).is_err(), "{wrong}");
        }
        let rules = named(&["127.0.0.1/32"]).unwrap();
        assert!(KeySetUrl::parse("https://127.0.0.1:8443/keys", &rules).is_ok());
        assert!(KeySetUrl::parse("https://localhost:8443/keys", &rules).is_ok());
        assert!(KeySetUrl::parse("http://127.0.0.1:8080/keys", &rules).is_err());
        assert!(KeySetUrl::parse("https://169.254.169.254/keys", &rules).is_err());
        assert!(!AddressRules::STRICT.permits([127, 0, 0, 1].into()) && rules.permits([127, 0, 0, 1].into()));
        assert!(!rules.permits([127, 0, 0, 2].into()) && !rules.permits([192, 168, 1, 1].into()));
        assert!(rules.permits([192, 0, 2, 1].into()));
    }

    proptest! {
        #[test]
        fn no_address_panics_and_none_is_another_when_it_is_read_again(text in "https://[a-z0-9.:@\\[\\]%#?/-]{0,40}") {
            if let Ok(url) = KeySetUrl::parse(&text, &AddressRules::STRICT) {
                prop_assert_eq!(url.as_str(), &text);
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert_eq!(again.as_str(), &text);
            }
        }
    }
}
