//! The reference of audit events is made from their types.

use service_runtime::audit::{Act as _, Outcome as _, reference};
use shared_proto::id::PersonId;
use strum::{EnumCount as _, EnumMessage as _};

use super::*;

#[test]
fn audit_event_reference_is_the_committed_one() {
    use strum::VariantArray as _;
    let (origin, path) = (Origin::background(), SecretPath::parse("p").unwrap());
    let (secret, token, version) = (SecretId::generate(), TokenId::generate(), Version::FIRST);
    let once = [
        Act::SecretStore { secret, path: &path, token: Some(token) },
        Act::SecretDestroy { secret, path: &path, versions: vec![version] },
        Act::SecretRollback { secret, path: &path, version },
        Act::VersionRetire { secret, path: &path, versions: vec![version] },
        Act::TokenMint { token, versions: vec![(secret, version)] },
        Act::TrustAdmit("repo:acme/shop:ref:refs/heads/main".to_owned()),
        Act::SecretShow(secret),
        Act::ImportTry,
        Act::SecretList,
        Act::FolderList,
        Act::RotationList,
        Act::RotationCalendar,
        Act::NoticeList,
        Act::TokenList,
        Act::RevocationList,
        Act::AuditList,
        Act::CatalogueReconcile,
        Act::EnvironmentList,
    ];
    assert_eq!(once.len() + 5, Act::COUNT, "secrets, versions, environments, key rotations and the registry follow");
    let once = once.into_iter().map(|act| (act.get_documentation().unwrap(), act.line(&origin)));
    let step = |step: &KeyStep| Act::KeyRotation(*step, "key".to_owned()).line(&origin);
    let steps = KeyStep::VARIANTS.iter().map(|known| (known.get_documentation().unwrap(), step(known)));
    let name = EnvironmentName::parse("dev").unwrap();
    let on_secret = |act: &SecretAct| Act::Secret(*act, secret, &path).line(&origin);
    let on_secrets = SecretAct::VARIANTS.iter().map(|known| (known.get_documentation().unwrap(), on_secret(known)));
    let on_version = |act: &VersionAct| Act::Version(*act, secret, vec![version]).line(&origin);
    let on_versions = VersionAct::VARIANTS.iter().map(|known| (known.get_documentation().unwrap(), on_version(known)));
    let act = |act: &EnvironmentAct| Act::Environment(*act, &name).line(&origin);
    let on_environments = EnvironmentAct::VARIANTS.iter().map(|known| (known.get_documentation().unwrap(), act(known)));
    let registry = |act: &RegistryAct| Act::Registry(*act, Some("id".to_owned())).line(&origin);
    let on_registry = RegistryAct::VARIANTS.iter().map(|known| (known.get_documentation().unwrap(), registry(known)));
    let once = once.chain(value::documented(&origin)).chain(secret_change::documented(&origin));
    let once = once.chain(response::documented(&origin));
    let acts: Vec<_> =
        once.chain(on_secrets).chain(on_versions).chain(on_environments).chain(on_registry).chain(steps).collect();
    let credential = CredentialId::generate();
    let outcomes = [
        Outcome::TokenRevoke(token),
        Outcome::SubjectRevoke(Subject::Person(PersonId::generate())),
        Outcome::CredentialRevoke(credential),
        Outcome::CredentialDisable(credential),
        Outcome::EnvironmentDisable(name.clone()),
        Outcome::SecretRevoke(secret),
        Outcome::VersionRevoke(secret, version),
        Outcome::SigningKeyRevoke(shared_proto::encoding::Bytes([0; 32])),
        Outcome::AllRevoke,
        Outcome::SecretUnpruned(secret, ErrorCode::Unavailable),
        Outcome::SecretKept(secret, ErrorCode::EnvironmentFrozen),
        Outcome::VersionsKept(secret, vec![version], ErrorCode::EnvironmentFrozen),
    ];
    assert_eq!(outcomes.len() + 1, Outcome::COUNT, "the registry follows");
    let outcomes = outcomes.into_iter().map(|outcome| (outcome.get_documentation().unwrap(), outcome.line(&origin)));
    let registry = RegistryOutcome::VARIANTS
        .iter()
        .map(|known| (known.get_documentation().unwrap(), Outcome::Registry(*known, "id".to_owned()).line(&origin)));
    let outcomes: Vec<_> = outcomes.chain(registry).collect();
    let text = reference("master-key-manager", &acts, &outcomes);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit-events/master-key-manager.md");
    if std::env::var_os("UPDATE_EVIDENCE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "UPDATE_EVIDENCE=1 writes it");
}
