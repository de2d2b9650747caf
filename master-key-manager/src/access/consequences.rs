//! The consequences of a change of the registry: what it revokes, and what it may not do.

use manager_api::address::AddressRange;
use manager_api::environments::ExpiredVersions;
use manager_policy::{Action, Actor, Holder, may_act_for, may_hand_out, may_lose};
use manager_registry::{Author, Change, Credential, CredentialLimit, Kind, Record, RecordName};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, EnvironmentId};

use super::View;

/// The most credentials whose tokens one change revokes one by one. Beyond it, all tokens are revoked.
pub(super) const MOST_EVENTS: usize = 256;
/// The most sessions whose tokens one change looks for.
const MOST_SESSIONS: usize = 2_000;

/// The revocations that follow from a change: of the tokens of each credential that is disabled or narrowed, and of those
/// of each principal who may lose `read` by it. Sessions among them are returned apart.
pub(super) fn revocations(
    before: &View,
    after: &View,
    changes: &[Change],
    now: u64,
) -> (Vec<Event>, Vec<CredentialId>) {
    let mut hit: Vec<CredentialId> = Vec::new();
    if changes.iter().any(|change| change.name.kind.is_policy()) {
        for subject in may_lose(&before.facts, &after.facts, Action::Read) {
            hit.extend(before.state.credentials_of(subject).map(|credential| credential.credential_id));
        }
    }
    for id in changes.iter().filter_map(|change| credential_of(before, change)).map(|known| known.credential_id) {
        if is_less(before.state.credential(id), after.state.credential(id), now) {
            hit.push(id);
        }
    }
    if changes.iter().any(|change| asks_for_more(before, change)) {
        // What was minted after a login with one factor ends, so that the rule holds from its answer on.
        let sessions = before.state.credentials().filter(|known| known.proof.login().is_some_and(|login| !login.mfa));
        hit.extend(sessions.map(|session| session.credential_id));
    }
    hit.sort_unstable();
    hit.dedup();
    let is_session =
        |id: &CredentialId| before.state.credential(*id).is_some_and(|known| known.proof.login().is_some());
    let (sessions, others): (Vec<_>, Vec<_>) = hit.into_iter().partition(is_session);
    if others.len() > MOST_EVENTS || sessions.len() > MOST_SESSIONS {
        return (vec![Event::All], Vec::new());
    }
    let mut events: Vec<Event> = others.into_iter().map(Event::Credential).collect();
    // What was minted before may outlive a version.
    events.extend(changes.iter().filter_map(|change| refuses_from_now_on(before, change)).map(Event::Environment));
    (events, sessions)
}

/// The environment that makes no tokens for expired versions from now on.
fn refuses_from_now_on(before: &View, change: &Change) -> Option<EnvironmentId> {
    let Some(Record::EnvironmentRules(rules)) = &change.after else { return None };
    let known = before.state.environment_rules(rules.environment_id).map(|known| known.expired_versions);
    let is_new = rules.expired_versions == ExpiredVersions::Refuse && known != Some(ExpiredVersions::Refuse);
    is_new.then_some(rules.environment_id)
}

/// Tells whether sessions end by themselves: by their own logout, to make room for the next one, or by maintenance. What
/// others end is revoked as a whole, whatever the database says that was minted.
pub(super) fn end_by_themselves(before: &View, author: Author, ended: &[CredentialId]) -> bool {
    match author {
        Author::Service => true,
        Author::Operator => false,
        Author::Caller { credential, .. } => ended == [credential] || before.state.credential(credential).is_none(),
    }
}

/// Tells whether an environment asks people for two factors from now on.
fn asks_for_more(before: &View, change: &Change) -> bool {
    let Some(Record::EnvironmentRules(rules)) = &change.after else { return false };
    let known = before.state.environment_rules(rules.environment_id).is_some_and(|known| known.require_mfa);
    rules.require_mfa && !known
}

/// The credential that a change is about, as it was.
fn credential_of<'a>(before: &'a View, change: &Change) -> Option<&'a Credential> {
    if change.name.kind != Kind::Credential {
        return None;
    }
    before.state.credential(change.name.id.parse().ok()?)
}

/// Tells whether a credential that was enabled is less than it was.
fn is_less(before: Option<&Credential>, after: Option<&Credential>, now: u64) -> bool {
    // A session is removed when it has ended by the clock, which may have jumped ahead: its tokens need not have ended.
    let counts = |known: &&Credential| known.proof.login().is_some() || known.is_enabled_at(now);
    let Some(before) = before.filter(counts) else { return false };
    let Some(after) = after else { return true };
    let ends_earlier = after.expires_at.is_some_and(|end| before.expires_at.is_none_or(|known| end < known));
    after.disabled_at.is_some() || ends_earlier || is_other_login(before, after) || terms(before) != terms(after)
}

/// Tells whether the login of a session lost its second factor, or got it: what was minted with one is not what an
/// environment asks for. One that is repeated takes nothing away.
fn is_other_login(before: &Credential, after: &Credential) -> bool {
    before.proof.login().map(|login| login.mfa) != after.proof.login().map(|login| login.mfa)
}

/// The use that a credential is for, whatever its time is, and whatever login it rests on.
fn terms(credential: &Credential) -> impl PartialEq + '_ {
    let Credential { subject, proof, limits, allowed_addresses, max_uses, .. } = credential;
    let other_than_session = proof.login().is_none().then_some(proof);
    (subject, proof.hmac(), other_than_session, limits, allowed_addresses, max_uses)
}

/// Refuses a change after which nobody could make policy and principals, if somebody could before it.
pub(super) fn keeps_an_administrator(before: &View, after: &View, changes: &[Change], now: u64) -> Result<(), Refusal> {
    // Most changes are about one credential, and are decided without looking for other administrators.
    let was_administrator = |known: &Credential| {
        // Sessions come and go, and what is new is not less.
        known.proof.login().is_none() && before.state.administers(known.credential_id, &before.facts, now)
    };
    let may_matter = changes.iter().any(|change| match (change.name.kind, &change.after) {
        (Kind::SignOn, Some(Record::SignOn(own))) => own.password.is_none(),
        (Kind::SignOn, _) => true,
        (kind, _) => kind.is_policy() || credential_of(before, change).is_some_and(was_administrator),
    });
    if !may_matter || has_administrator(after, now) || !has_administrator(before, now) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::LastAdministrator))
}

/// Tells whether a credential of an administrator may be used on all routes, and not for some requests only, or a person who
/// is one can log in.
fn has_administrator(view: &View, now: u64) -> bool {
    let lasts = |known: &Credential| known.proof.opens_all_routes() && known.max_uses.is_none();
    view.state.administrators(&view.facts, now).any(|id| view.state.credential(id).is_some_and(lasts))
        || view.state.has_administrating_person(&view.facts, now)
}

/// Refuses a change by which an actor hands out more than he holds: by the policy, groups or principals, or with a
/// credential of somebody.
pub(super) fn hands_out_no_more(
    actor: &Actor,
    (before, after): (&View, &View),
    changes: &[Change],
    now: u64,
) -> Result<(), Refusal> {
    let refused = |excess: manager_policy::Excess| {
        // Without the line: he may not be allowed to see it.
        let action = excess.action.as_str();
        Refusal::new(ErrorCode::NotPermitted).detail(format!("It hands out {action} where you do not hold it."))
    };
    if changes.iter().any(|change| change.name.kind.is_policy()) {
        may_hand_out(&before.facts, &after.facts, actor, now).map_err(refused)?;
    }
    for change in changes {
        let Some(Record::Credential(credential)) = &change.after else { continue };
        if !is_more(before.state.credential(credential.credential_id), credential) {
            continue;
        }
        if actor.holder == Holder::Principal(credential.subject)
            && let Some(shown) = before.state.credential(actor.credential)
        {
            // One of his own that is as narrow as the one that he has shown gives him nothing.
            let is_as_narrow = narrowing(shown) == narrowing(credential);
            let is_shown_wide = (&None, &None, &None) == narrowing(shown);
            if is_as_narrow {
                continue;
            }
            if !is_shown_wide {
                let detail = "A credential of your own is as narrow as the one that you show.";
                return Err(Refusal::new(ErrorCode::NotPermitted).detail(detail));
            }
        }
        may_act_for(&after.facts, actor, credential.subject, now).map_err(refused)?;
    }
    Ok(())
}

/// Tells whether a change lets somebody read more: by the policy, by a credential, or by a code for one.
pub(super) fn gives((before, after): (&View, &View), changes: &[Change]) -> bool {
    let by_credential = |change: &Change| match &change.after {
        Some(Record::Credential(credential)) => is_more(before.state.credential(credential.credential_id), credential),
        Some(_) => change.name.kind == Kind::Enrolment,
        None => false,
    };
    // A new one is in no line yet.
    let is_new_principal =
        |name: &RecordName| matches!(name.kind, Kind::Service | Kind::Person) && before.state.record(name).is_none();
    changes.iter().any(by_credential)
        || changes.iter().any(|change| change.name.kind.is_policy() && !is_new_principal(&change.name))
            // Whoever would lose it by the way back.
            && !may_lose(&after.facts, &before.facts, Action::Read).is_empty()
}

/// The terms that make a credential less than its principal.
fn narrowing(credential: &Credential) -> (&Option<Vec<CredentialLimit>>, &Option<Vec<AddressRange>>, &Option<u64>) {
    (&credential.limits, &credential.allowed_addresses, &credential.max_uses)
}

/// Tells whether a credential is new, or more than it was.
fn is_more(before: Option<&Credential>, after: &Credential) -> bool {
    let Some(before) = before else { return after.disabled_at.is_none() };
    let ends_later = before.expires_at.is_some_and(|known| after.expires_at.is_none_or(|end| end > known));
    let is_enabled = before.disabled_at.is_some() && after.disabled_at.is_none();
    ends_later || is_enabled || terms(before) != terms(after)
}
