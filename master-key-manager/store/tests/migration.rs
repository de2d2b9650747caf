//! Databases of earlier schemas.

use std::path::{Path, PathBuf};

use manager_policy::PolicyEpoch;
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use manager_store::{EnvironmentStore as _, IdentityStore as _, PolicyStore as _};
use service_runtime::sql::{Database, Location, PostgresOptions, Schema};
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

/// As `init` of the release before environments were living.
async fn made_before(location: &Location, schema: &Schema) -> Result<(), String> {
    let database = Database::open(location, schema, true).map_err(text)?;
    let made = database.write("made_before", |tx| {
        let names = [("staging", [1_u8; 16]), ("dev", [2; 16]), ("production", [3; 16])];
        for (name, id) in names {
            tx.execute("INSERT INTO environments (environment_id, name) VALUES (?1, ?2)", &[&id, &name])?;
        }
        tx.execute(
            "INSERT INTO credentials (credential_id, subject, created_at) VALUES (?1, ?2, ?3)",
            &[&[4_u8; 16], &"svc_BAQEBAQEBAQEBAQEBAQEBA", &77_u64],
        )
    });
    made.await.map_err(text)?;
    database.close().await;
    Ok(())
}

async fn expect_them_living(location: &Location) -> Result<(), String> {
    let found = SqlStore::open(location, false).map_err(text)?.environments().await.map_err(text)?;
    for one in &found {
        assert_eq!((one.closed(), one.max_token_life_seconds, one.created_at), (None, 2_700, 77));
    }
    let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.ordinal, one.display_name.as_str())).collect();
    assert_eq!(found, [("dev", 1, "dev"), ("production", 3, "production"), ("staging", 2, "staging")]);
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[tokio::test]
async fn environments_of_an_earlier_schema_are_living_ones_afterwards() {
    for steps in 1..SCHEMA.sqlite.len() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::File(dir.path().join("manager.db"));
        made_before(&location, &Schema { sqlite: &SCHEMA.sqlite[..steps], ..SCHEMA }).await.unwrap();
        expect_them_living(&location).await.unwrap();
    }
}

#[tokio::test]
async fn environments_of_an_earlier_schema_are_living_ones_afterwards_on_postgres_too() {
    for steps in 1..SCHEMA.postgres.len() {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
        made_before(&location, &Schema { postgres: &SCHEMA.postgres[..steps], ..SCHEMA }).await.unwrap();
        expect_them_living(&location).await.unwrap();
    }
}
