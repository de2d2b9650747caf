//! The conformance kit on each engine, with jobs that run once and with jobs that run twice.

use std::path::{Path, PathBuf};

use manager_store::sql::SqlStore;
use manager_store::testing::check_conformance;
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

async fn check_on(location: &Location, twice: bool) -> Result<(), String> {
    let mut store = SqlStore::open(location, true).map_err(|error| error.to_string())?;
    if twice {
        let faults = Faults::default();
        faults.write_twice();
        store = store.with_faults(faults);
    }
    check_conformance(&store).await
}
