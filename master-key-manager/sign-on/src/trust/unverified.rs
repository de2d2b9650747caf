//! The choice of the trusts whose keys a token is verified with.
//!
//! An issuer that many trusts share, such as GitHub, would otherwise cost a signature check for each of them, whoever
//! sends a token. What is chosen by is not verified, and decides nothing else.

use manager_api::trusts::{IssuerKind, TrustDefinition};

use super::condition::Condition;
use super::is_in_domain;
use crate::jwt::{Claims, JwtFault, UnverifiedJwt};

/// The claims of a token that nobody verified.
pub struct UnverifiedClaims(Claims);

impl UnverifiedClaims {
    /// The claims of a token.
    ///
    /// # Errors
    /// They are malformed.
    pub fn of(token: &UnverifiedJwt<'_>) -> Result<Self, JwtFault> {
        token.unverified().map(Self)
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.text(name)
    }

    /// True if the token claims to be of the issuer of a trust.
    pub fn name_issuer_of(&self, definition: &TrustDefinition) -> bool {
        match definition.kind {
            IssuerKind::Spiffe => self.text("sub").is_some_and(|subject| is_in_domain(&definition.issuer, subject)),
            IssuerKind::GithubActions | IssuerKind::Gitlab | IssuerKind::Kubernetes | IssuerKind::Generic => {
                self.text("iss") == Some(definition.issuer.as_str())
            }
        }
    }

    /// True if the token claims to be of the issuer of a trust, and to have the claims that it requires.
    pub fn may_meet(&self, definition: &TrustDefinition) -> bool {
        let mut conditions = definition.claims.iter().map(Condition::new);
        self.name_issuer_of(definition) && conditions.all(|condition| condition.is_ok_and(|it| it.holds(&self.0)))
    }
}
