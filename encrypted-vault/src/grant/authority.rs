//! The questions that are asked of a token each time something is about to be done with it.
//!
//! Guarantees that no answer is kept: time, signing key, local refusals, revocations and seal keys are looked at in
//! memory at that moment, however the token was verified before.

use std::sync::Arc;

use service_runtime::clock::Clock;
use shared_proto::id::VaultId;
use shared_proto::identity::Issuer;
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::VerifyingKey;
use shared_proto::release::{self, OpenError};
use shared_proto::token::{Expected, Grant};

use super::ReadRefusal;
use super::cache::TokenRecord;
use crate::keys::{ManagerKeys, SealKeys};
use crate::manager_clock::ManagerClock;
use crate::revocation::{Feed, LocalRefusals, TokenFacts, Verdict};
use crate::store::VaultStore;

/// Everything that decides whether a token counts now.
pub struct Authority {
    /// The pinned manager.
    pub issuer: Issuer,
    /// This vault.
    pub vault: VaultId,
    /// The clocks of this machine.
    pub clock: Arc<dyn Clock>,
    /// The clock that dates tokens.
    pub manager_clock: Arc<ManagerClock>,
    /// The manager's token signing keys.
    pub manager_keys: Arc<ManagerKeys>,
    /// Refusals by the operator of the vault.
    pub refusals: Arc<LocalRefusals>,
    /// Revocations by the manager.
    pub feed: Arc<Feed>,
    /// The living seal keys.
    pub seal_keys: Arc<SealKeys>,
    /// The database, which another copy of this vault may have taken over.
    pub store: Arc<dyn VaultStore>,
}

impl Authority {
    /// The time that tokens are checked at (Unix seconds).
    pub fn time(&self) -> u64 {
        self.manager_clock.token_time(&*self.clock)
    }

    pub(super) fn expected(&self) -> Expected {
        Expected { issuer: self.issuer, audience: self.vault, now: self.time() }
    }

    pub(super) fn signing_key(&self, kid: &Thumbprint, now: u64) -> Option<VerifyingKey> {
        self.manager_keys.find(kid, now)
    }

    /// Tells whether the token lives and its signing key is accepted.
    pub(super) fn is_in_time(&self, token: &TokenRecord) -> bool {
        let now = self.time();
        now < token.claims.terms.expires_at && self.manager_keys.is_valid(&token.kid, now)
    }

    /// Looks at the token as a whole: time, signing key, local refusals, revocations.
    pub(super) fn check_token(&self, token: &TokenRecord) -> Result<(), ReadRefusal> {
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_on("no_authorization") {
            return Ok(());
        }
        if !self.is_in_time(token) {
            return Err(ReadRefusal::Token);
        }
        let terms = &token.claims.terms;
        if self.refusals.hits(terms.jti, terms.subject) {
            return Err(ReadRefusal::Token);
        }
        into_refusal(self.feed.check_token(&TokenFacts {
            jti: terms.jti,
            subject: terms.subject,
            client_id: terms.client_id,
            environment: terms.environment,
            kid: token.kid,
            rseq: terms.rseq,
        }))?;
        // Revocations go to the copy that has the database.
        if self.store.is_held() { Ok(()) } else { Err(ReadRefusal::Behind) }
    }

    /// Looks at one grant of the token.
    pub(super) fn check_grant(&self, token: &TokenRecord, grant: &Grant) -> Result<(), ReadRefusal> {
        #[cfg(feature = "sabotage")]
        if crate::sabotage::is_on("no_authorization") {
            return Ok(());
        }
        into_refusal(self.feed.check_grant(token.claims.terms.rseq, grant))
    }

    /// Looks for a living seal key that the token is sealed to. Release keys end with the seal key that brought them.
    pub(super) fn check_seal(&self, token: &TokenRecord) -> Result<(), ReadRefusal> {
        let alive = token.claims.seals.iter().any(|(kid, _)| self.seal_keys.is_alive(kid));
        if alive { Ok(()) } else { Err(ReadRefusal::SealKeyUnknown) }
    }

    /// Opens the token's sealed release keys, once for each token.
    pub(super) fn unseal(&self, token: &TokenRecord) -> Result<(), ReadRefusal> {
        if token.released.get().is_some() {
            return self.check_seal(token);
        }
        let claims = &token.claims;
        let opened = self
            .seal_keys
            .with(|alive| release::open(claims, |kid| alive.iter().copied().find(|key| key.kid() == *kid)));
        let keys = opened.map_err(|error| match error {
            OpenError::SealKeyUnknown => ReadRefusal::SealKeyUnknown,
            OpenError::Rejected => ReadRefusal::Token,
        })?;
        token.released.get_or_init(|| keys);
        Ok(())
    }
}

fn into_refusal(verdict: Verdict) -> Result<(), ReadRefusal> {
    match verdict {
        Verdict::Allowed => Ok(()),
        Verdict::Revoked => Err(ReadRefusal::Token),
        Verdict::Behind => Err(ReadRefusal::Behind),
    }
}
