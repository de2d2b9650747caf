//! Keys in the forms of the wild: OpenSSH, PKCS#1, PKCS#8, SEC1, encrypted ones, and public keys.
//!
//! A private key is accepted when its parts belong together; the arithmetic is that of aws-lc-rs. Of an encrypted key only
//! the frame is checked: nobody here has its passphrase.

mod openssh;
mod private;
mod public;

use crate::pem::{self, Block};
use crate::{Refused, symmetric};

pub(crate) use openssh::p256_pair;
pub use public::{KeyAlgorithm, PublicKey};

/// What is known of a key. Nothing here is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// Its algorithm; `None` if it is encrypted, or symmetric.
    pub algorithm: Option<KeyAlgorithm>,
    /// Its size in bits, if it is known.
    pub bits: Option<usize>,
    /// Whether it is a private or symmetric key.
    pub private: bool,
    /// Whether a passphrase is needed to use it.
    pub encrypted: bool,
    /// Fingerprint of its public half: `SHA256:…` over the form of OpenSSH for SSH keys, over `SubjectPublicKeyInfo` for
    /// others.
    pub fingerprint: Option<String>,
}

/// A block that holds a key.
pub(crate) enum KeyBlock {
    /// A private key that can be read, with its public half.
    Private(PublicKey),
    /// An encrypted private key; its public half if the frame shows it.
    Encrypted(Option<PublicKey>),
    /// A public key.
    Public(PublicKey),
    /// The parameters that old tools write before a key.
    Parameters,
}

/// Reads a block; `None` if it holds no key.
pub(crate) fn read_block(block: &Block<'_>) -> Result<Option<KeyBlock>, Refused> {
    let at = |refused: Refused| Refused::at_line(refused.reason(), block.line);
    let der = block.der.as_slice();
    let read = match block.label {
        "RSA PRIVATE KEY" | "EC PRIVATE KEY" if block.encrypted => Ok(KeyBlock::Encrypted(None)),
        "PRIVATE KEY" => private::from_pkcs8(der).map(KeyBlock::Private),
        "RSA PRIVATE KEY" => private::from_pkcs1(der).map(KeyBlock::Private),
        "EC PRIVATE KEY" => private::from_sec1(der).map(KeyBlock::Private),
        "ENCRYPTED PRIVATE KEY" => private::check_encrypted(der).map(|()| KeyBlock::Encrypted(None)),
        "OPENSSH PRIVATE KEY" => openssh::from_private(der),
        "PUBLIC KEY" => PublicKey::from_spki(der).map(KeyBlock::Public),
        "RSA PUBLIC KEY" => PublicKey::from_pkcs1(der).map(KeyBlock::Public),
        "EC PARAMETERS" => Ok(KeyBlock::Parameters),
        "DSA PRIVATE KEY" => Err(Refused::new("DSA is out of use; make another key")),
        _ => return Ok(None),
    };
    read.map(Some).map_err(at)
}

/// Checks an SSH key: one private key, or public keys as in `authorized_keys`, one a line.
pub(crate) fn check_ssh(value: &[u8]) -> Result<KeyFacts, Refused> {
    if pem::looks_like(value) {
        return one_key(&pem::blocks(value)?, true);
    }
    if let Some(facts) = openssh::public_lines(value)? {
        return Ok(facts);
    }
    // The reason why it is no private key, either.
    pem::blocks(value).and_then(|blocks| one_key(&blocks, true))
}

/// Checks a key to encrypt or sign with: a key in PEM, or the bytes or text of a symmetric one.
pub(crate) fn check_general(value: &[u8]) -> Result<KeyFacts, Refused> {
    if pem::looks_like(value) { one_key(&pem::blocks(value)?, false) } else { symmetric::check(value) }
}

fn one_key(blocks: &[Block<'_>], ssh: bool) -> Result<KeyFacts, Refused> {
    let mut found = None;
    for block in blocks {
        let key = read_block(block)?.ok_or(Refused::at_line("this block of PEM holds no key", block.line))?;
        let facts = match key {
            KeyBlock::Parameters => continue,
            KeyBlock::Private(public) => facts(Some(public), true, false),
            KeyBlock::Encrypted(public) => facts(public, true, true),
            KeyBlock::Public(public) => facts(Some(public), false, false),
        };
        if ssh && facts.algorithm == Some(KeyAlgorithm::X25519) {
            return Err(Refused::at_line("X25519 is no algorithm of SSH", block.line));
        }
        // Of a pair in one file the private half counts, if they belong together.
        found = match found {
            None => Some(facts),
            Some(first) => Some(pair(first, facts, block.line)?),
        };
    }
    found.ok_or(Refused::new("the value has parameters, and no key"))
}

fn pair(first: KeyFacts, second: KeyFacts, line: usize) -> Result<KeyFacts, Refused> {
    if first.private == second.private {
        return Err(Refused::at_line("the value holds more than one key", line));
    }
    let known = first.fingerprint.is_some() && second.fingerprint.is_some();
    if known && first.fingerprint != second.fingerprint {
        return Err(Refused::at_line("the public key is not that of the private key", line));
    }
    Ok(if first.private { first } else { second })
}

fn facts(public: Option<PublicKey>, private: bool, encrypted: bool) -> KeyFacts {
    KeyFacts {
        algorithm: public.as_ref().map(|public| public.algorithm),
        bits: public.as_ref().and_then(|public| public.bits),
        fingerprint: public.map(|public| public.fingerprint()),
        private,
        encrypted,
    }
}
