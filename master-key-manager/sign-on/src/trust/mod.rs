//! Trusts: external issuers whose tokens stand for a service. CI systems, Kubernetes service accounts, SPIFFE.
//!
//! A trust names issuer, keys, audience and the claims that it requires. It guarantees that a token is verified with the
//! keys of the trust only, never with a key or an address that the token names, that it is for our audience and for
//! nobody else, and that a trust that would admit more than one repository, namespace or workload cannot be defined.
//!
//! Claims are compared as texts, exactly, or by a prefix that ends at `/` or `:`. Numbers and booleans are compared by
//! their JSON text. A claim that is an array or an object matches nothing.

mod address;
mod breadth;
mod condition;
mod key_cache;
mod unverified;
mod verify;

use manager_api::trusts::{IssuerKind, KeySource, TrustDefinition};
use shared_proto::id::ServiceId;

use self::condition::Condition;
use crate::jwk::{JwkError, KeySet};
use crate::jwt::{JwtFault, UnverifiedJwt};

pub use self::address::{AddressRules, KeySetUrl};
pub use self::key_cache::{CacheLimits, FetchFault, FetchKeySet, KeySetCache, Look, key_of};
pub use self::unverified::UnverifiedClaims;
pub use self::verify::{Finding, MAX_LIFE_SECONDS, ProvenByTrust, TrustFault};

/// The most conditions of a trust.
pub const MAX_CONDITIONS: usize = 16;

/// The reason why a trust cannot be defined. It repeats nothing but names of claims that the administrator gave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// The issuer.
    #[error("the issuer {0}")]
    Issuer(&'static str),
    /// The audience.
    #[error("the audience {0}")]
    Audience(&'static str),
    /// The address of the key set.
    #[error("the address of the key set {0}")]
    Url(&'static str),
    /// The pinned key set.
    #[error("the pinned key set cannot be used: {0}")]
    Pinned(JwkError),
    /// A required claim.
    #[error("the claim {claim}: {reason}")]
    Claim {
        /// Its name.
        claim: String,
        /// The reason.
        reason: &'static str,
    },
    /// The number of required claims.
    #[error("a trust requires 1 to {MAX_CONDITIONS} claims, each of them once")]
    Claims,
    /// It would admit too many.
    #[error("the trust is too broad: {0}")]
    TooBroad(&'static str),
}

/// A trust that is narrow enough. Only [`Trust::define`] makes one.
#[derive(Clone, Debug)]
pub struct Trust {
    kind: IssuerKind,
    issuer: String,
    audience: String,
    conditions: Vec<Condition>,
    service: ServiceId,
    keys: TrustKeys,
}

/// The keys of a trust, or where they are.
#[derive(Clone, Debug)]
pub enum TrustKeys {
    /// To be fetched, see [`KeySetCache`].
    Url(KeySetUrl),
    /// Given with the trust.
    Pinned(KeySet),
}

impl Trust {
    /// Checks a definition. Stored definitions are checked again when they are loaded, by the rules of the present
    /// version.
    ///
    /// # Errors
    /// A part is malformed, or the trust is too broad; the error says which and why.
    pub fn define(
        definition: &TrustDefinition,
        service: ServiceId,
        rules: &AddressRules,
    ) -> Result<Self, DefinitionError> {
        let TrustDefinition { kind, issuer, audience, keys, claims } = definition;
        breadth::check_issuer(*kind, issuer)?;
        breadth::check_audience(issuer, audience)?;
        if claims.is_empty() || claims.len() > MAX_CONDITIONS {
            return Err(DefinitionError::Claims);
        }
        let conditions: Vec<_> = claims.iter().map(Condition::new).collect::<Result<_, _>>()?;
        let repeated = |at: usize, claim: &str| conditions.iter().take(at).any(|other| other.claim() == claim);
        if conditions.iter().enumerate().any(|(at, condition)| repeated(at, condition.claim())) {
            return Err(DefinitionError::Claims);
        }
        breadth::check(*kind, issuer, &conditions)?;
        let keys = match keys {
            KeySource::Url(url) => TrustKeys::Url(KeySetUrl::parse(url, rules).map_err(DefinitionError::Url)?),
            KeySource::Pinned(document) => {
                TrustKeys::Pinned(KeySet::parse(document.as_bytes()).map_err(DefinitionError::Pinned)?)
            }
        };
        let (issuer, audience) = (issuer.clone(), audience.clone());
        Ok(Self { kind: *kind, issuer, audience, conditions, service, keys })
    }

    /// The keys, or where they are.
    pub fn keys(&self) -> &TrustKeys {
        &self.keys
    }

    /// The service that its tokens stand for.
    pub fn service(&self) -> ServiceId {
        self.service
    }
}

/// True if a SPIFFE ID lies in a trust domain.
fn is_in_domain(domain: &str, subject: &str) -> bool {
    subject.strip_prefix(domain).is_some_and(|rest| rest.starts_with('/'))
}

/// Reads a token that may be of a trust.
///
/// # Errors
/// It is no signed token, or one of another kind, such as our own access tokens.
pub fn parse_token(text: &str) -> Result<UnverifiedJwt<'_>, JwtFault> {
    let token = UnverifiedJwt::parse(text)?;
    // SPIFFE JWT-SVID section 2.3 has JOSE, too.
    token.of_type(&["JWT", "JOSE"])?;
    Ok(token)
}

#[cfg(test)]
mod tests;
