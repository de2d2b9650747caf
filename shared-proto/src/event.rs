//! Events: numbered, chained, signed facts (RFC 8417): revocations and destructions.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::Rejected;
use crate::encoding::{Bytes, present, read_from_objects_only, sha256, unique_members};
use crate::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId, VaultId, Version};
use crate::identity::Issuer;
use crate::jwk::Thumbprint;
use crate::jws::VerifiedPayload;

/// SHA-256 of the compact form of an event; 32 zero bytes stand before the first.
pub type EventHash = Bytes<32>;

/// The hash before the first event.
pub const NO_EVENT: EventHash = Bytes([0; 32]);

/// The head of the chain after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the newest event, 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: EventHash,
    /// Hash of the newest lasting event; zeros when there is none.
    pub lasting: EventHash,
}

/// A revocation or destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// One token is revoked.
    Token(TokenId),
    /// All tokens of a subject are revoked.
    Subject(Subject),
    /// All tokens made with a credential are revoked.
    Credential(CredentialId),
    /// Every grant of a secret is revoked.
    Secret(SecretId),
    /// Every grant of a version is revoked.
    Version(SecretId, Version),
    /// All tokens of an environment are revoked.
    Environment(EnvironmentId),
    /// A token signing key is never accepted again.
    SigningKey(Thumbprint),
    /// All tokens are revoked.
    All,
    /// A version is erased; a tombstone stays.
    Destroy(EnvironmentId, SecretId, Version),
}

impl Event {
    /// The last part of the event's URN.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Subject(_) => "subject",
            Self::Credential(_) => "credential",
            Self::Secret(_) => "secret",
            Self::Version(..) => "version",
            Self::Environment(_) => "environment",
            Self::SigningKey(_) => "signing-key",
            Self::All => "all",
            Self::Destroy(..) => "destroy",
        }
    }

    /// Whether it stays in the feed permanently. Other events end when no token is left that they could hit.
    pub fn lasts(&self) -> bool {
        match self {
            Self::Subject(_) | Self::Credential(_) | Self::Environment(_) | Self::SigningKey(_) | Self::Destroy(..) => {
                true
            }
            Self::Token(_) | Self::Secret(_) | Self::Version(..) | Self::All => false,
        }
    }
}

/// The claims of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventClaims {
    iss: Issuer,
    aud: VaultId,
    /// When it was numbered (Unix seconds).
    pub iat: u64,
    jti: TokenId,
    /// Its number, from 1.
    pub seq: u64,
    /// Hash of the event before it.
    pub prev: EventHash,
    /// Hash of the newest lasting event before it. Absent from events of older programs, which are never dropped.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub lasting: Option<EventHash>,
    /// The revocation or destruction.
    #[serde(rename = "events", serialize_with = "to_members", deserialize_with = "from_members")]
    pub event: Event,
}

impl EventClaims {
    /// The claims of an event that follows this head of the chain.
    #[cfg(feature = "seal")]
    pub fn new(issuer: Issuer, audience: VaultId, event: Event, after: ChainHead, now: u64) -> Self {
        let (seq, prev, lasting) = (after.number + 1, after.hash, Some(after.lasting));
        Self { iss: issuer, aud: audience, iat: now, jti: TokenId::generate(), seq, prev, lasting, event }
    }

    /// Whether it may be dropped once it has ended.
    pub fn may_be_dropped(&self) -> bool {
        self.lasting.is_some() && !self.event.lasts()
    }

    /// Reads and checks the claims of an event whose signature is valid. Events do not expire, and `iat` is not
    /// compared with a clock: a vault whose clock is wrong must still learn of revocations.
    pub fn check(payload: &VerifiedPayload, issuer: Issuer, audience: VaultId) -> Result<Self, Rejected> {
        let claims: Self = payload.claims()?;
        let good = claims.iss == issuer
            && claims.aud == audience
            && claims.iat <= crate::id::MAX_VERSION
            && (1..=crate::id::MAX_VERSION).contains(&claims.seq);
        if good { Ok(claims) } else { Err(Rejected) }
    }

    /// Reads a stored event, which was verified before it was stored. The key that signed it may no longer exist.
    pub fn reread(compact: &str) -> Result<Self, Rejected> {
        crate::jws::Compact::parse(crate::jws::Kind::Event, compact)?.stored_payload()?.claims()
    }
}

/// Hash of an event's compact form, which the next one names in `prev`.
pub fn event_hash(compact: &str) -> EventHash {
    Bytes(sha256(compact.as_bytes()))
}

const URN: &str = "urn:splitvault:event:";

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Payload {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    jti: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    sub: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    client_id: Option<CredentialId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    kid: Option<Thumbprint>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    environment: Option<EnvironmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    secret_id: Option<SecretId>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    version: Option<Version>,
}

read_from_objects_only!(Payload);

fn to_members<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;

    let empty = Payload::default();
    let payload = match *event {
        Event::Token(jti) => Payload { jti: Some(jti), ..empty },
        Event::Subject(sub) => Payload { sub: Some(sub), ..empty },
        Event::Credential(client_id) => Payload { client_id: Some(client_id), ..empty },
        Event::Secret(secret) => Payload { secret_id: Some(secret), ..empty },
        Event::Version(secret, version) => Payload { secret_id: Some(secret), version: Some(version), ..empty },
        Event::Environment(environment) => Payload { environment: Some(environment), ..empty },
        Event::SigningKey(kid) => Payload { kid: Some(kid), ..empty },
        Event::All => empty,
        Event::Destroy(environment, secret, version) => {
            Payload { environment: Some(environment), secret_id: Some(secret), version: Some(version), ..empty }
        }
    };
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(&format!("{URN}{}", event.kind()), &payload)?;
    map.end()
}

fn from_members<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    let members = unique_members::<D, Payload>(deserializer)?;
    let [(urn, payload)] = members.as_slice() else { return Err(D::Error::custom("not exactly one event")) };
    let kind = urn.strip_prefix(URN).ok_or_else(|| D::Error::custom("not an event of Splitvault"))?;
    let Payload { jti, sub, client_id, kid, environment, secret_id, version } = payload;
    match (kind, jti, sub, client_id, kid, environment, secret_id, version) {
        ("token", Some(jti), None, None, None, None, None, None) => Ok(Event::Token(*jti)),
        ("subject", None, Some(sub), None, None, None, None, None) => Ok(Event::Subject(*sub)),
        ("credential", None, None, Some(client), None, None, None, None) => Ok(Event::Credential(*client)),
        ("environment", None, None, None, None, Some(environment), None, None) => Ok(Event::Environment(*environment)),
        ("signing-key", None, None, None, Some(kid), None, None, None) => Ok(Event::SigningKey(*kid)),
        ("secret", None, None, None, None, None, Some(secret), None) => Ok(Event::Secret(*secret)),
        ("version", None, None, None, None, None, Some(secret), Some(version)) => Ok(Event::Version(*secret, *version)),
        ("all", None, None, None, None, None, None, None) => Ok(Event::All),
        ("destroy", None, None, None, None, Some(environment), Some(secret), Some(version)) => {
            Ok(Event::Destroy(*environment, *secret, *version))
        }
        _ => Err(D::Error::custom("not a known event with exactly its members")),
    }
}
