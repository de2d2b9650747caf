//! Questions whether values are the same, which the vault answers by their fingerprints.
//!
//! Guarantees that nobody learns anything about a version that he may not read: every question tests a guess, so it
//! takes a permit for reading, and versions that he may not read are not even compared. Believes only answers that the
//! vault signed for this question.

use std::sync::Arc;

use manager_policy::{Action, Permit, Read};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::command::Operation;
use shared_proto::comparison::Likeness;
use shared_proto::encoding::{Bytes, random};
use shared_proto::error::ErrorCode;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::secret::SecretValue;
use shared_proto::statement::Purpose;
use shared_proto::wire::fingerprint::{Compare, ComparisonAnswer, Find, MAX_OTHERS, ValueToCompare, VersionToCompare};

use super::guesses::CallerGuesses;
use super::transfer::{Transfer, TransferKeys};
use crate::access::Caller;
use crate::audit_event::value::ValueAct;
use crate::keys::KeyRing;
use crate::revocation::VaultView;
use crate::sealing::{Sealer, cipher_refused};
use crate::vault_client::{CallError, VaultClient};
use manager_store::{ManagerStore, VersionRow, Withheld};

/// Versions that one page of [`Fingerprints::same_elsewhere`] answers, at most. An audit line has room for them and the
/// one that was asked about.
const MOST_FOUND: usize = 63;
/// Commands that such a page sends, at most: it compares up to 1,000 versions, within some hundred milliseconds.
const COMMANDS: usize = 10;
/// Looks for versions to compare that such a page takes, at most. Each is a few milliseconds.
const LOOKS: usize = 32;

/// Asks the vault whether values are the same, for whoever may read them:
///
/// ```
/// use manager_policy::{Permit, Read};
/// use master_key_manager::access::Caller;
/// use master_key_manager::catalogue::Fingerprints;
/// use service_runtime::audit::Origin;
/// use shared_proto::id::{SecretId, Version};
/// use shared_proto::secret::SecretValue;
/// async fn ask(area: &Fingerprints, by: (&Caller, &Permit<Read>), of: (SecretId, Version), value: &SecretValue, at: &Origin) {
///     let _ = area.compare(by, of, value, at).await;
/// }
/// ```
///
/// ```compile_fail,E0308
/// use manager_policy::{Permit, Write};
/// use master_key_manager::access::Caller;
/// use master_key_manager::catalogue::Fingerprints;
/// use service_runtime::audit::Origin;
/// use shared_proto::id::{SecretId, Version};
/// use shared_proto::secret::SecretValue;
/// async fn ask(area: &Fingerprints, by: (&Caller, &Permit<Write>), of: (SecretId, Version), value: &SecretValue, at: &Origin) {
///     let _ = area.compare(by, of, value, at).await;
/// }
/// ```
pub struct Fingerprints {
    store: Arc<dyn ManagerStore>,
    sealer: Arc<Sealer>,
    vault_view: Arc<VaultView>,
    client: Arc<VaultClient>,
    keys: Arc<KeyRing>,
    transfer: TransferKeys,
    audit: AuditLog,
    guesses: CallerGuesses,
}

/// A page of versions elsewhere that have the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// The versions: other secrets of the environment that the caller may read, with the numbers of envelopes.
    pub versions: Vec<(SecretId, Version)>,
    /// How many versions could not be compared. All of them, if the one that was asked about has no fingerprint.
    pub unknown: u64,
    /// The place at which the next page begins; `None` if there is none.
    pub next: Option<(SecretId, Version)>,
}

impl Fingerprints {
    /// An area with these parts. It has a transfer key of its own.
    pub(crate) fn new(
        store: Arc<dyn ManagerStore>,
        (sealer, keys): (Arc<Sealer>, Arc<KeyRing>),
        (vault_view, client): (Arc<VaultView>, Arc<VaultClient>),
        transfer: TransferKeys,
        audit: AuditLog,
    ) -> Self {
        Self { store, sealer, vault_view, client, keys, transfer, audit, guesses: CallerGuesses::default() }
    }

    /// Tells whether a version has this value.
    ///
    /// # Errors
    /// `SecretNotFound`: the secret has no such committed version. `ApprovalRequired`: it is read after an approval, and there
    /// is none. `EnvironmentFrozen`, `EnvironmentDisabled`.
    /// `RateLimited`: too many guesses at the version, by the caller or by all. `Unavailable`: the vault does not say.
    pub async fn compare(
        &self,
        by: (&Caller, &Permit<Read>),
        (secret, version): (SecretId, Version),
        value: &SecretValue,
        meta: &Origin,
    ) -> Result<Likeness, Refusal> {
        let named = version;
        let rows = self.readable(by, secret, vec![named]).await?;
        let row = rows.first().ok_or_else(not_found)?;
        self.guess(by.0, [(row.secret, row.envelope)])?;
        let transfer = self.transfer_key()?;
        let bound = self.sealer.fingerprint(row, value)?;
        let fingerprint = bound.move_with(&transfer.key).map_err(cipher_refused)?;
        self.audit.record(ValueAct::Compare(secret, version), meta).await?;
        let nonce = Bytes(random());
        let (environment, secret_id, version) = (row.environment, row.secret, row.envelope);
        let question = Compare {
            transfer_key: transfer.wrapped.clone(),
            transport_kid: transfer.transport_kid,
            nonce,
            values: vec![ValueToCompare { environment, secret_id, version, fingerprint }],
        };
        let answer = self.client.command(Operation::Compare, &question).await;
        let result = self.results(answer, &nonce, 1)?.first().copied();
        // The vault was waited for, and its answer is about to be given out.
        self.readable(by, secret, vec![named]).await?;
        result.ok_or_else(|| unavailable(CallError::BadAnswer))
    }

    /// Tells whether two versions of a secret have the same value.
    ///
    /// # Errors
    /// Those of [`Self::compare`].
    pub async fn same(
        &self,
        by: (&Caller, &Permit<Read>),
        secret: SecretId,
        versions: [Version; 2],
        meta: &Origin,
    ) -> Result<Likeness, Refusal> {
        let rows = self.readable(by, secret, versions.to_vec()).await?;
        let [one, other] = rows.as_slice() else { return Err(not_found()) };
        self.audit.record(ValueAct::CompareVersions(secret, versions), meta).await?;
        if one.envelope == other.envelope {
            return Ok(Likeness::Same);
        }
        let others = [(other.secret, other.envelope)];
        self.guess(by.0, [(one.secret, one.envelope), (other.secret, other.envelope)])?;
        let results = self.find(one.environment, (one.secret, one.envelope), &others).await?;
        self.readable(by, secret, versions.to_vec()).await?;
        results.first().copied().ok_or_else(|| unavailable(CallError::BadAnswer))
    }

    /// A page of other secrets' versions that have the same value as a version, among those that the caller may read.
    ///
    /// # Errors
    /// Those of [`Self::compare`].
    pub async fn same_elsewhere(
        &self,
        (caller, permit): (&Caller, &Permit<Read>),
        (secret, version): (SecretId, Version),
        page: Option<(SecretId, Version)>,
        meta: &Origin,
    ) -> Result<Elsewhere, Refusal> {
        let rows = self.readable((caller, permit), secret, vec![version]).await?;
        let one = rows.first().ok_or_else(not_found)?;
        let readable = caller.may(Action::Read);
        let mut found = Elsewhere { next: page, ..Elsewhere::default() };
        let mut commands = 0;
        for _look in 0..LOOKS {
            let candidates = (&readable, caller.approved().to_vec());
            let candidates = self.store.readable_envelopes(candidates, one.environment, found.next, MAX_OTHERS).await?;
            let others: Vec<_> = candidates.envelopes.iter().copied().filter(|(other, _)| *other != secret).collect();
            let results = match others.as_slice() {
                [] => Vec::new(),
                others => {
                    commands += 1;
                    let named = std::iter::once((one.secret, one.envelope)).chain(others.iter().copied());
                    self.guess(caller, named)?;
                    self.find(one.environment, (one.secret, one.envelope), others).await?
                }
            };
            found.next = candidates.next;
            if found.take(&others, &results) || found.next.is_none() || commands == COMMANDS {
                break;
            }
        }
        let named = std::iter::once((secret, version)).chain(found.versions.iter().copied());
        self.audit.record(ValueAct::Find(named.collect()), meta).await?;
        self.readable((caller, permit), secret, vec![version]).await?;
        Ok(found)
    }

    /// Counts a guess of a caller at each of these envelopes, in the minute of this moment by the boot clock, which nothing sets back.
    fn guess(&self, caller: &Caller, envelopes: impl IntoIterator<Item = (SecretId, Version)>) -> Result<(), Refusal> {
        self.guesses.take(caller.subject(), envelopes.into_iter(), SystemClock.boot())
    }

    async fn readable(
        &self,
        (caller, permit): (&Caller, &Permit<Read>),
        secret: SecretId,
        versions: Vec<Version>,
    ) -> Result<Vec<VersionRow>, Refusal> {
        let approved = caller.approved().to_vec();
        let found = self.store.comparable(permit, secret, versions, approved).await?.ok_or_else(not_found)?;
        found.map_err(|why| match why {
            Withheld::Closed(closed) => closed.into(),
            Withheld::ApprovalRequired => Refusal::new(ErrorCode::ApprovalRequired),
        })
    }

    /// Compares an envelope with others of its environment.
    async fn find(
        &self,
        environment: EnvironmentId,
        one: (SecretId, Version),
        others: &[(SecretId, Version)],
    ) -> Result<Vec<Likeness>, Refusal> {
        let (transfer, nonce) = (self.transfer_key()?, Bytes(random()));
        let named = |envelope: (SecretId, Version)| -> Result<VersionToCompare, Refusal> {
            let key = self.sealer.binding_key(environment, envelope)?;
            let binding_key = key.move_with(&transfer.key).map_err(cipher_refused)?;
            Ok(VersionToCompare { environment, secret_id: envelope.0, version: envelope.1, binding_key })
        };
        let question = Find {
            transfer_key: transfer.wrapped.clone(),
            transport_kid: transfer.transport_kid,
            nonce,
            one: named(one)?,
            others: others.iter().map(|other| named(*other)).collect::<Result<_, _>>()?,
        };
        let answer = self.client.command(Operation::Find, &question).await;
        self.results(answer, &nonce, others.len())
    }

    fn transfer_key(&self) -> Result<Arc<Transfer>, Refusal> {
        let transport = self.vault_view.key(Purpose::Transport);
        self.transfer.for_transport(&transport.ok_or(Refusal::unavailable("no transport key of the vault is known"))?)
    }

    /// Only what the pinned vault signed for this question counts.
    fn results(
        &self,
        answer: Result<ComparisonAnswer, CallError>,
        nonce: &Bytes<16>,
        count: usize,
    ) -> Result<Vec<Likeness>, Refusal> {
        let answer = answer.map_err(unavailable)?;
        let results = answer.comparison.verify(&self.keys.now().pins, nonce, count);
        results.map(<[Likeness]>::to_vec).map_err(|_| Refusal::unavailable("the vault's comparison does not fit"))
    }
}

impl Elsewhere {
    /// Takes the results for these versions up; says whether the page is full. Then the next one begins behind the last
    /// version that was taken.
    fn take(&mut self, others: &[(SecretId, Version)], results: &[Likeness]) -> bool {
        for (other, result) in others.iter().zip(results) {
            if self.versions.len() == MOST_FOUND {
                return true;
            }
            match result {
                Likeness::Same => {
                    self.versions.push(*other);
                    if self.versions.len() == MOST_FOUND {
                        self.next = Some(*other);
                    }
                }
                Likeness::Different => {}
                Likeness::Unknown => self.unknown += 1,
            }
        }
        self.versions.len() == MOST_FOUND
    }
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::SecretNotFound)
}

/// A question changes nothing, so it can be asked again whatever became of it.
fn unavailable(error: CallError) -> Refusal {
    match error {
        CallError::Refused(ErrorCode::RateLimited) => Refusal::new(ErrorCode::RateLimited),
        CallError::NotSent(_) | CallError::Unclear | CallError::BadAnswer | CallError::Refused(_) => {
            Refusal::unavailable("the vault does not say whether values are the same")
        }
    }
}
