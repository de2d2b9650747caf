//! Rows that somebody altered, as a comparison with the vault sees them, on both engines.

use manager_api::integrity::SecretFault;
use manager_api::wire::CatalogueState;
use manager_policy::{List, Operate, Permit};
use manager_store::{CHECKED_AT_ONCE, CatalogueRows, CheckedVersion, Erasure, IntegrityStore as _, RowOrigin};
use shared_proto::id::SecretId;

use super::{Catalogue, Engine};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// A look at a version.
type Look = fn(&CheckedVersion) -> bool;

/// Statements behind the store's back, each with what is seen of it.
const VERSIONS: [(&str, Look); 6] = [
    ("UPDATE versions SET note = 'planted'", |row| row.origin == RowOrigin::Altered),
    ("UPDATE versions SET created_at = 1", |row| row.origin == RowOrigin::Altered),
    ("UPDATE versions SET tag = NULL", |row| row.origin == RowOrigin::Untagged),
    ("UPDATE versions SET state = 'destroyed'", |row| {
        row.state == Some(CatalogueState::Destroyed) && row.erasure == Erasure::None && !row.is_used
    }),
    ("UPDATE envelopes SET state = 'abandoned'", |row| {
        row.kept.is_some_and(|kept| kept.state == Some(CatalogueState::Abandoned))
    }),
    ("UPDATE envelopes SET epoch = 7", |row| row.kept.is_some_and(|kept| kept.epoch == 7)),
];

const SECRETS: [(&str, SecretFault); 4] = [
    ("UPDATE secrets SET path = 'planted/there'", SecretFault::PlaceAltered),
    ("UPDATE secrets SET number = 1", SecretFault::PlaceAltered),
    ("UPDATE secrets SET details = '{\"description\":\"planted\"}'", SecretFault::DescriptionAltered),
    ("UPDATE secrets SET previous_version = 9", SecretFault::StageWithoutVersion),
];

async fn seen(all: &Catalogue, secret: SecretId) -> CatalogueRows {
    let list: Permit<List> = all.may();
    let one = all.store.rows_of(&list.to_look(), secret, None).await.unwrap();
    let operate: Permit<Operate> = all.may();
    let every = all.store.rows_after(&operate, None).await.unwrap();
    assert_eq!(one, every, "one secret is seen as all of them are");
    one
}

async fn one_secret(engine: Engine) -> (Catalogue, SecretId) {
    let all = Catalogue::on(engine).await;
    let secret = all.write("team/a").await;
    (all, secret)
}

#[tokio::test]
async fn rows_that_somebody_altered_are_told_from_those_of_the_manager_on_both_engines() {
    for engine in ENGINES {
        let (all, secret) = one_secret(engine).await;
        let clean = seen(&all, secret).await;
        let [version] = &clean.versions[..] else { panic!("{clean:?}") };
        assert!(version.origin == RowOrigin::Manager && version.is_used && version.environment.is_some());
        assert!(VERSIONS.iter().all(|(_, look)| !look(version)), "nothing is seen before: {version:?}");
        assert!(clean.secrets.iter().all(|row| row.faults.is_empty()) && clean.complete_to.is_none());
        all.close().await;
        for (plant, look) in VERSIONS {
            let (all, secret) = one_secret(engine).await;
            all.alter(plant).await;
            let found = seen(&all, secret).await;
            assert!(found.versions.iter().any(look), "{engine:?}: {plant}: {found:?}");
            all.close().await;
        }
        for (plant, fault) in SECRETS {
            let (all, secret) = one_secret(engine).await;
            all.alter(plant).await;
            let found = seen(&all, secret).await;
            assert!(found.secrets[0].faults.contains(&fault), "{engine:?}: {plant}: {found:?}");
            all.close().await;
        }
    }
}

#[tokio::test]
async fn pages_of_rows_are_bounded_and_lose_none_on_both_engines() {
    for engine in ENGINES {
        let all = Catalogue::on(engine).await;
        for number in 0..CHECKED_AT_ONCE + 3 {
            all.write(&format!("team/{number}")).await;
        }
        let operate: Permit<Operate> = all.may();
        let first = all.store.rows_after(&operate, None).await.unwrap();
        assert_eq!((first.versions.len(), first.secrets.len()), (CHECKED_AT_ONCE, CHECKED_AT_ONCE));
        let rest = all.store.rows_after(&operate, first.complete_to).await.unwrap();
        assert_eq!((rest.versions.len(), rest.secrets.len(), rest.complete_to), (3, 3, None));
        all.close().await;
    }
}
