//! Databases of earlier schemas.

use manager_policy::PolicyEpoch;
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use manager_store::{IdentityStore as _, PolicyStore as _};
use service_runtime::sql::Location;
use service_runtime::sqlite::{migrate, open_writer};

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
