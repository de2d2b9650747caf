//! Credentials: what principals prove themselves with.

use core::net::IpAddr;

use manager_api::address::AddressRange;
use manager_api::id::UsesId;
use manager_api::name::DisplayName;
use manager_api::policy::{Actions, PatternText};
use manager_api::trusts::TrustDefinition;
use serde::{Deserialize, Serialize};
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, EnvironmentId, Subject};

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Its id, which tokens name.
    pub credential_id: CredentialId,
    /// The principal that it stands for.
    pub subject: Subject,
    /// How it is proven.
    pub proof: Proof,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// When it was made (Unix seconds).
    pub created_at: u64,
    /// When it ends by itself (Unix seconds). Absent if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When it was disabled (Unix seconds). Absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<u64>,
    /// The parts of its principal's rights that it is limited to. Absent if it has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<CredentialLimit>>,
    /// The addresses that it may be used from. Absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_addresses: Option<Vec<AddressRange>>,
    /// How many requests it may be used for. Absent if they are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    /// The environment of requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_environment: Option<EnvironmentId>,
}

/// The count of the uses of a credential. It is a record of its own: a use changes nothing that a permit was decided from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uses {
    /// Its id, which has the bytes of the credential's.
    pub uses_id: UsesId,
    /// How many requests the credential was used for.
    pub count: u64,
}

/// The way in which a credential is proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Proof {
    /// Not at all: it stands for callers without a credential, in development mode.
    Stranger,
    /// An opaque credential is presented.
    Opaque {
        /// Its keyed hash.
        hmac: Bytes<32>,
    },
    /// The code of a person's session is presented.
    Session {
        /// Its keyed hash.
        hmac: Bytes<32>,
        /// The login that it rests on.
        login: Login,
    },
    /// An assertion is signed with a registered key.
    PublicKey {
        /// The thumbprint of the key (RFC 7638).
        thumbprint: Bytes<32>,
        /// The key, as a JWK.
        jwk: String,
    },
    /// A token of an external issuer is presented.
    Trust {
        /// The tokens that count.
        definition: TrustDefinition,
    },
}

/// The login that a session rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// When the person last proved who he is, with all that his account asks for (Unix seconds).
    pub authenticated_at: u64,
    /// True if those were two factors.
    pub mfa: bool,
}

/// A part of a principal's rights that a credential keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialLimit {
    /// The actions.
    pub actions: Actions,
    /// The environment; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The paths.
    pub pattern: PatternText,
}

impl Credential {
    /// A new credential of a principal, without an end and without limits.
    pub fn new(credential_id: CredentialId, subject: Subject, proof: Proof, created_at: u64) -> Self {
        Self {
            credential_id,
            subject,
            proof,
            name: None,
            created_at,
            expires_at: None,
            disabled_at: None,
            limits: None,
            allowed_addresses: None,
            max_uses: None,
            default_environment: None,
        }
    }

    /// Tells whether it may be used from an address. An unknown address is in no range.
    pub fn is_allowed_from(&self, address: Option<IpAddr>) -> bool {
        self.allowed_addresses
            .as_ref()
            .is_none_or(|ranges| address.is_some_and(|address| ranges.iter().any(|range| range.contains(address))))
    }

    /// The id of the count of its uses.
    pub fn uses_id(&self) -> UsesId {
        UsesId::from_bytes(*self.credential_id.as_bytes())
    }

    /// Tells whether it may be used at a time, as far as it alone says.
    pub fn is_enabled_at(&self, now: u64) -> bool {
        self.disabled_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Proof {
    /// An opaque credential with this keyed hash.
    pub fn opaque(hmac: [u8; 32]) -> Self {
        Self::Opaque { hmac: Bytes(hmac) }
    }

    /// The word of audit lines for this way to prove a credential.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Stranger => "none",
            Self::Opaque { .. } => "credential",
            Self::Session { .. } => "session",
            Self::PublicKey { .. } => "assertion",
            Self::Trust { .. } => "trust",
        }
    }

    /// The login that it rests on, if it is a session.
    pub fn login(&self) -> Option<Login> {
        match self {
            Self::Session { login, .. } => Some(*login),
            Self::Opaque { .. } | Self::Stranger | Self::PublicKey { .. } | Self::Trust { .. } => None,
        }
    }

    /// The keyed hash by which it is found; `None` if it is not presented as a word.
    pub fn hmac(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Opaque { hmac } | Self::Session { hmac, .. } => Some(&hmac.0),
            Self::Stranger | Self::PublicKey { .. } | Self::Trust { .. } => None,
        }
    }

    /// Tells whether whoever proves it may call every route. With the others he gets access tokens, and nothing else.
    pub fn opens_all_routes(&self) -> bool {
        match self {
            Self::Opaque { .. } | Self::Session { .. } => true,
            Self::Stranger | Self::PublicKey { .. } | Self::Trust { .. } => false,
        }
    }

    /// The tokens of an external issuer that count.
    pub fn trust(&self) -> Option<&TrustDefinition> {
        match self {
            Self::Trust { definition } => Some(definition),
            Self::Stranger | Self::Opaque { .. } | Self::Session { .. } | Self::PublicKey { .. } => None,
        }
    }

    /// The registered key, as a JWK, with its thumbprint.
    pub fn public_key(&self) -> Option<(&Bytes<32>, &str)> {
        match self {
            Self::PublicKey { thumbprint, jwk } => Some((thumbprint, jwk)),
            Self::Stranger | Self::Opaque { .. } | Self::Session { .. } | Self::Trust { .. } => None,
        }
    }
}
