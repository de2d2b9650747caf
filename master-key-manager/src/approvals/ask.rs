//! Asking for an act.

use std::collections::{BTreeMap, BTreeSet};

use manager_api::approvals::{ApprovalState, AskApproval, MAX_READ_SECONDS, MIN_READ_SECONDS};
use manager_api::id::ApprovalId;
use manager_api::name::Reason;
use manager_policy::{Destroy, Read};
use manager_registry::{Approval, AskedAct, Change, RecordName, SecretRules};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Subject};

use super::{
    Approvals, KEPT_SECONDS, MOST, MOST_OF_ONE, MOST_OPEN, MOST_OVER_OF_ONE, OPEN_SECONDS, REMOVED_AT_ONCE,
    SeenApproval, not_permitted,
};
use crate::access::{Caller, View};
use crate::audit_event::{Act, RegistryAct};
use crate::catalogue::{Known, check_still_at};
use crate::revocation::Sequences;
use manager_registry::Author;

/// What became of a command to destroy a secret.
#[derive(Debug)]
pub enum Destruction {
    /// It is destroyed. Versions may be left for later.
    Decided(Sequences, bool),
    /// Somebody else decides.
    Awaits(ApprovalId),
}

impl Approvals {
    /// Destroys a deleted secret, or asks for it where its environment wants an approval.
    ///
    /// # Errors
    /// Those of [`crate::catalogue::SecretKeeper::destroy`]. `LimitReached`: too many acts await approval.
    pub async fn destroy(
        &self,
        secret: SecretId,
        reason: Reason,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Destruction, Refusal> {
        match self.keeper.destroy(secret, Some(&reason), caller, origin).await {
            Ok((done, more)) => return Ok(Destruction::Decided(done, more)),
            Err(refusal) if refusal.code() == ErrorCode::ApprovalRequired => {}
            Err(refusal) => return Err(refusal),
        }
        let (known, _permit) = self.keeper.known_to::<Destroy>(secret, caller).await?;
        let may = |caller: &Caller, known: &Known| {
            caller.permit_on::<Destroy>(Some(&known.placed.facts))?;
            match known.placed.rules.deletion {
                Some(deletion) if !deletion.destroyed => Ok(()),
                Some(_) => Err(Refusal::new(ErrorCode::SecretDeleted)),
                None => Err(Refusal::new(ErrorCode::SecretNotDeleted)),
            }
        };
        let asked = self.ask(AskedAct::Destroy { secret_id: secret }, &known, reason, (caller, origin), may).await?;
        Ok(Destruction::Awaits(asked.approval_id))
    }

    /// Asks for tokens for a secret that requires approval.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not read it. `LimitReached`: too many acts await approval.
    pub async fn ask_to_read(
        &self,
        asked: AskApproval,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<SeenApproval, Refusal> {
        let AskApproval { key_id, seconds, reason } = asked;
        if !(MIN_READ_SECONDS..=MAX_READ_SECONDS).contains(&seconds) {
            return Err(Refusal::parameter("seconds is 60 to 86400."));
        }
        let (known, _permit) = self.keeper.known_to::<Read>(key_id, caller).await?;
        let may = |caller: &Caller, known: &Known| {
            caller.permit_on::<Read>(Some(&known.placed.facts))?;
            match &known.placed.rules {
                SecretRules { deletion: Some(_), .. } => Err(Refusal::new(ErrorCode::SecretDeleted)),
                SecretRules { requires_approval: false, .. } => {
                    Err(Refusal::parameter("The secret requires no approval."))
                }
                SecretRules { .. } => Ok(()),
            }
        };
        let act = AskedAct::Read { secret_id: key_id, seconds };
        self.ask(act, &known, reason, (caller, origin), may).await.map(SeenApproval::of_asker)
    }

    /// Removes acts of which nothing has come for long. Maintenance calls it.
    ///
    /// # Errors
    /// The registry cannot be read or written.
    pub async fn remove_old(&self, now: u64) -> Result<(), Refusal> {
        let old = |view: &View| -> Vec<Change> {
            let is_old = |approval: &&Approval| {
                approval.over_since(now).is_some_and(|since| since.saturating_add(KEPT_SECONDS) <= now)
            };
            let old = view.state.approvals().filter(is_old).take(REMOVED_AT_ONCE);
            old.map(|approval| RecordName::from(approval.approval_id).into()).collect()
        };
        let view = self.registry.now().await?;
        if old(&view).is_empty() {
            return Ok(());
        }
        let by = (Author::Service, "approvals of which nothing comes any more", now);
        self.revocations.change_as(by, |view| Ok(old(view))).await.map(|_done| ())
    }

    /// Asks for an act. The same one that nobody has decided yet is not asked for twice.
    pub(super) async fn ask(
        &self,
        act: AskedAct,
        known: &Known,
        reason: Reason,
        (caller, origin): (&Caller, &Origin),
        may: impl Fn(&Caller, &Known) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<Approval, Refusal> {
        let approval_id = ApprovalId::generate();
        let decide = |caller: &Caller, view: &View| -> Result<(Vec<Change>, Approval), Refusal> {
            may(caller, known)?;
            check_still_at(view, &known.placed.facts)?;
            let asked_by =
                caller.subject().ok_or_else(|| not_permitted("Without a credential nothing is asked for."))?;
            let now = caller.now();
            let place = bound_place(act, known);
            let same = view.state.approvals_of(asked_by).filter(|known| known.act == act && known.is_open_at(now));
            let (here, elsewhere): (Vec<_>, Vec<_>) = same.partition(|known| known.place == place);
            if let Some(open) = here.first() {
                return Ok((Vec::new(), (*open).clone()));
            }
            let mut changes = make_room(view, asked_by, now)?;
            // What he asked for before the secret changed can be approved no more.
            let ended =
                |known: &Approval| Approval { state: ApprovalState::Ended, ended_at: Some(now), ..known.clone() };
            changes.extend(elsewhere.into_iter().map(|known| Change::from(ended(known))));
            let approval = Approval {
                approval_id,
                act,
                environment_id: known.placed.facts.environment,
                path: known.placed.facts.path.clone(),
                asked_by,
                reason: reason.clone(),
                asked_at: now,
                expires_at: now.saturating_add(OPEN_SECONDS),
                state: ApprovalState::Open,
                decided_by: None,
                decided_at: None,
                place,
                ended_at: None,
            };
            changes.push(approval.clone().into());
            Ok((changes, approval))
        };
        let view = self.registry.now().await?;
        let now = caller.again(&view)?;
        let (changes, found) = decide(&now, &view)?;
        if changes.is_empty() {
            self.store.look_again_at(now.visible().basis()).await?;
            return Ok(found);
        }
        self.keeper.pace.take(caller.subject())?;
        self.audit.record(Act::Registry(RegistryAct::ApprovalCreate, Some(approval_id.to_string())), origin).await?;
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            let (changes, approval) = decide(caller, view)?;
            made = Some(approval);
            Ok(changes)
        };
        self.revocations.change(caller, Some(&reason), decide).await?;
        made.ok_or_else(|| Refusal::internal("an act was not asked for"))
    }
}

/// The number of the place that an act is bound to from the beginning. A deletion and its end bind the destruction of a whole
/// secret, and an approval to read gets the number when it is approved.
fn bound_place(act: AskedAct, known: &Known) -> Option<u64> {
    match act {
        AskedAct::DestroyVersion { .. } => Some(known.placed.facts.number),
        AskedAct::Destroy { .. } | AskedAct::Read { .. } => None,
    }
}

/// Refuses more acts than there may be, or removes the oldest of which nothing comes any more: of the one who asks if he has many,
/// and else of whoever has the most, so that a flood removes its own.
fn make_room(view: &View, asked_by: Subject, now: u64) -> Result<Vec<Change>, Refusal> {
    let (mut all, mut open) = (0, 0);
    let mut over: BTreeMap<Subject, BTreeSet<(u64, ApprovalId)>> = BTreeMap::new();
    let mut open_of_one = 0;
    for approval in view.state.approvals() {
        all += 1;
        let is_open = approval.is_open_at(now);
        open += usize::from(is_open);
        open_of_one += usize::from(is_open && approval.asked_by == asked_by);
        if let Some(since) = approval.over_since(now) {
            over.entry(approval.asked_by).or_default().insert((since, approval.approval_id));
        }
    }
    if open_of_one >= MOST_OF_ONE {
        return Err(Refusal::new(ErrorCode::LimitReached).detail("32 of your acts await approval."));
    }
    if open >= MOST_OPEN {
        return Err(Refusal::new(ErrorCode::LimitReached).detail("1,000 acts await approval."));
    }
    let of_one = over.get(&asked_by).filter(|own| own.len() >= MOST_OVER_OF_ONE);
    if of_one.is_none() && all < MOST {
        return Ok(Vec::new());
    }
    let oldest = of_one.or_else(|| over.values().max_by_key(|own| own.len())).and_then(BTreeSet::first);
    match oldest {
        Some((_, id)) => Ok(vec![RecordName::from(*id).into()]),
        None => Err(Refusal::new(ErrorCode::LimitReached).detail("There are 4,000 approvals in force or open.")),
    }
}
