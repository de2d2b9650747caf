//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_proto::Malformed;

/// A range of IP addresses in CIDR form: `10.0.0.0/8`, `2001:db8::/32`, or one address. It has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Tells whether an address is in the range. An IPv4 address that is written as IPv6 is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressRange {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const REFUSED: Malformed =
            Malformed("a range of addresses is an address, or the first one with / and its bits");
        let range = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| REFUSED)?,
        };
        // Nothing is compared with them: addresses are looked at in their IPv4 form.
        let is_mapped = matches!(range, IpNet::V6(range) if range.network().to_ipv4_mapped().is_some());
        if range.addr() != range.network() || is_mapped { Err(REFUSED) } else { Ok(Self(range)) }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Malformed::into_name_error)
    }
}

shared_proto::schema::described!(AddressRange, shared_proto::schema::text("^[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?$"));

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn range_holds_the_addresses_of_its_network_and_no_other() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.0.0.0"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("0.0.0.0/0", "::ffff:10.0.0.1", "2001:db8::1"),
        ] {
            assert!(range(text).contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!range(text).contains(outside.parse().unwrap()), "{text} {outside}");
        }
        assert_eq!(range("192.0.2.7").to_string(), "192.0.2.7/32");
    }

    #[test]
    fn range_that_could_mean_another_is_refused() {
        for wrong in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "localhost", "10.0/8", "::ffff:10.0.0.0/104", "10.0.0.0/08 "]
        {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }
}
