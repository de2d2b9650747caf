//! What is handed over with an enrolment code: where the manager is, and by what it is known.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use service_runtime::Refusal;
use service_runtime::tasks::blocking;
use shared_proto::encoding::{from_base64_value, sha256};

/// The manager's address, and the file of its CA.
#[derive(Clone, Debug)]
pub struct Place {
    /// The address.
    pub url: String,
    /// The certificates of the CA in PEM. Absent without TLS.
    pub ca: Option<PathBuf>,
}

impl Place {
    /// The address of a listener, if the configuration names none.
    pub fn url_of(listen: &SocketAddr, tls: bool) -> String {
        format!("{}://{listen}", if tls { "https" } else { "http" })
    }

    /// SHA-256 of the CA's certificate in hexadecimal; `None` without TLS.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub async fn ca_sha256(&self) -> Result<Option<String>, Refusal> {
        let Some(file) = self.ca.clone() else { return Ok(None) };
        let found = blocking(move || fingerprint(&file)).await?;
        found.map(Some).ok_or_else(|| Refusal::unavailable("the CA's certificate cannot be read"))
    }
}

/// The fingerprint of the last certificate of a file: in a chain that is the one next to the root, or the root itself.
fn fingerprint(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let (_, block) = text.rsplit_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = from_base64_value(&body).ok()?;
    let mut text = String::with_capacity(64);
    for byte in sha256(&der) {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_that_of_the_last_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(&file, format!("{}text\n{}", block("AAAA"), block("YW\nJj"))).unwrap();
        // SHA-256 of `abc` (FIPS 180-4).
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint(&file).as_deref(), Some(expected));
        std::fs::write(&file, "no certificate").unwrap();
        assert_eq!(fingerprint(&file), None);
        assert_eq!(fingerprint(&dir.path().join("none")), None);
    }
}
