use std::path::{Path, PathBuf};

use service_runtime::sql::{Faults, Location, PostgresOptions};

use super::SqlStore;
use crate::store::check_conformance;

#[tokio::test]
async fn sqlite_keeps_every_rule_also_when_jobs_run_twice() {
    for twice in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        check_on(&Location::File(dir.path().join("manager.db")), twice).await;
    }
}

#[tokio::test]
async fn postgres_keeps_every_rule_also_when_jobs_run_twice() {
    for twice in [false, true] {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        check_on(&Location::new(Some(&kept.url()), Some(&options), base, file, false).unwrap(), twice).await;
    }
}

async fn check_on(location: &Location, twice: bool) {
    let mut store = SqlStore::open(location, true).unwrap();
    if twice {
        let faults = Faults::default();
        faults.write_twice();
        store = store.with_faults(faults);
    }
    assert_eq!(check_conformance(&store).await, Ok(()));
}
