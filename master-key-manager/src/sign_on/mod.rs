//! Services that prove who they are without an opaque credential: by a registered key, or by the token of an external
//! issuer that an administrator trusts. Both are credentials of the registry, so that tokens name them, and disabling
//! one revokes its tokens.
//!
//! Guarantees that what is defined here is no more than its author holds, that a token of an external issuer is verified
//! with the keys of a trust only, and that what was proven is looked at again after every wait.

mod endpoint;
mod key_sets;
mod prove;
mod replays;
mod service_keys;
mod trusts;

use std::sync::Arc;

use manager_policy::{ManageIdentities, Scope};
use manager_registry::{Change, Credential, RecordName};
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Refusal, StartError};
use shared_proto::error::ErrorCode;

use crate::access::{Authenticator, Caller, IdleSessions, Registry, View};
use crate::audit_event::{Act, RegistryAct};
use crate::config::SignOnConfig;
use crate::issuer::Mint;
use crate::keys::KeyRing;
use crate::revocation::Revocations;

use self::key_sets::KeySets;
use self::replays::Replays;

pub use self::endpoint::{Answered, Failure};
pub use self::prove::Proven;
pub use self::service_keys::{MAX_KEYS, NewKey};
pub use self::trusts::{DryRun, MAX_TRUSTS};

/// Registered keys, trusts, and the tokens that are made by them.
pub struct SignOn {
    registry: Arc<Registry>,
    revocations: Arc<Revocations>,
    mint: Arc<Mint>,
    keys: Arc<KeyRing>,
    authenticator: Authenticator,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    issuer: Option<String>,
    replays: Replays,
    key_sets: KeySets,
}

/// The parts of the manager that it works with.
pub struct Parts {
    /// Principals, credentials and policy.
    pub registry: Arc<Registry>,
    /// Makes changes, with the revocations that follow.
    pub revocations: Arc<Revocations>,
    /// Makes tokens.
    pub mint: Arc<Mint>,
    /// The keys in use.
    pub keys: Arc<KeyRing>,
    /// The sessions of people. They are no clients.
    pub sessions: Arc<IdleSessions>,
    /// The audit log.
    pub audit: AuditLog,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl SignOn {
    /// Puts the parts together.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn new(parts: Parts, config: &SignOnConfig) -> Result<Self, StartError> {
        let Parts { registry, revocations, mint, keys, sessions, audit, clock } = parts;
        let key_sets = KeySets::new(config.rules()?, config.key_set_ca.clone(), Arc::clone(&clock))?;
        Ok(Self {
            registry,
            revocations,
            mint,
            authenticator: Authenticator::new(Arc::clone(&keys), sessions),
            keys,
            audit,
            replays: Replays::from(clock.now()),
            clock,
            issuer: config.issuer.clone(),
            key_sets,
        })
    }

    /// The manager as an issuer of tokens, if it is configured: an origin without a slash at its end.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Makes a change that gives something: decides, records the act durably, and decides again on the state that the
    /// change is made of.
    async fn make<T: Send>(
        &self,
        (caller, origin): (&Caller, &Origin),
        (act, target): (RegistryAct, String),
        decide: impl Fn(&Caller, &View) -> Result<(Vec<Change>, T), Refusal> + Send + Sync,
    ) -> Result<T, Refusal> {
        let view = self.registry.now().await?;
        decide(&caller.again(&view)?, &view)?;
        self.audit.record(Act::Registry(act, Some(target)), origin).await?;
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            let (changes, outcome) = decide(caller, view)?;
            made = Some(outcome);
            Ok(changes)
        };
        self.revocations.change(caller, None, decide).await?;
        made.ok_or_else(|| Refusal::internal("a change was not decided"))
    }
}

fn manages(caller: &Caller) -> Result<(), Refusal> {
    caller.permit::<ManageIdentities>(&Scope::Installation).map(drop)
}

/// The removal that makes room for one more record, if there are as many as there may be: of the one that ended first, if
/// no token that was made with it lives.
///
/// # Errors
/// All of them are in use, or were a short time ago.
fn room_for_one(known: &[&Credential], most: usize, now: u64) -> Result<Option<Change>, Refusal> {
    if known.len() < most {
        return Ok(None);
    }
    let ended = |one: &&&Credential| {
        let ends = [one.disabled_at, one.expires_at];
        ends.into_iter().flatten().min().filter(|end| end.saturating_add(TOKENS_ENDED_SECONDS) <= now)
    };
    let oldest = known.iter().filter_map(|one| Some((ended(&one)?, one.credential_id))).min();
    let full = || {
        Refusal::new(ErrorCode::TooManyCredentials)
            .detail(format!("There are {most}; disable one that is not needed, and wait for an hour."))
    };
    oldest.map(|(_, id)| Some(RecordName::from(id).into())).ok_or_else(full)
}

/// No token lives longer.
const TOKENS_ENDED_SECONDS: u64 = 3_600;

/// Refuses a repeat under an idempotency key that asks for something else than the first request.
fn same_again<T>(is_same: bool, known: T) -> Result<(Vec<Change>, T), Refusal> {
    if is_same { Ok((Vec::new(), known)) } else { Err(Refusal::new(ErrorCode::IdempotencyMismatch)) }
}
