//! Databases of earlier schemas.

use manager_store::IdentityStore as _;
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use service_runtime::sql::Location;
use service_runtime::sqlite::{migrate, open_writer};

#[tokio::test]
async fn database_of_any_earlier_schema_gets_the_generation_of_its_credentials() {
    for steps in 0..SCHEMA.sqlite.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.db");
        let mut conn = open_writer(&path).unwrap();
        migrate(&mut conn, &SCHEMA.sqlite[..steps]).unwrap();
        drop(conn);
        let store = SqlStore::open(&Location::File(path), false).unwrap();
        assert_eq!(store.credential_generation().await, Ok(1), "{steps}");
    }
}
