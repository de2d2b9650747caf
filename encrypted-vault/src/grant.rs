//! From the text of a token to the right to open one version, as a chain of types.
//!
//! `UnverifiedToken → VerifiedClaims → Unrevoked → Authorized → DecryptGrant`. Every type has private fields and one
//! constructor, which consumes the proof before it; there is no other way to a [`DecryptGrant`], and without one
//! [`crate::decrypt`] opens nothing. The last step is taken only after the audit line is durable.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::try_join_all;
use moka::sync::Cache;
use service_runtime::audit::{AuditLog, AuditRecord, AuditStatus, AuditUnavailable, Origin};
use shared_proto::Rejected;
use shared_proto::encoding::sha256;
use shared_proto::envelope::Header;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{Compact, Kind};
use shared_proto::release::{self, OpenError};
use shared_proto::secret::ReleaseKey;
use shared_proto::token::{AccessClaims, CheckedClaims, Expected, Grant};

use crate::keys::{ManagerKeys, SealKeys};
use crate::revocation::{Feed, Refusals, TokenFacts, Verdict};

/// A text that claims to be an access token.
pub struct UnverifiedToken<'a>(&'a str);

/// A token whose signature and claims held.
///
/// ```compile_fail
/// // Claims cannot be made from thin air: the field is private.
/// let claims = encrypted_vault::grant::VerifiedClaims(todo!());
/// ```
pub struct VerifiedClaims(Arc<TokenRecord>);

/// A token that is not revoked at this moment.
///
/// ```compile_fail
/// // A revocation check cannot be skipped: authorize exists on Unrevoked only.
/// fn skip(claims: encrypted_vault::grant::VerifiedClaims, id: shared_proto::id::SecretId, feed: &encrypted_vault::revocation::Feed) {
///     let _ = claims.authorize(id, feed);
/// }
/// ```
pub struct Unrevoked(Arc<TokenRecord>);

/// A version that the token names and no revocation takes out.
///
/// ```compile_fail
/// // Opening needs the audited grant, not the mere authorization.
/// fn skip(authorized: encrypted_vault::grant::Authorized, row: encrypted_vault::store::Row, opener: &encrypted_vault::decrypt::Opener) {
///     let _ = opener.open(authorized, &row);
/// }
/// ```
pub struct Authorized {
    token: Arc<TokenRecord>,
    grant: Grant,
    position: usize,
}

/// The right to open one version once: its audit line is durable.
///
/// ```compile_fail
/// // A grant is used up by opening.
/// fn twice(grant: encrypted_vault::grant::DecryptGrant, row: encrypted_vault::store::Row, opener: &encrypted_vault::decrypt::Opener) {
///     let _ = opener.open(grant, &row);
///     let _ = opener.open(grant, &row);
/// }
/// ```
///
/// The same with each step in its place does compile:
///
/// ```
/// fn once(grant: encrypted_vault::grant::DecryptGrant, row: encrypted_vault::store::Row, opener: &encrypted_vault::decrypt::Opener) {
///     let _ = opener.open(grant, &row);
/// }
/// ```
pub struct DecryptGrant(Authorized);

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

/// Verified tokens of the last minutes, so that a signature is checked and a seal opened once. Holds release keys of
/// living tokens; never a data key, never a value.
pub struct TokenCache(Cache<[u8; 32], Arc<TokenRecord>>);

struct TokenRecord {
    claims: CheckedClaims,
    kid: Thumbprint,
    released: OnceLock<Vec<ReleaseKey>>,
}

impl TokenRecord {
    fn facts(&self) -> TokenFacts {
        let terms = &self.claims.terms;
        TokenFacts {
            jti: terms.jti,
            subject: terms.subject,
            client_id: terms.client_id,
            kid: self.kid,
            rseq: terms.rseq,
        }
    }
}

impl TokenCache {
    /// A cache of at most `capacity` tokens.
    pub fn new(capacity: u64) -> Self {
        let life = Duration::from_secs(shared_proto::token::MAX_LIFE_SECONDS);
        Self(Cache::builder().max_capacity(capacity).time_to_live(life).build())
    }

    /// How many tokens are kept.
    pub fn count(&self) -> u64 {
        self.0.entry_count()
    }

    /// Drops and wipes what is over: expired and revoked tokens, and those whose seal keys are destroyed. Called every
    /// second, because an idle cache does no housekeeping of its own.
    pub fn sweep(&self, now: u64, seals: &SealKeys, feed: &Feed) {
        for (key, token) in &self.0 {
            let sealed = token.claims.seals.iter().any(|(kid, _)| seals.is_alive(kid));
            let revoked = feed.check_token(&token.facts()) == Verdict::Revoked;
            if now >= token.claims.terms.expires_at || !sealed || revoked {
                self.0.invalidate(&*key);
            }
        }
        self.0.run_pending_tasks();
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
    /// [`ReadRefusal::Token`], whatever the reason.
    pub fn verify(
        self,
        keys: &ManagerKeys,
        cache: &TokenCache,
        expected: &Expected,
    ) -> Result<VerifiedClaims, ReadRefusal> {
        if self.0.len() > Kind::AccessToken.limit() {
            return Err(ReadRefusal::Token);
        }
        let hash = sha256(self.0.as_bytes());
        if let Some(token) = cache.0.get(&hash) {
            let good = expected.now < token.claims.terms.expires_at && keys.is_valid(&token.kid, expected.now);
            return if good { Ok(VerifiedClaims(token)) } else { Err(ReadRefusal::Token) };
        }
        let token = self.verify_anew(keys, expected).map_err(|Rejected| ReadRefusal::Token)?;
        let token = Arc::new(token);
        cache.0.insert(hash, Arc::clone(&token));
        Ok(VerifiedClaims(token))
    }

    fn verify_anew(&self, keys: &ManagerKeys, expected: &Expected) -> Result<TokenRecord, Rejected> {
        let compact = Compact::parse(Kind::AccessToken, self.0)?;
        let key = keys.find(compact.kid(), expected.now).ok_or(Rejected)?;
        let claims = AccessClaims::check(&compact.verify(&key)?, expected)?;
        Ok(TokenRecord { claims, kid: *compact.kid(), released: OnceLock::new() })
    }
}

impl VerifiedClaims {
    /// Checks local refusals and the manager's revocations, on every request.
    ///
    /// # Errors
    /// Revoked or refused here, or the vault may have missed a revocation.
    pub fn check_revocation(self, feed: &Feed, refusals: &Refusals) -> Result<Unrevoked, ReadRefusal> {
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_on("no_authorization") {
            return Ok(Unrevoked(self.0));
        }
        let facts = self.0.facts();
        if refusals.hits(facts.jti, facts.subject) {
            return Err(ReadRefusal::Token);
        }
        match feed.check_token(&facts) {
            Verdict::Allowed => Ok(Unrevoked(self.0)),
            Verdict::Revoked => Err(ReadRefusal::Token),
            Verdict::Behind => Err(ReadRefusal::Behind),
        }
    }

    /// The id of the token, for the audit log.
    pub fn jti(&self) -> String {
        self.0.claims.terms.jti.to_string()
    }
}

impl Unrevoked {
    /// Finds the grant of a secret.
    ///
    /// # Errors
    /// The token does not name the secret, or the grant is revoked.
    pub fn authorize(&self, secret: SecretId, feed: &Feed) -> Result<Authorized, ReadRefusal> {
        let terms = &self.0.claims.terms;
        let found = terms.grant_of(secret);
        #[cfg(feature = "sabotage")]
        let found = crate::sabotage::grant_anyway(found, secret, &terms.grants);
        let (position, grant) = found.ok_or(ReadRefusal::NotFound)?;
        match feed.check_grant(terms.rseq, &grant) {
            Verdict::Allowed => Ok(Authorized { token: Arc::clone(&self.0), grant, position }),
            Verdict::Revoked => Err(ReadRefusal::Token),
            Verdict::Behind => Err(ReadRefusal::Behind),
        }
    }
}

impl Authorized {
    /// Opens the token's sealed release keys, once for each token. Last of all checks, so that nobody without a good
    /// token learns which seal keys are alive.
    ///
    /// # Errors
    /// The seal key is destroyed, or the seal does not belong to these claims.
    pub fn unseal(&self, seals: &SealKeys) -> Result<(), ReadRefusal> {
        let claims = &self.token.claims;
        if self.token.released.get().is_some() {
            // Release keys end with the seal key that brought them.
            let alive = claims.seals.iter().any(|(kid, _)| seals.is_alive(kid));
            return if alive { Ok(()) } else { Err(ReadRefusal::SealKeyUnknown) };
        }
        let opened =
            seals.with(|alive| release::open(claims, |kid| alive.iter().copied().find(|key| key.kid() == *kid)));
        let keys = opened.map_err(|error| match error {
            OpenError::SealKeyUnknown => ReadRefusal::SealKeyUnknown,
            OpenError::Rejected => ReadRefusal::Token,
        })?;
        self.token.released.get_or_init(|| keys);
        Ok(())
    }

    /// What is about to be opened.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    fn audit_record(&self, status: AuditStatus, meta: &Origin) -> AuditRecord {
        AuditRecord::new("read", status, meta)
            .key_id(self.grant.secret.to_string())
            .jti(self.token.claims.terms.jti.to_string())
    }
}

impl DecryptGrant {
    /// Writes an audit line for each version; the grants come when all are durable, with one durable write for all.
    ///
    /// # Errors
    /// A line cannot be written: nothing is opened.
    pub async fn record_all(
        authorized: Vec<Authorized>,
        audit: &AuditLog,
        meta: &Origin,
    ) -> Result<Vec<Self>, AuditUnavailable> {
        let lines = authorized.iter().map(|one| audit.record(one.audit_record(AuditStatus::Success, meta)));
        try_join_all(lines).await?;
        Ok(authorized.into_iter().map(Self).collect())
    }

    /// The version that it opens.
    pub fn version(&self) -> Version {
        self.0.grant.version
    }

    /// What the version is, as the *token* says.
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
