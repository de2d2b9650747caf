//! Addresses of services, judged as they are used and not as they are written.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::ClientError;

/// The address of a service: scheme, host and port, and nothing else. `HTTP:/a.example` is the same one as `http://a.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`ClientError::Address`] when it is not a bare `http` or `https` origin.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        const REFUSED: ClientError = ClientError::Address("an address has the form http(s)://host:port");
        let url = Url::parse(text).map_err(|_| REFUSED)?;
        let origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !origin || !anonymous {
            return Err(REFUSED);
        }
        Ok(Self(url))
    }

    /// Tells whether nobody on the way reads what is sent there: it has TLS, or is this machine.
    pub fn is_private(&self) -> bool {
        self.has_tls() || self.is_this_machine()
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Names other than `localhost` are not believed: who answers for them decides where they lead.
    fn is_this_machine(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_origin_is_an_address() {
        for good in ["http://127.0.0.1:8000", "https://vault.example/"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8000", "ftp://a", "http://a/b", "http://a?b", "http://u:p@a", "http://a#b"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_private_on_this_machine_alone_however_it_is_written() {
        for private in
            ["https://a.example", "http://localhost:8000", "http://127.0.0.1:1/", "http://[::1]:8000", "HTTP:LOCALHOST"]
        {
            assert!(Address::parse(private).unwrap().is_private(), "{private}");
        }
        for open in [
            "http://a.example",
            "HTTP://a.example",
            "http:/a.example",
            "http:a.example",
            " http://a.example",
            "http:\\\\a.example",
            "h\tttp://a.example",
            "http://localhost.example",
            "http://x.localhost",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
        ] {
            assert!(!Address::parse(open).unwrap().is_private(), "{open}");
        }
    }

    #[test]
    fn address_has_one_written_form() {
        for written in ["https://a.example", "https://a.example/", "HTTPS:/A.example:443", " https://a.example"] {
            assert_eq!(Address::parse(written).unwrap().to_string(), "https://a.example");
        }
    }
}
