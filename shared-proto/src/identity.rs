//! Service identities: the Ed25519 key that is the only thing the other service pins.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rsa::pkcs8::{LineEnding, SecretDocument};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

use crate::encoding::{Bytes, read_from_objects_only};
use crate::id::{ManagerId, VaultId};
use crate::jwk::{Curve, PublicJwk, Thumbprint};
use crate::{Malformed, Rejected};

/// An Ed25519 signature, `b64` in JSON.
pub type Signature = Bytes<64>;

/// The mode of an installation. It is written into identity documents, issuer and data directories, so that production
/// refuses whatever development made, and the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For trials: loopback only, anonymous submissions, and none of the guarantees of SECURITY.md.
    Development,
    /// For real secrets: all guarantees of SECURITY.md.
    Production,
}

impl Mode {
    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }

    /// Whether this is the development mode.
    pub fn is_development(self) -> bool {
        match self {
            Self::Development => true,
            Self::Production => false,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The service that owns an identity or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A master-key-manager.
    Manager(ManagerId),
    /// An encrypted-vault.
    Vault(VaultId),
}

impl Owner {
    /// The 16 raw bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        match self {
            Self::Manager(id) => id.as_bytes(),
            Self::Vault(id) => id.as_bytes(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(id) => id.fmt(formatter),
            Self::Vault(id) => id.fmt(formatter),
        }
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self::Manager)
            .or_else(|_| text.parse().map(Self::Vault))
            .map_err(|_| D::Error::custom("not an id of a manager or a vault"))
    }
}

/// The public document of a service's identity, which is placed as a pin at the other service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct IdentityDocument {
    /// The service.
    pub id: Owner,
    /// The mode of its installation.
    pub mode: Mode,
    /// Its Ed25519 public key.
    pub key: PublicJwk,
}

read_from_objects_only!(IdentityDocument);

/// `iss` of everything that a manager signs: `urn:splitvault:<mode>:<manager id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The mode of the installation.
    pub mode: Mode,
    /// The manager.
    pub manager: ManagerId,
}

impl fmt::Display for Issuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{ISSUER_PREFIX}{}:{}", self.mode, self.manager)
    }
}

impl FromStr for Issuer {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const REFUSED: Malformed = Malformed("not an issuer");
        let (mode, manager) = text.strip_prefix(ISSUER_PREFIX).and_then(|rest| rest.split_once(':')).ok_or(REFUSED)?;
        let mode = match mode {
            "development" => Mode::Development,
            "production" => Mode::Production,
            _ => return Err(REFUSED),
        };
        Ok(Self { mode, manager: manager.parse()? })
    }
}

impl Serialize for Issuer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A service's own identity key pair.
pub struct IdentityKey {
    pair: Ed25519KeyPair,
    public: PublicJwk,
    kid: Thumbprint,
}

impl IdentityKey {
    /// A new key pair, and the PKCS#8 PEM text for its file.
    pub fn generate() -> Result<(Self, Zeroizing<String>), Rejected> {
        let pair = Ed25519KeyPair::generate().map_err(|_| Rejected)?;
        let der = pair.to_pkcs8v1().map_err(|_| Rejected)?;
        let document = SecretDocument::try_from(der.as_ref()).map_err(|_| Rejected)?;
        let pem = document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| Rejected)?;
        Ok((Self::from_pair(pair)?, pem))
    }

    /// Reads an Ed25519 key in PKCS#8 PEM form.
    pub fn from_pem(pem: &str) -> Result<Self, Malformed> {
        const REFUSED: Malformed = Malformed("it is not an Ed25519 private key in PKCS#8 PEM form");
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| REFUSED)?;
        if label != "PRIVATE KEY" {
            return Err(REFUSED);
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document.as_bytes()).map_err(|_| REFUSED)?;
        Self::from_pair(pair).map_err(|_| REFUSED)
    }

    fn from_pair(pair: Ed25519KeyPair) -> Result<Self, Rejected> {
        let public = PublicJwk::ed25519(pair.public_key().as_ref().try_into().map_err(|_| Rejected)?);
        let kid = public.thumbprint();
        Ok(Self { pair, public, kid })
    }

    /// The public key.
    pub fn public(&self) -> &PublicJwk {
        &self.public
    }

    /// Thumbprint of the public key.
    pub fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// Signs a message (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        Bytes(out)
    }
}

/// The pinned identity of the other service: one key, or two while it changes.
#[derive(Clone, Debug)]
pub struct Pins {
    id: Owner,
    mode: Mode,
    keys: Vec<(Thumbprint, [u8; 32])>,
}

impl Pins {
    /// The pins in these documents.
    ///
    /// # Errors
    ///
    /// There are none or more than two, they belong to different services or modes, or a key is not Ed25519.
    pub fn new(documents: &[IdentityDocument]) -> Result<Self, Malformed> {
        let Some(first) = documents.first() else {
            return Err(Malformed("no identity of the other service is pinned"));
        };
        if documents.len() > 2 {
            return Err(Malformed("more than two identities of the other service are pinned"));
        }
        if documents.iter().any(|pin| pin.id != first.id || pin.mode != first.mode) {
            return Err(Malformed("the pinned identities are not of one service in one mode"));
        }
        let keys = documents
            .iter()
            .map(|pin| Ok((pin.key.thumbprint(), *pin.key.okp(Curve::Ed25519)?)))
            .collect::<Result<_, Malformed>>()?;
        Ok(Self { id: first.id, mode: first.mode, keys })
    }

    /// The service whose identity is pinned.
    pub fn id(&self) -> Owner {
        self.id
    }

    /// The mode of the other service.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The pinned public key with this kid.
    pub fn key(&self, kid: &Thumbprint) -> Option<&[u8; 32]> {
        self.keys.iter().find(|(known, _)| known == kid).map(|(_, key)| key)
    }

    /// The kids of the pinned keys.
    pub fn kids(&self) -> impl Iterator<Item = &Thumbprint> {
        self.keys.iter().map(|(kid, _)| kid)
    }

    /// Verifies an Ed25519 signature by the pinned key `kid`.
    pub fn verify(&self, kid: &Thumbprint, message: &[u8], signature: &Signature) -> Result<(), Rejected> {
        let key = self.key(kid).ok_or(Rejected)?;
        UnparsedPublicKey::new(&ED25519, key).verify(message, &signature.0).map_err(|_| Rejected)
    }
}

const ISSUER_PREFIX: &str = "urn:splitvault:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_written_to_a_file_reads_back_and_signs_the_same() {
        let (key, pem) = IdentityKey::generate().unwrap();
        let again = IdentityKey::from_pem(&pem).unwrap();
        assert_eq!(key.kid(), again.kid());
        assert_eq!(key.sign(b"x"), again.sign(b"x"));
        assert!(IdentityKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }

    #[test]
    fn only_a_pinned_key_verifies() {
        let (mine, other) = (IdentityKey::generate().unwrap().0, IdentityKey::generate().unwrap().0);
        let id = Owner::Vault(VaultId::generate());
        let document = |key: &IdentityKey, mode| IdentityDocument { id, mode, key: key.public().clone() };
        let pins = Pins::new(&[document(&mine, Mode::Production)]).unwrap();
        assert!(pins.verify(&mine.kid(), b"x", &mine.sign(b"x")).is_ok());
        assert!(pins.verify(&mine.kid(), b"y", &mine.sign(b"x")).is_err());
        assert!(pins.verify(&other.kid(), b"x", &other.sign(b"x")).is_err());
        assert!(Pins::new(&[]).is_err());
        assert!(Pins::new(&[document(&mine, Mode::Production), document(&other, Mode::Development)]).is_err());
    }
}
