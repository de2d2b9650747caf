//! Records of every kind.

use manager_api::approvals::ApprovalState;
use manager_api::environments::ExpiredVersions;
use manager_api::id::{ApprovalId, AssignmentId, EnrolmentId, GroupId, PermissionId};
use manager_api::name::{AccountName, Description, DisplayName, EmailAddress, Reason, SecretPath, TagKey, TagValue};
use manager_api::policy::{Action, Effect, PartyId, PatternText, Role};
use manager_api::tags::Tags;
use manager_registry::{
    Approval, AskedAct, Author, Change, Credential, CredentialLimit, CredentialTerms, Enrolment, EnvironmentRules,
    Group, Kind, Login, Permission, Person, Proof, RegistryKey, RequiredKeys, RoleAssignment, Service, SignOn,
    Snapshot, Terms,
};
use shared_proto::encoding::Bytes;
use shared_proto::id::{CredentialId, EnvironmentId, PersonId, SecretId, ServiceId, Subject};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).unwrap()
}

fn pattern(text: &str) -> PatternText {
    PatternText::parse(text).unwrap()
}

fn service() -> Service {
    let required = RequiredKeys { environment: EnvironmentId::from_bytes([8; 16]), pattern: pattern("a/**") };
    Service {
        description: Some(Description::parse("Pays invoices").unwrap()),
        owner: Some(PartyId::Group(GroupId::from_bytes([3; 16]))),
        required: vec![required],
        approved_at: Some(6),
        disabled_at: Some(7),
        ..Service::new(ServiceId::from_bytes([1; 16]), name("billing"), 5)
    }
}

fn person() -> Person {
    Person {
        person_id: PersonId::from_bytes([2; 16]),
        name: name("ada"),
        display_name: DisplayName::parse("Ada").unwrap(),
        email: Some(EmailAddress::parse("ada@example.com").unwrap()),
        created_at: 5,
        disabled_at: None,
    }
}

fn credential(number: u8) -> Credential {
    let limit = CredentialLimit {
        actions: [Action::Read].into_iter().collect(),
        environment: Some(EnvironmentId::from_bytes([8; 16])),
        pattern: pattern("a/*"),
    };
    Credential {
        name: Some(DisplayName::parse("of the night").unwrap()),
        expires_at: Some(99),
        limits: Some(vec![limit]),
        ..Credential::new(CredentialId::from_bytes([number; 16]), person().subject(), Proof::opaque([number; 32]), 5)
    }
}

fn group() -> Group {
    Group {
        group_id: GroupId::from_bytes([3; 16]),
        name: name("payments"),
        description: None,
        members: vec![person().subject(), service().subject()],
        created_at: 5,
    }
}

fn assignment() -> RoleAssignment {
    RoleAssignment {
        assignment_id: AssignmentId::from_bytes([4; 16]),
        party: PartyId::Group(group().group_id),
        role: Role::Publisher,
        environment: None,
        pattern: pattern("a/**"),
        terms: Terms {
            starts_at: Some(6),
            ends_at: Some(90),
            reason: Some(Reason::parse("on call").unwrap()),
            author: Some(Subject::Person(person().person_id)),
            created_at: 5,
        },
    }
}

fn permission() -> Permission {
    let tag = (TagKey::parse("team").unwrap(), TagValue::parse("payments").unwrap());
    Permission {
        permission_id: PermissionId::from_bytes([5; 16]),
        party: PartyId::Principal(person().subject()),
        effect: Effect::Deny,
        actions: [Action::Read, Action::List].into_iter().collect(),
        environment: Some(EnvironmentId::from_bytes([8; 16])),
        pattern: pattern("a/*/b"),
        tags: Tags::new([tag]).unwrap(),
        terms: Terms::unlimited(5),
    }
}

fn session() -> Credential {
    let login = Login { authenticated_at: 6, mfa: true };
    let proof = Proof::Session { hmac: Bytes([6; 32]), login };
    Credential::new(CredentialId::from_bytes([6; 16]), person().subject(), proof, 5)
}

fn sign_on() -> SignOn {
    SignOn {
        password: Some("$argon2id$".to_owned()),
        password_changed_at: Some(6),
        seed: Some(Bytes([1; 48])),
        offered_seed: Some(Bytes([2; 48])),
        last_step: Some(7),
        recovery: vec![Bytes([3; 32])],
        ..SignOn::new(person().person_id)
    }
}

fn enrolment() -> Enrolment {
    let terms = CredentialTerms {
        credential_id: CredentialId::from_bytes([9; 16]),
        name: Some(DisplayName::parse("laptop").unwrap()),
        expires_at: 99,
    };
    Enrolment {
        enrolment_id: EnrolmentId::from_bytes([7; 16]),
        hmac: Bytes([7; 32]),
        subject: service().subject(),
        credential: Some(terms),
        address: Some("192.0.2.1".parse().unwrap()),
        author: Some(person().subject()),
        author_credential: Some(CredentialId::from_bytes([10; 16])),
        created_at: 5,
        expires_at: 9,
    }
}

fn rules() -> EnvironmentRules {
    EnvironmentRules {
        environment_id: EnvironmentId::from_bytes([8; 16]),
        require_mfa: true,
        deletion_days: Some(9),
        destroy_needs_approval: true,
        expired_versions: ExpiredVersions::Refuse,
        min_password_strength: 3,
    }
}

fn approval() -> Approval {
    Approval {
        approval_id: ApprovalId::from_bytes([11; 16]),
        act: AskedAct::Read { secret_id: SecretId::from_bytes([12; 16]), seconds: 60 },
        environment_id: EnvironmentId::from_bytes([8; 16]),
        path: SecretPath::parse("a/b").unwrap(),
        asked_by: service().subject(),
        reason: Reason::parse("a test").unwrap(),
        asked_at: 5,
        expires_at: 9,
        state: ApprovalState::Approved,
        decided_by: Some(person().subject()),
        decided_at: Some(6),
        place: Some(4),
        ended_at: None,
    }
}

fn key() -> RegistryKey {
    RegistryKey::new(&[7; 32])
}

fn propose(state: &Snapshot, changes: Vec<Change>) -> Option<manager_registry::Proposal> {
    state.propose(changes, (Author::Operator, "", 9), 0, &key()).ok()
}

#[test]
fn record_of_every_kind_reads_back_as_it_was_written() {
    let changes: Vec<Change> = vec![
        service().into(),
        person().into(),
        credential(1).into(),
        group().into(),
        assignment().into(),
        permission().into(),
        session().into(),
        sign_on().into(),
        enrolment().into(),
        rules().into(),
        approval().into(),
    ];
    let made = propose(&Snapshot::empty(), changes).unwrap();
    let read = Snapshot::load(&made.rows.written, &made.rows.entry, &key()).unwrap();
    assert_eq!(read.service(service().service_id), Some(&service()));
    assert_eq!(read.person(person().person_id), Some(&person()));
    assert_eq!(read.credential(credential(1).credential_id), Some(&credential(1)));
    assert_eq!(read.group(group().group_id), Some(&group()));
    assert_eq!(read.assignment(assignment().assignment_id), Some(&assignment()));
    assert_eq!(read.permission(permission().permission_id), Some(&permission()));
    assert_eq!(read.credential_by_hmac(&[6; 32]), Some(&session()));
    assert_eq!(read.sign_on_of(person().person_id), Some(&sign_on()));
    assert_eq!(read.enrolment(enrolment().enrolment_id), Some(&enrolment()));
    assert_eq!(read.environment_rules(rules().environment_id), Some(&rules()));
    assert_eq!(read.approvals_of(service().subject()).collect::<Vec<_>>(), [&approval()]);
    assert_eq!(format!("{:?}", sign_on()), format!("SignOn({})", SignOn::id_of(person().person_id)));
    assert_eq!(read.facts(false), made.after.facts(false));
    assert_eq!(read.facts(false).state().lines.len(), 2);
    let entry = made.rows.entry.read(&key()).unwrap();
    assert_eq!(entry.changes.len(), 11, "the log reads back, too");
}

#[test]
fn name_of_a_kind_and_a_keyed_hash_are_given_once() {
    let state = propose(&Snapshot::empty(), vec![service().into(), credential(1).into()]).unwrap().after;
    let twin = Service { service_id: ServiceId::from_bytes([9; 16]), ..service() };
    assert!(propose(&state, vec![twin.clone().into()]).is_none());
    let thief = Credential { credential_id: CredentialId::from_bytes([9; 16]), ..credential(1) };
    assert!(propose(&state, vec![thief.into()]).is_none());
    let renamed = Service { name: name("invoices"), ..service() };
    let state = propose(&state, vec![renamed.into(), twin.into()]).unwrap().after;
    let found = |text| state.named(Kind::Service, &name(text)).map(manager_registry::Record::name);
    assert_eq!(found("billing"), Some(ServiceId::from_bytes([9; 16]).into()));
    assert_eq!(found("invoices"), Some(service().service_id.into()));
    assert!(state.named(Kind::Group, &name("billing")).is_none());
}

#[test]
fn line_that_breaks_a_rule_is_never_a_record() {
    let wrong: [Change; 5] = [
        Permission { pattern: pattern("a/**/b"), ..permission() }.into(),
        Permission { actions: manager_api::policy::Actions::NONE, ..permission() }.into(),
        RoleAssignment { role: Role::SuperAdmin, ..assignment() }.into(),
        RoleAssignment { terms: Terms { ends_at: Some(6), ..assignment().terms }, ..assignment() }.into(),
        Credential {
            limits: Some(vec![CredentialLimit { pattern: pattern("**/a"), ..credential(1).limits.unwrap().remove(0) }]),
            ..credential(1)
        }
        .into(),
    ];
    for change in wrong {
        assert!(propose(&Snapshot::empty(), vec![change.clone()]).is_none(), "{change:?}");
    }
}

#[test]
fn actor_has_the_limits_and_the_end_of_his_credential_and_none_when_he_is_disabled() {
    let state = propose(&Snapshot::empty(), vec![person().into(), credential(1).into()]).unwrap().after;
    let id = credential(1).credential_id;
    let actor = state.actor(id, 98).unwrap();
    assert_eq!((actor.ends_at, actor.limits.map(|limits| limits.len())), (Some(99), Some(1)));
    assert!(state.actor(id, 99).is_none(), "it has ended");
    let disabled = Person { disabled_at: Some(6), ..person() };
    let after = propose(&state, vec![disabled.into()]).unwrap().after;
    assert!(after.actor(id, 98).is_none());
    let without = propose(&state, vec![manager_registry::RecordName::from(person().person_id).into()]).unwrap().after;
    assert!(without.actor(id, 98).is_none(), "nobody is known by that id");
    let widened = Credential { limits: None, expires_at: None, ..credential(1) };
    let after = propose(&state, vec![widened.into()]).unwrap().after;
    let actor = after.actor(id, 1_000).unwrap();
    assert_eq!((actor.ends_at, actor.limits), (None, None));
}
