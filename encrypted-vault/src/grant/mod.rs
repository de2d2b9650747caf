//! From the text of a token to the right to open one version, as a chain of types.
//!
//! `UnverifiedToken → VerifiedClaims → Unrevoked → Authorized → Unsealed → DecryptGrant`. Every type has private fields
//! and one constructor, which consumes the proof before it; there is no other way to a [`DecryptGrant`], and without one
//! [`crate::decrypt`] opens nothing. A grant comes only after its audit line is durable, and is looked at again by the
//! [`Authority`] when it is used, because requests wait: for their body, for a row, for the audit log.

mod authority;
mod cache;

use std::sync::{Arc, OnceLock};

use futures_util::future::try_join_all;
use service_runtime::audit::{AuditLog, AuditUnavailable, Origin};
use shared_proto::Rejected;
use shared_proto::encoding::sha256;
use shared_proto::envelope::Header;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use shared_proto::jws::{Compact, Kind};
use shared_proto::secret::ReleaseKey;
use shared_proto::token::{AccessClaims, Expected, Grant, TokenHolder};

pub use self::authority::Authority;
pub use self::cache::TokenCache;
use self::cache::TokenRecord;
use crate::audit_event::Act;

/// A text that claims to be an access token.
pub struct UnverifiedToken<'a>(&'a str);

/// A token whose signature and claims held.
///
/// ```
/// use encrypted_vault::grant::{Authority, TokenCache, UnverifiedToken};
/// fn verified(text: &str, authority: &Authority, cache: &TokenCache) {
///     let _ = UnverifiedToken::new(text).verify(authority, cache);
/// }
/// ```
///
/// Claims cannot be made from thin air:
///
/// ```compile_fail,E0423
/// let claims = encrypted_vault::grant::VerifiedClaims(todo!());
/// ```
pub struct VerifiedClaims(Arc<TokenRecord>);

/// A token that is not revoked at this moment.
///
/// ```
/// use encrypted_vault::grant::{Authority, VerifiedClaims};
/// fn checked(claims: VerifiedClaims, id: shared_proto::id::SecretId, authority: &Authority) {
///     let _ = claims.check_revocation(authority).map(|token| token.authorize(id, authority));
/// }
/// ```
///
/// The check cannot be skipped:
///
/// ```compile_fail,E0599
/// use encrypted_vault::grant::{Authority, VerifiedClaims};
/// fn skipped(claims: VerifiedClaims, id: shared_proto::id::SecretId, authority: &Authority) {
///     let _ = claims.authorize(id, authority);
/// }
/// ```
pub struct Unrevoked(Arc<TokenRecord>);

/// A version that the token names and no revocation takes out.
pub struct Authorized {
    token: Arc<TokenRecord>,
    grant: Grant,
    position: usize,
}

/// An authorized version whose release key is at hand.
///
/// ```
/// use encrypted_vault::grant::{Authority, Authorized, DecryptGrant};
/// use service_runtime::audit::{AuditLog, Origin};
/// async fn unsealed(authorized: Authorized, authority: &Authority, audit: &AuditLog, origin: &Origin) {
///     let Ok(unsealed) = authorized.unseal(authority) else { return };
///     let _ = DecryptGrant::record_all(vec![unsealed], audit, origin).await;
/// }
/// ```
///
/// Nothing is recorded as given out that was not unsealed:
///
/// ```compile_fail,E0308
/// use encrypted_vault::grant::{Authority, Authorized, DecryptGrant};
/// use service_runtime::audit::{AuditLog, Origin};
/// async fn skipped(authorized: Authorized, audit: &AuditLog, origin: &Origin) {
///     let _ = DecryptGrant::record_all(vec![authorized], audit, origin).await;
/// }
/// ```
pub struct Unsealed(Authorized);

/// The right to open one version once: its audit line is durable.
///
/// ```
/// use encrypted_vault::{decrypt::Opener, grant::DecryptGrant, store::Row};
/// fn once(grant: DecryptGrant, row: Row, opener: &Opener) {
///     let _ = opener.open(grant, &row);
/// }
/// ```
///
/// Opening needs the recorded grant, and uses it up:
///
/// ```compile_fail,E0308
/// use encrypted_vault::{decrypt::Opener, grant::Unsealed, store::Row};
/// fn skipped(unsealed: Unsealed, row: Row, opener: &Opener) {
///     let _ = opener.open(unsealed, &row);
/// }
/// ```
///
/// ```compile_fail,E0382
/// use encrypted_vault::{decrypt::Opener, grant::DecryptGrant, store::Row};
/// fn twice(grant: DecryptGrant, row: Row, opener: &Opener) {
///     let _ = opener.open(grant, &row);
///     let _ = opener.open(grant, &row);
/// }
/// ```
pub struct DecryptGrant(Authorized);

/// A token that was not verified. The client is told [`ErrorCode::TokenInvalid`], whatever the reason.
#[derive(Clone, Copy, Debug)]
pub struct NotVerified {
    /// The holder, if the token's signature held.
    pub holder: Option<TokenHolder>,
}

/// Why a token opens nothing. The client is told [`ReadRefusal::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRefusal {
    /// Malformed, forged, expired, not for this vault, or revoked: nobody is told which.
    Token,
    /// Sealed to a key that is destroyed.
    SealKeyUnknown,
    /// The vault may have missed a revocation.
    Behind,
    /// The token does not name this secret, or there is no such version.
    NotFound,
}

impl ReadRefusal {
    /// The code that the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Token => ErrorCode::TokenInvalid,
            Self::SealKeyUnknown => ErrorCode::SealKeyUnknown,
            Self::Behind => ErrorCode::RevocationsBehind,
            Self::NotFound => ErrorCode::SecretNotFound,
        }
    }
}

impl<'a> UnverifiedToken<'a> {
    /// The text after `Bearer`.
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Checks length, form, header, signature and claims. A token seen before skips the signature, and nothing else:
    /// its key and its times are checked each time.
    ///
    /// # Errors
    /// Anything is wrong with it.
    pub fn verify(self, authority: &Authority, cache: &TokenCache) -> Result<VerifiedClaims, NotVerified> {
        if self.0.len() > Kind::AccessToken.limit() {
            return Err(NotVerified { holder: None });
        }
        #[cfg(feature = "sabotage")]
        if let Some((claims, kid)) = crate::sabotage::read_unchecked(self.0) {
            return Ok(VerifiedClaims(Arc::new(TokenRecord { claims, kid, released: OnceLock::new() })));
        }
        let hash = sha256(self.0.as_bytes());
        if let Some(token) = cache.get(&hash) {
            let holder = token.claims.terms.holder();
            return if authority.is_in_time(&token) {
                Ok(VerifiedClaims(token))
            } else {
                Err(NotVerified { holder: Some(holder) })
            };
        }
        let token = Arc::new(self.verify_anew(authority, &authority.expected())?);
        cache.keep(hash, &token);
        Ok(VerifiedClaims(token))
    }

    fn verify_anew(&self, authority: &Authority, expected: &Expected) -> Result<TokenRecord, NotVerified> {
        let stranger = |_| NotVerified { holder: None };
        let compact = Compact::parse(Kind::AccessToken, self.0).map_err(stranger)?;
        let key = authority.signing_key(compact.kid(), expected.now).ok_or(Rejected).map_err(stranger)?;
        let payload = compact.verify(&key).map_err(stranger)?;
        let claims = AccessClaims::check(&payload, expected)
            .map_err(|Rejected| NotVerified { holder: AccessClaims::holder(&payload).ok() })?;
        Ok(TokenRecord { claims, kid: *compact.kid(), released: OnceLock::new() })
    }
}

impl VerifiedClaims {
    /// The holder of the token.
    pub fn holder(&self) -> TokenHolder {
        self.0.claims.terms.holder()
    }

    /// Looks whether the token counts now, before its request is waited for.
    ///
    /// # Errors
    /// It does not: as [`Self::check_revocation`].
    pub fn look(&self, authority: &Authority) -> Result<(), ReadRefusal> {
        authority.check_token(&self.0)
    }

    /// Checks time, local refusals and the manager's revocations, on every request and after its body has come.
    ///
    /// # Errors
    /// Expired, revoked or refused here, or the vault may have missed a revocation.
    pub fn check_revocation(self, authority: &Authority) -> Result<Unrevoked, ReadRefusal> {
        authority.check_token(&self.0)?;
        Ok(Unrevoked(self.0))
    }
}

impl Unrevoked {
    /// Finds the grant of a secret.
    ///
    /// # Errors
    /// The token does not name the secret, or the grant is revoked.
    pub fn authorize(&self, secret: SecretId, authority: &Authority) -> Result<Authorized, ReadRefusal> {
        let terms = &self.0.claims.terms;
        let found = terms.grant_of(secret);
        #[cfg(feature = "sabotage")]
        let found = crate::sabotage::grant_anyway(found, secret, &terms.grants);
        let (position, grant) = found.ok_or(ReadRefusal::NotFound)?;
        authority.check_grant(&self.0, &grant)?;
        Ok(Authorized { token: Arc::clone(&self.0), grant, position })
    }
}

impl Authorized {
    /// Opens the token's sealed release keys, once for each token. Last of all checks, so that nobody without a good
    /// token learns which seal keys are alive.
    ///
    /// # Errors
    /// The seal key is destroyed, or the seal does not belong to these claims.
    pub fn unseal(self, authority: &Authority) -> Result<Unsealed, ReadRefusal> {
        authority.unseal(&self.token)?;
        Ok(Unsealed(self))
    }
}

impl Unsealed {
    /// The secret and version that it opens.
    pub fn grant(&self) -> Grant {
        self.0.grant
    }
}

impl DecryptGrant {
    /// Writes an audit line for each version; the grants come when all are durable, with one durable write for all.
    ///
    /// # Errors
    /// A line cannot be written: nothing is opened.
    pub async fn record_all(
        unsealed: Vec<Unsealed>,
        audit: &AuditLog,
        origin: &Origin,
    ) -> Result<Vec<Self>, AuditUnavailable> {
        let act = |one: &Unsealed| Act::SecretRead(one.0.grant.secret, one.0.token.claims.terms.jti);
        try_join_all(unsealed.iter().map(|one| audit.record(act(one), origin))).await?;
        Ok(unsealed.into_iter().map(|one| Self(one.0)).collect())
    }

    /// The version that it opens.
    pub fn version(&self) -> Version {
        self.0.grant.version
    }

    /// Looks at everything once more that may have changed since the token was verified.
    pub(crate) fn look_again(&self, authority: &Authority) -> Result<(), ReadRefusal> {
        authority.check_token(&self.0.token)?;
        authority.check_grant(&self.0.token, &self.0.grant)?;
        authority.check_seal(&self.0.token)
    }

    /// The header that binds the ciphertext, built from the *token*.
    pub(crate) fn header(&self) -> Header {
        let terms = &self.0.token.claims.terms;
        Header {
            vault: terms.audience,
            environment: terms.environment,
            secret: self.0.grant.secret,
            version: self.0.grant.version,
        }
    }

    /// Its release key.
    pub(crate) fn release_key(&self) -> Result<&ReleaseKey, Rejected> {
        self.0.token.released.get().and_then(|keys| keys.get(self.0.position)).ok_or(Rejected)
    }
}
