//! The conformance kit on each engine, with jobs that run once and with jobs that run twice.

use std::path::{Path, PathBuf};

use manager_store::Bounds;
use manager_store::sql::SqlStore;
use manager_store::testing::{check_conformance, check_lists};
use service_runtime::sql::{Faults, Location, PostgresOptions};

#[tokio::test]
async fn sqlite_keeps_every_rule_also_when_jobs_run_twice() {
    for twice in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check_on(&Location::File(dir.path().join("manager.db")), twice).await, Ok(()));
    }
}

#[tokio::test]
async fn postgres_keeps_every_rule_also_when_jobs_run_twice() {
    for twice in [false, true] {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
        assert_eq!(check_on(&location, twice).await, Ok(()));
    }
}

/// With bounds that send the same query each of its ways.
const BOUNDS: [Bounds; 3] = [
    Bounds { scanned: 4, walked: 9, pool: 0 },
    Bounds { scanned: 300, walked: 50, pool: 20 },
    Bounds { scanned: 1_024, walked: 4_096, pool: 2_048 },
];

#[tokio::test]
async fn sqlite_finds_what_a_plain_look_finds() {
    for bounds in BOUNDS {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlStore::open(&Location::File(dir.path().join("manager.db")), true).unwrap();
        assert_eq!(check_lists(&store.with_bounds(bounds)).await, Ok(()), "{bounds:?}");
    }
}

#[tokio::test]
async fn postgres_finds_what_a_plain_look_finds() {
    // Each of its ways is gone; the bounds between are looked at on SQLite.
    for bounds in [BOUNDS[0], BOUNDS[2]] {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
        let store = SqlStore::open(&location, true).unwrap();
        assert_eq!(check_lists(&store.with_bounds(bounds)).await, Ok(()), "{bounds:?}");
    }
}

async fn check_on(location: &Location, twice: bool) -> Result<(), String> {
    let mut store = SqlStore::open(location, true).map_err(|error| error.to_string())?;
    if twice {
        let faults = Faults::default();
        faults.write_twice();
        store = store.with_faults(faults);
    }
    check_conformance(&store).await
}
