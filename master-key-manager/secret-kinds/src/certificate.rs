//! A certificate with its chain, in any order, and its private key if it is there.
//!
//! Guarantees that the certificates are one chain: each was signed by the next one, all that issue may do so, none is left
//! over, and the private key is that of the first. Whether anybody trusts the last one is not decided here, and names are
//! not compared with anything.

mod chain;
mod parsed;

use crate::key::{KeyAlgorithm, KeyBlock, PublicKey, read_block};
use crate::pem::{self, Block};
use crate::{Checked, Facts, Refused, Validity};

use parsed::Parsed;

/// What is known of a certificate. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The host names, addresses and other names that it is for, at most 64.
    pub names: Vec<String>,
    /// The common name of its subject.
    pub common_name: Option<String>,
    /// Its number, in hex.
    pub serial: String,
    /// The first second of its validity (Unix seconds).
    pub not_before: u64,
    /// SHA-256 over the certificate, in hex.
    pub fingerprint: String,
    /// The algorithm of its key.
    pub algorithm: KeyAlgorithm,
    /// The number of certificates, with itself.
    pub chain_length: usize,
    /// The earliest end in its chain (Unix seconds); `None` if none ends.
    pub chain_ends_at: Option<u64>,
    /// Whether the last one of the chain signed itself.
    pub complete: bool,
    /// The private key in the value.
    pub private_key: PrivateKeyFact,
}

/// The private key beside a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateKeyFact {
    /// There is none.
    Absent,
    /// It is that of the certificate.
    Fits,
    /// It is encrypted, so nobody here knows.
    Encrypted,
}

pub(crate) fn check(value: &[u8], now: u64) -> Result<Checked, Refused> {
    let blocks = pem::blocks(value)?;
    let (mut certificates, mut key) = (Vec::new(), Key::Absent);
    for block in &blocks {
        if matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") {
            let parsed = Parsed::read(block)?;
            if certificates.iter().any(|known: &Parsed| known.der == parsed.der) {
                return Err(Refused::at_line("this certificate comes twice", block.line));
            }
            certificates.push(parsed);
        } else {
            key = key.with(block)?;
        }
    }
    if certificates.is_empty() {
        return Err(Refused::new("the value has no certificate"));
    }
    let chain = chain::ordered(&certificates)?;
    let (Some(leaf), Some(last)) = (chain.first(), chain.last()) else {
        return Err(Refused::new("the value has no certificate"));
    };
    let private_key = match key {
        Key::Absent => PrivateKeyFact::Absent,
        Key::Encrypted => PrivateKeyFact::Encrypted,
        Key::Public(public, line) if !public.is(&leaf.key) => return Err(Refused::at_line(OTHER_KEY, line)),
        Key::Public(..) => PrivateKeyFact::Fits,
    };
    let facts = CertificateFacts {
        names: leaf.names(),
        common_name: leaf.common_name(),
        serial: leaf.serial(),
        not_before: leaf.not_before,
        fingerprint: hex::encode(shared_proto::encoding::sha256(&leaf.der)),
        algorithm: leaf.key.algorithm,
        chain_length: chain.len(),
        chain_ends_at: chain.iter().filter_map(|certificate| certificate.not_after).min(),
        complete: last.is_self_issued(),
        private_key,
    };
    let validity = Validity::of(Some(leaf.not_before), leaf.not_after, now);
    Ok(Checked { expires_at: leaf.not_after, validity, facts: Facts::Certificate(Box::new(facts)) })
}

const OTHER_KEY: &str = "the private key is not that of the certificate";

/// The private key that was found so far.
enum Key {
    Absent,
    Encrypted,
    Public(PublicKey, usize),
}

impl Key {
    fn with(self, block: &Block<'_>) -> Result<Self, Refused> {
        let found = read_block(block)?;
        let found =
            found.ok_or(Refused::at_line("this block of PEM is no certificate and no private key", block.line))?;
        let next = match found {
            KeyBlock::Parameters => return Ok(self),
            KeyBlock::Public(_) => {
                return Err(Refused::at_line("a public key has no place beside its certificate", block.line));
            }
            KeyBlock::Encrypted(_) => Self::Encrypted,
            KeyBlock::Private(public) => Self::Public(public, block.line),
        };
        match self {
            Self::Absent => Ok(next),
            Self::Encrypted | Self::Public(..) => {
                Err(Refused::at_line("the value holds more than one key", block.line))
            }
        }
    }
}
