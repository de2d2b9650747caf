//! Values that the manager makes.

mod alphabet;
mod api_key;
mod bytes;
mod key_pair;
mod password;
mod ssh;
mod subject;

use manager_api::generate::Generate;
use zeroize::Zeroizing;

use crate::Refused;
use crate::random::Random;

pub use api_key::{MAX_API_KEY_BYTES, verify};

/// A value that was made. It has no `Debug` form.
pub struct Generated {
    /// The value.
    pub value: Zeroizing<String>,
    /// Its public part.
    pub public: PublicFacts,
}

/// The public part of a value that was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublicFacts {
    /// The public key: a line of OpenSSH for an SSH key, PEM for others.
    pub public_key: Option<String>,
    /// Fingerprint of the public key (`SHA256:…`), as `check` gives it.
    pub fingerprint: Option<String>,
    /// The certificate signing request, in PEM.
    pub request: Option<String>,
    /// The self-signed certificate, in PEM.
    pub certificate: Option<String>,
    /// The end of the certificate (Unix seconds).
    pub expires_at: Option<u64>,
    /// The checksum at the end of an API key. It tells typing errors, not keys.
    pub checksum: Option<String>,
    /// The random bits of a symmetric value, rounded down.
    pub bits: Option<u32>,
}

/// Makes a value at a time in Unix seconds.
///
/// RSA keys take their randomness from the operating system inside aws-lc-rs; all others take it from `random`.
///
/// # Errors
///
/// Members of the request contradict each other, or the source gives no randomness.
pub fn generate(request: &Generate, random: &mut dyn Random, now: u64) -> Result<Generated, Refused> {
    match request {
        Generate::Password { length, classes, exclude, no_lookalikes } => {
            password::characters(*length, *classes, exclude, *no_lookalikes, random)
        }
        Generate::Passphrase { words, separator, capitals, digit } => {
            password::words(*words, separator, *capitals, *digit, random)
        }
        Generate::ApiKey { prefix, length, checksum } => api_key::make(prefix.as_ref(), *length, *checksum, random),
        Generate::Key256 { encoding } => bytes::key_256(*encoding, random),
        Generate::Token { bytes, prefix } => bytes::token(*bytes, prefix.as_ref(), random),
        Generate::Uuid {} => bytes::uuid(random),
        Generate::SshKey { algorithm, comment } => ssh::make(*algorithm, comment.as_ref(), random),
        Generate::KeyPair { algorithm, request, self_signed } => {
            key_pair::make(*algorithm, request.as_deref(), self_signed.as_deref(), random, now)
        }
    }
}

impl Generated {
    fn symmetric(value: Zeroizing<String>, bits: u32) -> Self {
        Self { value, public: PublicFacts { bits: Some(bits), ..PublicFacts::default() } }
    }
}
