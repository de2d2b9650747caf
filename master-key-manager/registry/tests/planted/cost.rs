//! The cost of changes in a large registry. Printed, and never asserted: see docs/adr/0038-catalogue.md.

use std::time::{Duration, Instant};

use manager_api::id::PermissionId;
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText};
use manager_api::tags::Tags;
use manager_policy::PolicyEpoch;
use manager_registry::{
    Author, Change, Credential, Permission, Proof, RegistryKey, RoleAssignment, Service, Snapshot, Terms,
};
use shared_proto::encoding::random;
use shared_proto::id::{CredentialId, ServiceId, Subject};

const SERVICES: u64 = 2_000;
const LINES_OF_EACH: u64 = 5;
const CREDENTIALS_OF_EACH: u64 = 10;

fn line(service: ServiceId, number: u64) -> Change {
    Permission {
        permission_id: PermissionId::generate(),
        party: PartyId::Principal(Subject::Service(service)),
        effect: Effect::Allow,
        actions: [Action::Read].into_iter().collect(),
        environment: None,
        pattern: PatternText::parse(format!("team-{number}/**")).unwrap(),
        tags: Tags::default(),
        terms: Terms::unlimited(1),
    }
    .into()
}

fn credential(service: ServiceId) -> Credential {
    Credential::new(CredentialId::generate(), Subject::Service(service), Proof::opaque(random()), 1)
}

fn best<T>(mut work: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let begun = Instant::now();
        drop(std::hint::black_box(work()));
        begun.elapsed()
    };
    (0..9).map(once).min().unwrap()
}

#[test]
fn cost_of_a_change_follows_what_it_changes() {
    let (key, by) = (RegistryKey::new(&[7; 32]), (Author::Operator, "", 1));
    let first = ServiceId::generate();
    let named = |name: &str, id| Change::from(Service::new(id, AccountName::parse(name).unwrap(), 1));
    let mut changes: Vec<Change> = vec![
        named("administrator", first),
        RoleAssignment::administrator(first, 1).unwrap().into(),
        credential(first).into(),
    ];
    for number in 0..SERVICES {
        let id = ServiceId::generate();
        changes.push(named(&format!("service-{number}"), id));
        changes.extend((0..LINES_OF_EACH).map(|line_number| line(id, line_number)));
        changes.extend((0..CREDENTIALS_OF_EACH).map(|_| Change::from(credential(id))));
    }
    let state = Snapshot::empty().propose(changes, by, 0, &key).unwrap().after;
    let facts = state.facts(false);
    let another = state.services().last().unwrap().service_id;
    let login = state.propose(vec![credential(another).into()], by, 0, &key).unwrap().after;
    let (lines, credentials) = (SERVICES * LINES_OF_EACH, SERVICES * CREDENTIALS_OF_EACH + 1);
    println!("{lines} lines, {credentials} credentials:");
    println!("  facts built again      {:?}", best(|| login.facts(false)));
    println!("  facts shared           {:?}", best(|| facts.at(PolicyEpoch(login.number()))));
    println!("  a credential proposed  {:?}", best(|| state.propose(vec![credential(another).into()], by, 0, &key)));
    println!("  administrators         {:?}", best(|| state.administrators(&facts, 1).count()));
    let all = |subject| state.credentials().filter(|one| one.subject == subject).count();
    println!("  credentials of one     {:?}", best(|| state.credentials_of(Subject::Service(another)).count()));
    println!("  the same by all        {:?}", best(|| all(Subject::Service(another))));
    let shared = facts.at(PolicyEpoch(login.number()));
    assert!(shared.share(&facts) && shared == login.facts(false));
    assert_eq!(state.administrators(&facts, 1).count(), 1);
    assert_eq!(login.credentials_of(Subject::Service(another)).count() as u64, CREDENTIALS_OF_EACH + 1);
    assert_eq!(all(Subject::Service(another)) as u64, CREDENTIALS_OF_EACH);
}
