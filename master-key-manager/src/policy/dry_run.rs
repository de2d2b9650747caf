//! Dry runs: who would gain and lose what by a change.

use std::collections::BTreeMap;
use std::sync::Arc;

use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::policy::PartyId;
use manager_api::policy_questions::{
    DifferenceDetails, DryRun, DryRunAnswer, MAX_DIFFERENCES, MAX_NAMED_SECRETS, MAX_PROPOSED, MAX_SECRETS_BELOW,
    PolicyTarget, ProposedChange,
};
use manager_policy::{Basis, Difference, Holder, Scope, SecretFacts, Target, TooMuch, Visible, dry_run};
use manager_registry::{Change, Group, Record, RecordName};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

use super::groups::is_known;
use super::lists::Sight;
use super::questions::About;
use super::{PolicyKeeper, basis_of};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;

/// Something that a dry run looks at, as its answer names it.
struct Named {
    about: About,
    shown: DifferenceDetails,
}

/// Records as a list of changes leaves them, on top of a state.
struct Overlay<'a> {
    view: &'a View,
    changed: BTreeMap<RecordName, Option<Record>>,
}

impl PolicyKeeper {
    /// Says who gains and loses what by a change, which is not made.
    ///
    /// # Errors
    /// The caller may not ask about these secrets; the change names what does not exist, or breaks a rule; or it concerns
    /// too many.
    pub async fn dry_run(&self, asked: DryRun, (caller, origin): (&Caller, &Origin)) -> Result<DryRunAnswer, Refusal> {
        let (caller, view) = self.now(caller).await?;
        let DryRun { changes, secrets, below } = asked;
        if !(1..=MAX_PROPOSED).contains(&changes.len()) {
            return Err(Refusal::parameter("changes are 1 to 100."));
        }
        let (named, basis) = match (secrets, below) {
            (Some(secrets), None) => self.named(&caller, secrets).await?,
            (None, Some(folder)) => self.below(&caller, folder).await?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(Refusal::parameter("A dry run is about secrets, or about what is below a folder."));
            }
        };
        let changes = self.proposed(&caller, &view, changes)?;
        let (registry, now) = (Arc::clone(&self.registry), caller.now());
        let answer = self.aside(move || {
            let after = registry.preview(&view, changes)?;
            let targets: Vec<Target<'_>> = named.iter().map(|named| named.about.target()).collect();
            let found = dry_run(&view.facts, &after.facts, &targets, now)
                .map_err(|TooMuch| Refusal::new(ErrorCode::DryRunTooLarge))?;
            let shown = found.iter().take(MAX_DIFFERENCES).filter_map(|one| difference(&named, one)).collect();
            Ok(DryRunAnswer { differences: shown, total: found.len(), secrets: named.len() })
        });
        let answer = answer.await?;
        self.give_out(basis, origin, (RegistryAct::PermissionDryRun, None)).await?;
        Ok(answer)
    }

    /// Secrets that the caller names and may ask about.
    async fn named(&self, caller: &Caller, secrets: Vec<PolicyTarget>) -> Result<(Vec<Named>, Basis), Refusal> {
        if !(1..=MAX_NAMED_SECRETS).contains(&secrets.len()) {
            return Err(Refusal::parameter("secrets are 1 to 500."));
        }
        let (visible, mut named, mut basis) = (caller.visible(), Vec::new(), None::<Basis>);
        for asked in secrets {
            let place = asked.environment.clone().zip(asked.path.clone());
            let about = self.about(caller, asked).await?;
            if !matches!(about, About::Secret(_) | About::Scope(Scope::Path(..))) {
                return Err(Refusal::parameter("A secret is named by its key_id, or by its environment and path."));
            }
            let own = basis_of(&about.permit_to_ask(caller)?)?;
            basis = basis.map_or(Some(own), |known| known.and(own));
            let mut shown = self.told_of(&about, &visible);
            if let Some((environment, path)) = place {
                (shown.environment, shown.path) = (Some(environment), Some(path));
            }
            named.push(Named { about, shown });
        }
        Ok((named, basis.ok_or_else(|| Refusal::internal("secrets of two states of the policy"))?))
    }

    /// The secrets below a folder that the caller may ask about, as far as he may list them.
    async fn below(&self, caller: &Caller, folder: PolicyTarget) -> Result<(Vec<Named>, Basis), Refusal> {
        let about = self.about(caller, folder).await?;
        let basis = basis_of(&about.permit_to_ask(caller)?)?;
        let (environment, folder) = match about {
            About::Scope(Scope::Folder(environment, folder)) => (environment, Some(folder)),
            About::Scope(Scope::Environment(environment)) => (environment, None),
            About::Secret(_) | About::Scope(_) => {
                return Err(Refusal::parameter("below is an environment, or a folder of one."));
            }
        };
        let found = self.store.facts_below(environment, folder, MAX_SECRETS_BELOW + 1).await?;
        if found.len() > MAX_SECRETS_BELOW {
            return Err(Refusal::new(ErrorCode::DryRunTooLarge).detail("There are more than 10,000 secrets below it."));
        }
        let visible = caller.visible();
        let may_list = |facts: &SecretFacts| visible.shows_secret(facts.environment, &facts.path, &facts.tags);
        let basis = basis.and(visible.basis()).ok_or_else(|| Refusal::internal("lists of two states of the policy"))?;
        let named = found.into_iter().filter(may_list).map(About::Secret).map(|about| {
            let shown = self.told_of(&about, &visible);
            Named { about, shown }
        });
        Ok((named.collect(), basis))
    }

    /// The words of an answer about a secret: its place only to one who may list it, and its id to one who named it so.
    fn told_of(&self, about: &About, visible: &Visible) -> DifferenceDetails {
        let nothing = DifferenceDetails {
            principal: None,
            key_id: None,
            environment: None,
            path: None,
            gains: manager_policy::Actions::NONE,
            loses: manager_policy::Actions::NONE,
        };
        match about {
            About::Secret(facts) if visible.shows_secret(facts.environment, &facts.path, &facts.tags) => {
                let environment = self.environments.with_id(facts.environment).map(|known| known.name);
                DifferenceDetails { key_id: Some(facts.id), environment, path: Some(facts.path.clone()), ..nothing }
            }
            About::Secret(_) | About::Scope(_) => nothing,
        }
    }

    /// The changes of the registry that a list of changes makes together.
    fn proposed(&self, caller: &Caller, view: &View, changes: Vec<ProposedChange>) -> Result<Vec<Change>, Refusal> {
        let sight = Sight::of(caller);
        let mut overlay = Overlay { view, changed: BTreeMap::new() };
        for change in changes {
            match change {
                ProposedChange::AssignRole(asked) => {
                    overlay.check(asked.party)?;
                    let line = self.assignment(asked, AssignmentId::generate(), caller)?;
                    line.line().map_err(|shared_proto::Malformed(rule)| Refusal::parameter(rule))?;
                    overlay.put(line.into());
                }
                ProposedChange::CreatePermission(asked) => {
                    overlay.check(asked.party)?;
                    let line = self.permission(asked, PermissionId::generate(), caller)?;
                    line.line().map_err(|shared_proto::Malformed(rule)| Refusal::parameter(rule))?;
                    overlay.put(line.into());
                }
                ProposedChange::UnassignRole { assignment_id } => overlay.remove(assignment_id.into(), &sight)?,
                ProposedChange::DeletePermission { permission_id } => overlay.remove(permission_id.into(), &sight)?,
                ProposedChange::AddMember { group_id, principal } => {
                    overlay.check(PartyId::Principal(principal))?;
                    let mut group = overlay.group(group_id)?;
                    group.members.push(principal);
                    group.members.sort_unstable();
                    group.members.dedup();
                    overlay.put(group.into());
                }
                ProposedChange::RemoveMember { group_id, principal } => {
                    let mut group = overlay.group(group_id)?;
                    group.members.retain(|member| *member != principal);
                    overlay.put(group.into());
                }
                ProposedChange::DisablePrincipal { principal } => overlay.disable(principal, caller.now())?,
            }
        }
        let changed = overlay.changed.into_iter();
        Ok(changed.map(|(name, after)| Change { name, after }).collect())
    }
}

impl Overlay<'_> {
    fn check(&self, party: PartyId) -> Result<(), Refusal> {
        if is_known(self.view, party) { Ok(()) } else { Err(Refusal::new(ErrorCode::PartyNotFound)) }
    }

    fn put(&mut self, record: Record) {
        self.changed.insert(record.name(), Some(record));
    }

    /// Removes a line that the caller may see.
    fn remove(&mut self, name: RecordName, sight: &Sight) -> Result<(), Refusal> {
        if !sight.sees_record(self.view, &name) {
            return Err(Refusal::new(ErrorCode::LineNotFound));
        }
        self.changed.insert(name, None);
        Ok(())
    }

    fn group(&self, id: GroupId) -> Result<Group, Refusal> {
        if let Some(Some(Record::Group(group))) = self.changed.get(&RecordName::from(id)) {
            return Ok(group.clone());
        }
        self.view.state.group(id).cloned().ok_or_else(|| Refusal::new(ErrorCode::GroupNotFound))
    }

    fn disable(&mut self, principal: Subject, now: u64) -> Result<(), Refusal> {
        let state = &self.view.state;
        let record = match principal {
            Subject::Service(id) => state.service(id).cloned().map(|mut service| {
                service.disabled_at = Some(now);
                Record::from(service)
            }),
            Subject::Person(id) => state.person(id).cloned().map(|mut person| {
                person.disabled_at = Some(now);
                Record::from(person)
            }),
        };
        self.put(record.ok_or_else(|| Refusal::new(ErrorCode::PartyNotFound))?);
        Ok(())
    }
}

fn difference(named: &[Named], found: &Difference) -> Option<DifferenceDetails> {
    let principal = match found.holder {
        Holder::Principal(subject) => Some(subject),
        Holder::Stranger => None,
    };
    let shown = named.get(found.target)?.shown.clone();
    Some(DifferenceDetails { principal, gains: found.gains, loses: found.loses, ..shown })
}
