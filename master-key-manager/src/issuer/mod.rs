//! Access tokens: decided and recorded in one transaction, audited, sealed, signed.
//!
//! Guarantees that a token names committed versions of one environment only, never outlives its seal key, and is not
//! signed before its audit line is durable. A token costs one RSA private operation, off the async threads.

mod batches;
mod read_pace;
mod signing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use manager_api::name::UserLabel;
use manager_api::read_limit::ReadLimit;
use manager_api::tokens::{GrantedSecret, SecretTarget, WantedSecret, WantedVersion};
use manager_api::wire::IssuedToken;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId};
use shared_proto::jwk::Thumbprint;
use shared_proto::statement::StatedKey;
use shared_proto::token::MAX_GRANTS;

pub use self::batches::Batches;
pub use self::read_pace::{ReadPace, ReadTurn};
pub use self::signing::TokenSealer;
use crate::access::Caller;
use crate::audit_event::Act;
use crate::environments::Environments;
use crate::revocation::VaultView;
use manager_store::{
    Ending, NewToken, ReadPermits, ReadTurns, TokenDecision, TokenRequest, TokenStore, TokenSubject, VersionRow,
    Wanted, grants_of,
};

/// Lifetimes of access tokens in seconds.
#[derive(Clone, Copy, Debug)]
pub struct TokenLifetimes {
    /// The lifetime when the request names none.
    pub default: u64,
    /// The longest lifetime that a request may name.
    pub max: u64,
}

/// Mints access tokens.
pub struct Mint {
    store: Arc<dyn TokenStore>,
    environments: Arc<Environments>,
    vault_view: Arc<VaultView>,
    sealer: Arc<TokenSealer>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    lives: TokenLifetimes,
    batches: Batches,
    pace: ReadPace,
}

/// A request for a token.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// The secrets, each with the version that is wanted.
    pub secrets: Vec<WantedSecret>,
    /// Label of the token's subject; the caller by default.
    pub label: Option<UserLabel>,
    /// Lifetime in seconds.
    pub life: Option<u64>,
}

/// A token and its grants.
pub struct Minted {
    /// The token.
    pub token: IssuedToken,
    /// The versions that were chosen, in the order of the request.
    pub versions: Vec<VersionRow>,
    /// When each of them ends.
    pub endings: Vec<Ending>,
}

impl Mint {
    /// A mint of these parts.
    pub fn new(
        store: Arc<dyn TokenStore>,
        environments: Arc<Environments>,
        (vault_view, sealer): (Arc<VaultView>, Arc<TokenSealer>),
        audit: AuditLog,
        clock: Arc<dyn Clock>,
        lives: TokenLifetimes,
    ) -> Self {
        Self {
            store,
            environments,
            vault_view,
            sealer,
            audit,
            clock,
            lives,
            batches: Batches::for_each_core(),
            pace: ReadPace::default(),
        }
    }

    /// Mints a token for existing versions.
    ///
    /// # Errors
    /// A version is missing or not committed, the terms are out of range, or nothing may be minted now.
    pub async fn mint(&self, request: MintRequest, caller: &Caller, meta: &Origin) -> Result<Minted, Refusal> {
        self.check(&request)?;
        let _place = self.batches.enter().await;
        let (seal_key, signer) = (self.vault_view.seal_key_for_minting()?, self.sealer.signer()?);
        let subject = match (request.label, caller.subject()) {
            (Some(_), _) if !caller.names_subjects() => {
                let detail = "Only an administrator of the installation names another subject with user_id.";
                return Err(Refusal::new(ErrorCode::NotPermitted).detail(detail));
            }
            (Some(label), _) => TokenSubject::Label(label),
            (None, Some(own)) => TokenSubject::Subject(own),
            (None, None) => return Err(Refusal::parameter("a stranger has no subject of his own")),
        };
        let (issued_at, expires_at) = self.life(request.life, &seal_key);
        // Decided from the facts that the transaction reads, so that no read comes before it.
        let (reader, needs_factors) = (caller.clone(), Arc::new(AtomicBool::new(false)));
        let noted = Arc::clone(&needs_factors);
        let permits = ReadPermits::new(move |secret| {
            let permit = reader.permit_on(Some(secret));
            if permit.as_ref().is_err_and(|refusal| refusal.code() == ErrorCode::MfaRequired) {
                noted.store(true, Ordering::SeqCst);
            }
            permit.ok()
        });
        let (turn, turns) = self.turns_of(caller);
        let grants = request.secrets.iter().map(|one| self.wanted(one)).collect();
        let order = TokenRequest {
            jti: TokenId::generate(),
            subject,
            signing_key: signer.kid(),
            grants,
            permits,
            turns,
            approved: caller.approved().to_vec(),
            issued_at,
            expires_at,
        };
        let (token, versions, endings, rseq) = match self.store.decide_token(order).await? {
            TokenDecision::Recorded { token, versions, endings, rseq } => (token, versions, endings, rseq),
            // The policy lets him read the one that it was decided for.
            TokenDecision::NotFound if needs_factors.load(Ordering::SeqCst) => {
                return Err(Refusal::new(ErrorCode::MfaRequired));
            }
            TokenDecision::NotFound => return Err(Refusal::new(ErrorCode::SecretNotFound)),
            TokenDecision::Deleted => return Err(Refusal::new(ErrorCode::SecretDeleted)),
            TokenDecision::Frozen => return Err(Refusal::new(ErrorCode::SecretFrozen)),
            TokenDecision::ApprovalRequired => return Err(Refusal::new(ErrorCode::ApprovalRequired)),
            TokenDecision::Expired => return Err(Refusal::new(ErrorCode::VersionExpired)),
            TokenDecision::Limited(wait) => return Err(limited(wait)),
            TokenDecision::Twice => return Err(Refusal::parameter("A token names each secret once.")),
            TokenDecision::SeveralEnvironments => {
                return Err(Refusal::parameter("All secrets of a token are of one environment."));
            }
            TokenDecision::Closed(closed) => return Err(closed.into()),
            TokenDecision::SigningKeyRevoked => return Err(signing_key_revoked()),
        };
        if let Some(turn) = turn.lock().unwrap_or_else(PoisonError::into_inner).take() {
            turn.keep();
        }
        let named = token.grants.iter().map(|grant| (grant.secret, grant.version)).collect();
        self.audit.record(Act::TokenMint { token: token.jti, versions: named }, meta).await?;
        let token = self.sealer.seal_and_sign(token, rseq, versions.clone(), (seal_key, signer)).await?;
        Ok(Minted { token, versions, endings })
    }

    /// The same for a version that the caller has written. `None` if the limit of its secret is reached, or if it is over and its
    /// environment refuses that: what is written is no less written.
    ///
    /// # Errors
    /// Those of [`Self::mint`], without that.
    pub async fn mint_for_writer(
        &self,
        request: MintRequest,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Option<IssuedToken>, Refusal> {
        match self.mint(request, caller, meta).await {
            Ok(minted) => Ok(Some(minted.token)),
            Err(refusal) if matches!(refusal.code(), ErrorCode::RateLimited | ErrorCode::VersionExpired) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// A turn at a secret for a write that ends in a token. `None` if its limit is reached: the write ends without one.
    pub fn turn(&self, secret: SecretId, limit: Option<ReadLimit>, caller: &Caller) -> Option<ReadTurn> {
        let limited: Vec<_> = limit.map(|limit| (secret, limit)).into_iter().collect();
        self.pace.take(&limited, caller.subject()).ok()
    }

    /// The turns of a caller's token, and where those that the last run of its transaction has taken are kept.
    fn turns_of(&self, caller: &Caller) -> (Arc<Mutex<Option<ReadTurn>>>, ReadTurns) {
        let (pace, subject) = (self.pace.clone(), caller.subject());
        let kept = Arc::new(Mutex::new(None));
        let taken = Arc::clone(&kept);
        let turns = ReadTurns::new(move |limited| {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            // Those of an earlier run are given back first.
            drop(taken.take());
            *taken = Some(pace.take(limited, subject)?);
            Ok(())
        });
        (kept, turns)
    }

    /// The token signing key for a write that ends in a token.
    ///
    /// # Errors
    /// The vault does not know it yet.
    pub fn signing_key(&self) -> Result<Thumbprint, Refusal> {
        self.sealer.signer().map(|signer| signer.kid())
    }

    /// The token with this id for a version that was written, from now on, with at most the longest life of its
    /// environment.
    pub fn for_version(
        &self,
        jti: TokenId,
        (subject, credential): (Subject, CredentialId),
        row: &VersionRow,
        (longest, seal_key): (u64, &StatedKey),
    ) -> NewToken {
        let (issued_at, expires_at) = self.life(Some(self.lives.default.min(longest)), seal_key);
        let (environment, grants) = (row.environment, grants_of(std::slice::from_ref(row)));
        let versions = vec![row.version];
        NewToken { jti, subject, credential, environment, grants, versions, issued_at, expires_at }
    }

    /// Signs a token whose row and audit line are written.
    ///
    /// # Errors
    /// A defect, or a missing root key.
    pub async fn issue(
        &self,
        token: NewToken,
        rseq: u64,
        versions: Vec<VersionRow>,
        seal_key: StatedKey,
    ) -> Result<IssuedToken, Refusal> {
        // The row is there: revoked or not, a key decides only over whether the token opens anything.
        let signer = self.sealer.signer()?;
        self.sealer.seal_and_sign(token, rseq, versions, (seal_key, signer)).await
    }

    fn check(&self, request: &MintRequest) -> Result<(), Refusal> {
        if !(1..=MAX_GRANTS).contains(&request.secrets.len()) {
            return Err(Refusal::parameter("A token is for 1 to 64 secrets."));
        }
        if request.life.is_some_and(|life| !(1..=self.lives.max).contains(&life)) {
            return Err(Refusal::parameter("life_seconds is below 1 or above the configured maximum."));
        }
        Ok(())
    }

    /// The secret that the store looks for. For a path that is the secret of that name, and the one that its dots stand for.
    fn wanted(&self, one: &WantedSecret) -> (Wanted, WantedVersion) {
        let (environment, path) = match &one.target {
            SecretTarget::Id(id) => return (Wanted::Id(*id), one.version),
            SecretTarget::Path(environment, path) => (environment, path),
        };
        // An unknown environment has as many statements run as one whose secrets the caller may not see.
        let environment = self.environments.named(environment).map_or(NO_ENVIRONMENT, |known| known.id);
        let paths = [Some(path.clone()), path.from_dots()].into_iter().flatten();
        (Wanted::At(paths.map(|path| (environment, path)).collect()), one.version)
    }

    /// Begin and end of a token. It ends with its seal key at the latest, because it opens nothing after that.
    fn life(&self, asked: Option<u64>, seal_key: &StatedKey) -> (u64, u64) {
        let now = self.clock.now();
        let life = asked.unwrap_or(self.lives.default).min(self.lives.max);
        (now, now.saturating_add(life).min(seal_key.not_after))
    }
}

/// The versions that a token opens, as an answer to what was asked.
pub fn granted(asked: &[WantedSecret], minted: &Minted) -> Vec<GrantedSecret> {
    let secret = |(asked, (row, ending)): (&WantedSecret, (&VersionRow, &Ending))| GrantedSecret {
        key_id: row.secret,
        version: row.version,
        envelope: row.envelope,
        path: asked.path().cloned(),
        expires_at: ending.at,
        expired: ending.is_over,
    };
    asked.iter().zip(minted.versions.iter().zip(&minted.endings)).map(secret).collect()
}

/// The refusal of a token for a secret whose limit is reached.
fn limited(wait: u64) -> Refusal {
    Refusal::new(ErrorCode::RateLimited)
        .fact(Fact::Wait(wait))
        .detail("A secret has its limit of tokens within a minute.")
}

/// Ids of 128 random bits are not these.
const NO_ENVIRONMENT: EnvironmentId = EnvironmentId::from_bytes([0; 16]);

/// The refusal of a token whose signing key was revoked.
pub(crate) fn signing_key_revoked() -> Refusal {
    Refusal::unavailable("the token signing key was revoked; run rotate-keys token-signing")
}
