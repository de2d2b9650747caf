//! Former versions of lines and groups: a state with its later entries taken back.

use manager_api::id::{GroupId, PermissionId};
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText};
use manager_api::tags::Tags;
use manager_registry::{
    Anchor, Author, Change, Credential, Group, Permission, PolicyState, Proof, RecordName, RegistryKey, Service,
    Snapshot, Terms, WrittenEntry,
};
use shared_proto::id::{CredentialId, ServiceId, Subject};

fn key() -> RegistryKey {
    RegistryKey::new(&[7; 32])
}

fn service() -> Service {
    Service::new(ServiceId::from_bytes([1; 16]), AccountName::parse("billing").unwrap(), 1)
}

fn group(number: u8, name: &str, members: &[Subject]) -> Group {
    let (group_id, name) = (GroupId::from_bytes([number; 16]), AccountName::parse(name).unwrap());
    Group { group_id, name, description: None, members: members.to_vec(), created_at: 1 }
}

fn permission(number: u8, pattern: &str) -> Permission {
    Permission {
        permission_id: PermissionId::from_bytes([number; 16]),
        party: PartyId::Principal(service().subject()),
        effect: Effect::Allow,
        actions: [Action::Read].into_iter().collect(),
        environment: None,
        pattern: PatternText::parse(pattern).unwrap(),
        tags: Tags::default(),
        terms: Terms::unlimited(1),
    }
}

fn removal(number: u8) -> Change {
    RecordName::from(PermissionId::from_bytes([number; 16])).into()
}

/// The states after each of many changes, with the entries that made them.
fn history() -> Vec<(WrittenEntry, Snapshot)> {
    let subject = service().subject();
    let credential = Credential::new(CredentialId::from_bytes([9; 16]), subject, Proof::opaque([9; 32]), 1);
    let steps: Vec<Vec<Change>> = vec![
        vec![service().into()],
        vec![group(1, "one", &[]).into(), permission(1, "a").into()],
        vec![credential.into()],
        vec![group(1, "one", &[subject]).into()],
        vec![removal(1), permission(2, "b").into()],
        vec![service().into()],
        // Two groups exchange their names in one change.
        vec![group(2, "two", &[subject]).into()],
        vec![group(1, "two", &[subject]).into(), group(2, "one", &[]).into()],
        vec![RecordName::from(GroupId::from_bytes([1; 16])).into(), permission(1, "a").into()],
        vec![removal(1), removal(2)],
    ];
    let mut state = Snapshot::empty();
    let mut all = Vec::new();
    for step in steps {
        let proposal = state.propose(step, (Author::Operator, "step", 1), 0, &key()).unwrap();
        state = proposal.after;
        all.push((proposal.rows.entry, state.clone()));
    }
    all
}

#[test]
fn later_entries_that_are_taken_back_leave_what_was() {
    let all = history();
    let newest = all.last().unwrap();
    let mut state = PolicyState::of(&newest.1);
    for ((written, _), (_, before)) in all.iter().zip(&all[1..]).rev().map(|(before, after)| (after, before)) {
        state.undo(&written.read(&key()).unwrap());
        assert_eq!(state, PolicyState::of(before), "before {}", written.number);
    }
    assert_eq!(state.records().count(), 0);
}

#[test]
fn each_version_names_the_one_before_it_over_entries_of_other_kinds() {
    let all = history();
    let versions = [2, 4, 5, 7, 8, 9, 10];
    let (mut walked, mut next) = (Vec::new(), all.last().unwrap().1.policy_version());
    while let Some(anchor) = next {
        let (written, _) = all.iter().find(|(written, _)| Anchor::from(written) == anchor).unwrap();
        let entry = written.read(&key()).unwrap();
        assert!(entry.is_policy_version());
        assert_eq!(WrittenEntry::policy_before(&written.text), entry.policy.map(|anchor| anchor.number));
        walked.push(entry.number);
        next = entry.policy;
    }
    walked.reverse();
    assert_eq!(walked, versions);
}

/// A state that is read again goes on with the chain of versions, also after an entry of another kind.
#[test]
fn a_state_that_is_read_again_knows_its_newest_version() {
    let mut rows = std::collections::BTreeMap::new();
    let mut state = Snapshot::empty();
    for step in [vec![service().into()], vec![permission(1, "a").into()], vec![service().into()]] {
        let proposal = state.propose(step, (Author::Operator, "", 1), 0, &key()).unwrap();
        rows.extend(proposal.rows.written.iter().map(|record| (record.name.clone(), record.clone())));
        state = proposal.after;
        let records: Vec<_> = rows.values().cloned().collect();
        let read = Snapshot::load(&records, &proposal.rows.entry, &key()).unwrap();
        assert_eq!(read.policy_version(), state.policy_version());
    }
    assert_eq!(state.policy_version().unwrap().number, 2);
}
