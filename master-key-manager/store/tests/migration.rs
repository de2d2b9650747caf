//! Databases of earlier schemas.

use manager_policy::PolicyEpoch;
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use manager_store::{IdentityStore as _, PolicyStore as _};
use service_runtime::sql::Location;
use service_runtime::sqlite::{migrate, open_writer};

/// A copy to another engine begins with the schema, and takes every row there for one that must not be.
#[test]
fn no_step_writes_rows_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manager.db");
    let mut conn = open_writer(&path).unwrap();
    migrate(&mut conn, SCHEMA.sqlite).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut statement = conn.prepare(tables).unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(tables.len() > 10);
    for table in tables {
        let is_empty = !conn.prepare(&format!("SELECT 1 FROM {table}")).unwrap().exists([]).unwrap();
        assert!(is_empty, "{table}");
    }
    assert!(SCHEMA.postgres.iter().all(|step| !step.contains("INSERT")));
}

#[tokio::test]
async fn database_of_any_earlier_schema_gets_a_generation_of_credentials_and_a_policy_epoch() {
    for steps in 0..SCHEMA.sqlite.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.db");
        let mut conn = open_writer(&path).unwrap();
        migrate(&mut conn, &SCHEMA.sqlite[..steps]).unwrap();
        drop(conn);
        let store = SqlStore::open(&Location::File(path), false).unwrap();
        assert_eq!(store.credential_generation().await, Ok(1), "{steps}");
        assert_eq!(store.policy_epoch().await, Ok(PolicyEpoch(1)), "{steps}");
    }
}
