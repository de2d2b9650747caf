//! Databases of earlier schemas.

use std::path::{Path, PathBuf};

use manager_api::name::AccountName;
use manager_registry::{Record, RoleAssignment, Service};
use manager_store::sql::SqlStore;
use manager_store::sql::schema::SCHEMA;
use manager_store::{EnvironmentStore as _, RegistryStore as _, Vouched};
use service_runtime::sql::{Database, Location, PostgresOptions, Schema};
use service_runtime::sqlite::{migrate, open_writer};
use shared_proto::id::ServiceId;

/// A copy to another engine begins with the schema, and takes every row there for one that must not be.
#[test]
fn no_step_writes_rows_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manager.db");
    let mut conn = open_writer(&path).unwrap();
    migrate(&mut conn, SCHEMA.sqlite).unwrap();
    // The index of names keeps rows about itself; a copy leaves it out.
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 13) <> 'search_names_'";
    let mut statement = conn.prepare(tables).unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(tables.len() > 10);
    for table in tables {
        let is_empty = !conn.prepare(&format!("SELECT 1 FROM {table}")).unwrap().exists([]).unwrap();
        assert!(is_empty, "{table}");
    }
    // `INSERT … SELECT` gives rows that are there another form.
    assert!(SCHEMA.postgres.iter().all(|step| !step.contains("VALUES")));
}

#[tokio::test]
async fn database_of_any_earlier_schema_has_no_registry_until_the_service_takes_its_credentials_over() {
    for steps in 1..SCHEMA.sqlite.len() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.db");
        let mut conn = open_writer(&path).unwrap();
        migrate(&mut conn, &SCHEMA.sqlite[..steps]).unwrap();
        let insert = "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, ?2, ?3, 7)";
        let administrator = "svc_BAQEBAQEBAQEBAQEBAQEBA";
        conn.execute(insert, rusqlite::params![[4_u8; 16], administrator, Some([5_u8; 32])]).unwrap();
        conn.execute(insert, rusqlite::params![[6_u8; 16], "svc_BgYGBgYGBgYGBgYGBgYGBg", None::<[u8; 32]>]).unwrap();
        drop(conn);
        let store = SqlStore::open(&Location::File(path), false).unwrap();
        let rows = store.registry(0).await.unwrap();
        assert!(rows.records.is_empty() && rows.log.is_empty(), "{steps}");
        let id: ServiceId = administrator.parse().unwrap();
        let service = Service::new(id, AccountName::parse("administrator").unwrap(), 7);
        let expected = [Record::from(service), RoleAssignment::administrator(id, 7).unwrap().into()];
        assert!(expected.iter().all(|record| rows.former.contains(record)), "{steps}: {:?}", rows.former);
        assert_eq!(rows.former.len(), 4, "{steps}");
        assert_eq!(store.registry_number().await, Ok(0), "{steps}");
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
    let store = SqlStore::open(location, false).map_err(text)?;
    assert!(store.environments().await.is_err(), "nobody has vouched for them");
    vouch(&store).await?;
    let found = store.environments().await.map_err(text)?;
    for one in &found {
        assert_eq!((one.closed(), one.max_token_life_seconds, one.created_at), (None, 2_700, 77));
    }
    let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.ordinal, one.display_name.as_str())).collect();
    assert_eq!(found, [("dev", 1, "dev"), ("production", 3, "production"), ("staging", 2, "staging")]);
    Ok(())
}

/// As an operator does who takes a database over, a few rows at a time.
async fn vouch(store: &SqlStore) -> Result<(), String> {
    while store.vouch(Vouched::All, 2).await.map_err(text)? > 0 {}
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[tokio::test]
async fn environments_of_an_earlier_schema_are_living_ones_afterwards() {
    for steps in 1..6 {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::File(dir.path().join("manager.db"));
        made_before(&location, &Schema { sqlite: &SCHEMA.sqlite[..steps], ..SCHEMA }).await.unwrap();
        expect_them_living(&location).await.unwrap();
    }
}

#[tokio::test]
async fn environments_of_an_earlier_schema_are_living_ones_afterwards_on_postgres_too() {
    for steps in 1..2 {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
        made_before(&location, &Schema { postgres: &SCHEMA.postgres[..steps], ..SCHEMA }).await.unwrap();
        expect_them_living(&location).await.unwrap();
    }
}

#[cfg(test)]
mod own_envelopes {
    use std::path::{Path, PathBuf};

    use manager_store::sql::SqlStore;
    use manager_store::sql::schema::SCHEMA;
    use manager_store::{CatalogueStore as _, ManagerStore as _, RotationStore as _};
    use service_runtime::sql::{Database, Location, PostgresOptions, Schema, SqlError, Tx};
    use shared_proto::id::{EnvironmentId, SecretId, Version};

    /// The steps before versions pointed to envelopes, on SQLite and on PostgreSQL.
    const OWN_ENVELOPES: (usize, usize) = (6, 2);

    const ENVIRONMENT: [u8; 16] = [1; 16];
    const SECRET: [u8; 16] = [2; 16];
    const CREDENTIAL: [u8; 16] = [3; 16];
    /// Number, state and epoch.
    const VERSIONS: [(u64, &str, u64); 4] =
        [(1, "committed", 1), (2, "abandoned", 1), (3, "destroyed", 1), (4, "pending", 2)];

    #[tokio::test]
    async fn versions_of_an_earlier_sqlite_database_have_their_own_envelopes() {
        let dir = tempfile::tempdir().unwrap();
        check(&Location::File(dir.path().join("manager.db"))).await;
    }

    #[tokio::test]
    async fn versions_of_an_earlier_postgres_database_have_their_own_envelopes() {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        check(&Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap()).await;
    }

    async fn check(location: &Location) {
        let (sqlite, postgres) = (&SCHEMA.sqlite[..OWN_ENVELOPES.0], &SCHEMA.postgres[..OWN_ENVELOPES.1]);
        let earlier = Database::open(location, &Schema { sqlite, postgres, ..SCHEMA }, true).unwrap();
        earlier.write("fill", fill).await.unwrap();
        earlier.close().await;
        drop(earlier);

        let database = Database::open(location, &SCHEMA, false).unwrap();
        let rows = database.read("rows", |tx| {
            tx.all(
                "SELECT v.version, v.envelope, v.state, e.state, e.epoch, e.digest, v.created_at
                 FROM versions v JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
                 ORDER BY v.version",
                &[],
                |row| {
                    let numbers: (u64, u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(4)?, row.get(6)?);
                    Ok((numbers, row.get::<String>(2)?, row.get::<String>(3)?, row.get::<[u8; 32]>(5)?))
                },
            )
        });
        let expected = VERSIONS.map(|(number, state, epoch)| {
            ((number, number, epoch, 100 + number), state.to_owned(), state.to_owned(), digest(number))
        });
        assert_eq!(rows.await.unwrap(), expected);
        let lacking = database.read("lacking", |tx| {
            tx.all("SELECT envelope, epoch FROM lacking_envelopes", &[], |row| {
                Ok((row.get::<u64>(0)?, row.get::<u64>(1)?))
            })
        });
        assert_eq!(lacking.await.unwrap(), [(1, 2)]);

        let store = SqlStore::on(database);
        let (environment, secret) = (EnvironmentId::from_bytes(ENVIRONMENT), SecretId::from_bytes(SECRET));
        assert_eq!(store.secret_to_settle(secret).await, Ok(None), "nobody has vouched for its place");
        super::vouch(&store).await.unwrap();
        let state = store.secret_to_settle(secret).await.unwrap().unwrap();
        assert_eq!((state.last, state.created_at), (Some(Version::new(4).unwrap()), 99));
        let [pending] = store.pending(9).await.unwrap()[..] else { panic!("one version is pending") };
        assert!(pending.has_own_envelope() && pending.digest.0 == digest(4) && state.pending == [pending]);
        assert_eq!(store.open_below(environment, 2).await, Ok(0), "the committed one is lacking since epoch 2");
        assert_eq!(store.open_below(environment, 3).await, Ok(2));
        let below = store.envelopes_below((environment, 3), None, 9).await.unwrap();
        assert_eq!(below.iter().map(|row| row.envelope.get()).collect::<Vec<_>>(), [1]);
        store.close().await;
    }

    fn fill(tx: &mut Tx<'_>) -> Result<(), SqlError> {
        let environment = "INSERT INTO environments (environment_id, name, display_name) VALUES (?1, 'dev', 'dev')";
        tx.execute(environment, &[&ENVIRONMENT])?;
        tx.execute(
            "INSERT INTO secrets (secret_id, environment_id, path, created_at) VALUES (?1, ?2, 'a/b', 99)",
            &[&SECRET, &ENVIRONMENT],
        )?;
        for (number, state, epoch) in VERSIONS {
            tx.execute(
                "INSERT INTO versions (secret_id, version, state, epoch, digest, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                &[&SECRET, &number, &state, &epoch, &digest(number), &(100 + number)],
            )?;
        }
        tx.execute("INSERT INTO lacking_versions (secret_id, version, epoch) VALUES (?1, 1, 2)", &[&SECRET])?;
        tx.execute(
            "INSERT INTO idempotency (subject, key, secret_id, version, created_at) VALUES ('s', 'k', ?1, 1, 100)",
            &[&SECRET],
        )?;
        tx.execute(
            "INSERT INTO credentials (credential_id, subject, hmac, created_at) VALUES (?1, 's', ?2, 99)",
            &[&CREDENTIAL, &[4_u8; 32]],
        )?;
        tx.execute(
            "INSERT INTO tokens (jti, subject, credential_id, environment_id, grants, rseq, issued_at, expires_at)
             VALUES (?1, 's', ?2, ?3, '[]', 0, 100, 1000)",
            &[&[5_u8; 16], &CREDENTIAL, &ENVIRONMENT],
        )
        .map(|_rows| ())
    }

    fn digest(number: u64) -> [u8; 32] {
        [u8::try_from(number).unwrap(); 32]
    }
}
