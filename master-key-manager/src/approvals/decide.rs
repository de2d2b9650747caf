//! Deciding an act: approving, refusing, taking it back, and ending what was approved.

use std::collections::BTreeSet;

use manager_api::approvals::ApprovalState;
use manager_api::id::ApprovalId;
use manager_api::name::Reason;
use manager_api::policy::PartyId;
use manager_policy::{ActionType, Destroy, Permit, Read, SecretFacts};
use manager_registry::{Approval, AskedAct, Change, Place};
use manager_store::{CatalogueChanges, DestroyedVersion};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::Subject;

use super::{Approvals, NO_SECRET, SeenApproval, decided, is_own, may_approve, not_found, not_permitted};
use crate::access::{Asked, Caller, View};
use crate::audit_event::{Act, Outcome, RegistryAct, RegistryOutcome, SecretAct};
use crate::catalogue::{Known, check_still_at, destroyed_place, ended_destructions};
use crate::revocation::Sequences;

impl Approvals {
    /// Approves an act that somebody else has asked for. A destruction is carried out with it, in the change that decides; whether
    /// versions are left for later is returned with the act.
    ///
    /// # Errors
    /// `ApprovalNotFound`: it is unknown, or the caller may not approve there. `NotPermitted`: it is his own, or that of
    /// somebody who acts for him, or he does not hold the right. `ApprovalDecided`. Those of a secret that is no longer what
    /// it was asked for.
    pub async fn approve(
        &self,
        id: ApprovalId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(SeenApproval, Sequences, bool), Refusal> {
        let view = self.registry.now().await?;
        let asked = view.state.approval(id).map(|approval| approval.act);
        let facts = self.facts_of(asked).await?;
        let asked = asked.ok_or_else(not_found)?;
        // Decided before its line, and once more on the state that it is made of.
        let now = caller.again(&view)?;
        may_decide(&now, &view, id, facts.as_ref())?;
        let known = self.keeper.known(asked.secret()).await?.ok_or_else(not_found)?;
        may_be_approved(&now, &view, id, &known)?;
        drop(view);
        self.audit.record(Act::Registry(RegistryAct::ApprovalApprove, Some(id.to_string())), origin).await?;
        let (secret, path) = (asked.secret(), &known.placed.facts.path);
        let mut held = None;
        match asked {
            AskedAct::Destroy { .. } => {
                self.audit.record(Act::Secret(SecretAct::Destroy, secret, path), origin).await?;
            }
            AskedAct::DestroyVersion { version, .. } => {
                let permit = now.permit_on::<Destroy>(Some(&known.placed.facts))?;
                held = Some(self.keeper.destroyable(&permit, secret, version).await?);
                self.audit.record(Act::SecretDestroy { secret, path, versions: vec![version] }, origin).await?;
            }
            AskedAct::Read { .. } => {}
        }
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            let approval = may_be_approved(caller, view, id, &known)?;
            let (decided_by, decided_at) = (caller.subject(), Some(caller.now()));
            let number = known.placed.facts.number;
            let (state, places) = match approval.act {
                AskedAct::Destroy { .. } => (ApprovalState::Used, vec![destroyed_place(&known)?].into()),
                AskedAct::DestroyVersion { version, .. } => {
                    let destroyed = Some(DestroyedVersion { secret, expected: number, version });
                    (ApprovalState::Used, CatalogueChanges { destroyed, ..CatalogueChanges::default() })
                }
                AskedAct::Read { .. } => (ApprovalState::Approved, CatalogueChanges::default()),
            };
            let mut changes: Vec<Change> =
                places.places.iter().map(|place| Place::changed(place.secret).into()).collect();
            if !places.places.is_empty() {
                changes.extend(ended_destructions(view, secret, Some(approval), caller.now()));
            }
            let place = Some(number);
            let approval = Approval { state, decided_by, decided_at, place, ..approval.clone() };
            made = Some(approval.clone());
            changes.push(approval.into());
            Ok(Asked { changes, places, events: Vec::new() })
        };
        let done = self.revocations.change_places(caller, reason, decide).await?;
        drop(held);
        let approval = made.ok_or_else(|| Refusal::internal("an approval was not decided"))?;
        let act = approval.act;
        let seen = SeenApproval { approval, path: Some(known.placed.facts.path) };
        match act {
            AskedAct::Destroy { .. } => {
                let (done, more) = self.keeper.erase_now(secret).await;
                Ok((seen, done, more))
            }
            AskedAct::DestroyVersion { .. } | AskedAct::Read { .. } => Ok((seen, done, false)),
        }
    }

    /// Refuses an act that somebody else has asked for, or ends what was approved.
    ///
    /// # Errors
    /// `ApprovalNotFound`: it is unknown, or the caller may not approve there. `NotPermitted`: it is his own.
    /// `ApprovalDecided`.
    pub async fn reject(
        &self,
        id: ApprovalId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(SeenApproval, Sequences), Refusal> {
        let view = self.registry.now().await?;
        let facts = self.facts_of(view.state.approval(id).map(|approval| approval.act)).await?;
        drop(view);
        let facts = facts.as_ref();
        let may = |caller: &Caller, view: &View, approval: &Approval| {
            if !may_approve(caller, facts) {
                return Err(not_found());
            }
            if let Some(facts) = facts {
                check_still_at(view, facts)?;
            }
            if is_own(caller, approval) {
                Err(not_permitted("It is your own: take it back with :cancel."))
            } else {
                Ok(())
            }
        };
        let told = (ApprovalState::Rejected, RegistryOutcome::ApprovalReject);
        let (approval, done) = self.end(id, told, reason, (caller, origin), may).await?;
        Ok((SeenApproval { approval, path: facts.map(|facts| facts.path.clone()) }, done))
    }

    /// Takes back an act that the caller has asked for, or ends what was approved to him.
    ///
    /// # Errors
    /// `ApprovalNotFound`: it is unknown, or not the caller's. `ApprovalDecided`.
    pub async fn cancel(
        &self,
        id: ApprovalId,
        reason: Option<&Reason>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(SeenApproval, Sequences), Refusal> {
        let may = |caller: &Caller, _view: &View, approval: &Approval| {
            if is_own(caller, approval) { Ok(()) } else { Err(not_found()) }
        };
        let told = (ApprovalState::Cancelled, RegistryOutcome::ApprovalCancel);
        let (approval, done) = self.end(id, told, reason, (caller, origin), may).await?;
        Ok((SeenApproval::of_asker(approval), done))
    }

    /// The facts about the secret of an act. It takes as long for an act that is missing.
    async fn facts_of(&self, asked: Option<AskedAct>) -> Result<Option<SecretFacts>, Refusal> {
        let secret = asked.map_or(NO_SECRET, AskedAct::secret);
        Ok(self.store.secret_facts(vec![secret]).await?.into_iter().next().flatten())
    }

    /// Gives an open act its last state, or withdraws what is in force, with the tokens of its secret.
    async fn end(
        &self,
        id: ApprovalId,
        (state, told): (ApprovalState, RegistryOutcome),
        reason: Option<&Reason>,
        (caller, origin): (&Caller, &Origin),
        may: impl Fn(&Caller, &View, &Approval) -> Result<(), Refusal> + Send + Sync,
    ) -> Result<(Approval, Sequences), Refusal> {
        self.keeper.pace.take(caller.subject())?;
        let mut made = None;
        let decide = |caller: &Caller, view: &View| {
            let approval = view.state.approval(id).ok_or_else(not_found)?;
            may(caller, view, approval)?;
            let now = caller.now();
            let ended = match approval.state_at(now) {
                ApprovalState::Open => {
                    Approval { state, decided_by: caller.subject(), decided_at: Some(now), ..approval.clone() }
                }
                ApprovalState::Approved => {
                    Approval { state: ApprovalState::Withdrawn, ended_at: Some(now), ..approval.clone() }
                }
                ApprovalState::Used
                | ApprovalState::Rejected
                | ApprovalState::Cancelled
                | ApprovalState::Withdrawn
                | ApprovalState::Ended => return Err(decided()),
            };
            let is_withdrawn = ended.state == ApprovalState::Withdrawn;
            // Also those of others, who get new ones: a token does not say by which approval it was made.
            let events = if is_withdrawn { vec![Event::Secret(ended.act.secret())] } else { Vec::new() };
            made = Some(ended.clone());
            Ok(Asked { changes: vec![ended.into()], events, ..Asked::default() })
        };
        let done = self.revocations.change_places(caller, reason, decide).await?;
        self.audit.note(Outcome::Registry(told, id.to_string()), origin);
        Ok((made.ok_or_else(|| Refusal::internal("an approval was not ended"))?, done))
    }
}

/// The act, if a caller may decide it, and nobody has.
fn may_decide<'a>(
    caller: &Caller,
    view: &'a View,
    id: ApprovalId,
    facts: Option<&SecretFacts>,
) -> Result<&'a Approval, Refusal> {
    let approval = view.state.approval(id).ok_or_else(not_found)?;
    if !may_approve(caller, facts) {
        return Err(if is_own(caller, approval) { own() } else { not_found() });
    }
    if is_own(caller, approval) {
        return Err(own());
    }
    let decider = caller.subject().ok_or_else(not_found)?;
    if acts_for(view, decider, approval.asked_by) {
        return Err(not_permitted("The same people answer for you and for the one who asked."));
    }
    if approval.is_open_at(caller.now()) { Ok(approval) } else { Err(decided()) }
}

/// The act, if a caller may approve it as things are.
fn may_be_approved<'a>(
    caller: &Caller,
    view: &'a View,
    id: ApprovalId,
    known: &Known,
) -> Result<&'a Approval, Refusal> {
    let facts = &known.placed.facts;
    let approval = may_decide(caller, view, id, Some(facts))?;
    check_still_at(view, facts)?;
    match approval.act {
        AskedAct::Destroy { .. } => {
            both_hold::<Destroy>(caller, view, approval.asked_by, known)?;
            destroyed_place(known).map(|_place| ())?;
        }
        AskedAct::DestroyVersion { .. } => {
            both_hold::<Destroy>(caller, view, approval.asked_by, known)?;
            if known.placed.rules.deletion.is_some() {
                return Err(Refusal::new(ErrorCode::SecretDeleted));
            }
            if approval.place != Some(facts.number) {
                return Err(
                    decided().detail("The secret has another place or other rules by now: it is asked for again.")
                );
            }
        }
        AskedAct::Read { .. } => {
            both_hold::<Read>(caller, view, approval.asked_by, known)?;
            if known.placed.rules.deletion.is_some() {
                return Err(Refusal::new(ErrorCode::SecretDeleted));
            }
        }
    }
    Ok(approval)
}

/// Nobody hands out more than he holds, and nobody gets by an approval what the policy does not let him do.
fn both_hold<A: ActionType>(caller: &Caller, view: &View, asked_by: Subject, known: &Known) -> Result<(), Refusal> {
    let facts = &known.placed.facts;
    let own: Result<Permit<A>, Refusal> = caller.permit_on(Some(facts));
    if let Err(refusal) = own {
        let is_policy = refusal.code() == ErrorCode::SecretNotFound;
        return Err(if is_policy {
            not_permitted("You do not hold the right that you would approve.")
        } else {
            refusal
        });
    }
    if view.lets::<A>(asked_by, facts, caller.now()) {
        return Ok(());
    }
    Err(not_permitted("The one who asked may not do it any more."))
}

/// Tells whether the same people answer for two principals: one of them is, or owns, or is in a group that owns both, at
/// whatever distance.
fn acts_for(view: &View, one: Subject, other: Subject) -> bool {
    let (first, second) = (answering(view, one), answering(view, other));
    !first.is_disjoint(&second)
}

/// The principals and groups that answer for a principal: itself, the owner of a service, the members of a group that owns it,
/// and those who answer for them.
fn answering(view: &View, principal: Subject) -> BTreeSet<PartyId> {
    let (mut all, mut next) = (BTreeSet::new(), vec![PartyId::Principal(principal)]);
    while let Some(party) = next.pop() {
        if !all.insert(party) {
            continue;
        }
        match party {
            PartyId::Principal(Subject::Service(id)) => {
                next.extend(view.state.service(id).and_then(|service| service.owner));
            }
            PartyId::Principal(Subject::Person(_)) => {}
            PartyId::Group(id) => {
                let members = view.state.group(id).into_iter().flat_map(|group| group.members.iter().copied());
                next.extend(members.map(PartyId::Principal));
            }
        }
    }
    all
}

fn own() -> Refusal {
    not_permitted("Nobody approves what he has asked for himself.")
}
