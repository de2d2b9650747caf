//! The list of secrets over a large catalogue of which its caller sees a small part, on both engines.

#[cfg(test)]
mod large {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Instant;

    use manager_api::id::PermissionId;
    use manager_api::name::{AccountName, EnvironmentName};
    use manager_api::tags::Tags;
    use manager_policy::{Action, Effect, Facts, Line, Note, Party, Period, Permission, Reach, State, Visible};
    use manager_registry::{
        Author, Change, Credential, Proof, Record, RegistryKey, RowKey, RowKind, Service, Snapshot,
    };
    use manager_store::sql::SqlStore;
    use manager_store::sql::schema::SCHEMA;
    use manager_store::{
        CatalogueStore as _, Environment, Installation, InstallationStore as _, NewInstallation, SCANNED_AT_ONCE,
    };
    use service_runtime::sql::{Database, Location, PostgresOptions, Tx};
    use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, SecretId, ServiceId, Subject, Version};
    use shared_proto::identity::Mode;

    const KEY: [u8; 32] = [8; 32];
    const NOW: u64 = 1_000;
    /// Secrets that the caller does not see, in folders before and behind his, and in his own.
    const HIDDEN: u64 = 100_000;
    const SEEN: u64 = 100;
    const ENVIRONMENT: [u8; 16] = [5; 16];

    /// Secrets of other folders, made by the engine itself: `a…` before the caller's, `z…` behind it.
    const MANY_SQLITE: &[&str] = &[
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
     INSERT INTO secrets (secret_id, environment_id, path, created_at)
     SELECT CAST(printf('%016d', i) AS BLOB), ?2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || printf('/%d', i), 1 FROM n",
];
    const MANY_POSTGRES: &[&str] = &["INSERT INTO secrets (secret_id, environment_id, path, created_at)
     SELECT convert_to(lpad(i::text, 16, '0'), 'UTF8'), ?2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || '/' || i, 1
     FROM generate_series(1, ?1) AS n (i)"];
    const VERSIONS: &[&str] = &[
        "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest)
     SELECT secret_id, 1, 'committed', 1, ?1 FROM secrets",
        "INSERT INTO versions (secret_id, version, envelope, state, created_at)
     SELECT secret_id, 1, 1, 'committed', 1 FROM secrets",
    ];

    struct Caller {
        facts: Facts,
        state: Snapshot,
        credential: CredentialId,
        subject: Subject,
    }

    impl Caller {
        fn sees(&self, patterns: &[&str]) -> Visible {
            let line = |pattern: &&str| {
                Arc::new(Line::Permission(Permission {
                    id: PermissionId::generate(),
                    party: Party::Principal(self.subject),
                    effect: Effect::Allow,
                    actions: [Action::List].into_iter().collect(),
                    reach: Reach { environment: None, pattern: pattern.parse().unwrap() },
                    condition: Tags::default(),
                    period: Period::ALWAYS,
                    note: Note { author: None, reason: None },
                }))
            };
            let state = State { lines: patterns.iter().map(line).collect(), ..self.facts.state().clone() };
            let actor = self.state.actor(self.credential, NOW).unwrap();
            Visible::decide(&Facts::new(self.facts.epoch(), state), &actor, NOW)
        }
    }

    /// A catalogue with many secrets.
    async fn filled(location: &Location, many: &'static [&'static str]) -> (Database, SqlStore, Caller) {
        let database = Database::open(location, &SCHEMA, true).unwrap();
        let store = SqlStore::on(database.clone()).with_key(RowKey::new(&KEY));
        let id = ServiceId::generate();
        let (subject, credential) = (Subject::Service(id), CredentialId::generate());
        let records = [
            Record::from(Service::new(id, AccountName::parse("reader").unwrap(), NOW)),
            Credential::new(credential, subject, Proof::opaque([1; 32]), NOW).into(),
        ];
        let by = (Author::Operator, "", NOW);
        let changes = records.map(Change::from).to_vec();
        let first = Snapshot::empty().propose(changes, by, 0, &RegistryKey::new(&[3; 32])).unwrap();
        let environment = EnvironmentId::from_bytes(ENVIRONMENT);
        let new = NewInstallation {
            installation: Installation {
                mode: Mode::Production,
                manager: ManagerId::generate(),
                anonymous: CredentialId::generate(),
            },
            environments: vec![Environment::new(environment, EnvironmentName::parse("dev").unwrap(), 1, NOW)],
            registry: first.rows,
        };
        store.install(new).await.unwrap();
        let key = RowKey::new(&KEY);
        let fill = move |tx: &mut Tx<'_>| {
            for sql in many {
                tx.execute(sql, &[&HIDDEN, &ENVIRONMENT])?;
            }
            for number in 0..SEEN {
                let (secret, path) = (SecretId::generate(), format!("team/{number:03}/key"));
                let tag = key.tag(RowKind::Place, &[secret.as_bytes(), &ENVIRONMENT, path.as_bytes()]);
                tx.execute(
                    "INSERT INTO secrets (secret_id, environment_id, path, tag, created_at) VALUES (?1, ?2, ?3, ?4, 1)",
                    &[&secret.as_bytes(), &ENVIRONMENT, &path, &tag],
                )?;
            }
            tx.execute(VERSIONS[0], &[&[0_u8; 32]])?;
            tx.execute(VERSIONS[1], &[]).map(|_rows| ())
        };
        database.write("fill", fill).await.unwrap();
        let (facts, state) = (first.after.facts(false), first.after);
        (database, store, Caller { facts, state, credential, subject })
    }

    /// The paths of all pages, and how many pages there were.
    async fn read(store: &SqlStore, visible: &Visible, limit: usize) -> (Vec<String>, usize) {
        let (mut paths, mut pages, mut after): (_, _, Option<(SecretId, Version)>) = (Vec::new(), 0, None);
        loop {
            let page = store.secrets(visible, None, after, limit).await.unwrap().unwrap();
            pages += 1;
            paths.extend(page.rows.iter().map(|row| row.path.as_str().to_owned()));
            match page.next {
                Some(next) => after = Some(next),
                None => return (paths, pages),
            }
        }
    }

    async fn check(store: &SqlStore, caller: &Caller, engine: &str) {
        let seen: Vec<String> = (0..SEEN).map(|number| format!("team/{number:03}/key")).collect();
        let begun = Instant::now();
        let (paths, pages) = read(store, &caller.sees(&["team/**"]), 30).await;
        println!("{engine}: {pages} pages of his own folder in {:?}", begun.elapsed());
        // Nothing of the folders around his is looked at: each page is full, and the last one ends the list.
        assert_eq!((paths, pages), (seen.clone(), 4));
        let (paths, pages) =
            read(store, &caller.sees(&["team/001/key", "nobody/**", "team/01/**", "team/010/**"]), 100).await;
        assert_eq!((paths, pages), (vec![seen[1].clone(), seen[10].clone()], 1));
        // A pattern without a beginning: all rows are looked at, a bounded number for each page.
        let begun = Instant::now();
        let (paths, pages) = read(store, &caller.sees(&["*/*/key"]), 100).await;
        println!("{engine}: {pages} pages of everything in {:?}", begun.elapsed());
        assert_eq!(paths, seen);
        let all = usize::try_from(HIDDEN + SEEN).unwrap();
        assert!(pages >= all / SCANNED_AT_ONCE && pages <= all / SCANNED_AT_ONCE + 3, "{pages}");
    }

    const LIST: &str =
        "SELECT s.secret_id, s.environment_id, s.path, s.number, s.rules, s.tag, v.version, v.envelope, v.state, v.created_at
    FROM secrets s CROSS JOIN versions v
    WHERE s.environment_id = ?1 AND s.path >= ?2 AND s.path < ?3 AND v.secret_id = s.secret_id
    ORDER BY s.path, v.version LIMIT ?4";

    /// The statement is the one that the store uses.
    #[test]
    fn explained_statement_is_that_of_the_list() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert!(words(include_str!("../src/sql/lists.rs")).contains(&words(LIST)));
    }

    #[tokio::test]
    async fn a_small_part_of_a_large_catalogue_is_read_alone() {
        let dir = tempfile::tempdir().unwrap();
        let location = Location::File(dir.path().join("manager.db"));
        let (database, store, caller) = filled(&location, MANY_SQLITE).await;
        check(&store, &caller, "SQLite").await;
        let plan = database.read("plan", |tx| {
        let sql = concat!(
            "EXPLAIN QUERY PLAN SELECT s.secret_id, s.environment_id, s.path, s.number, s.rules, s.tag, v.version, v.envelope, v.state, ",
            "v.created_at FROM secrets s CROSS JOIN versions v WHERE s.environment_id = ?1 AND s.path >= ?2 AND ",
            "s.path < ?3 AND v.secret_id = s.secret_id ORDER BY s.path, v.version LIMIT ?4"
        );
        tx.all(sql, &[&ENVIRONMENT, &"team/", &"team0", &9_u64], |row| row.get::<String>(3))
    });
        let plan = plan.await.unwrap().join("; ");
        assert!(plan.contains("SEARCH s USING INDEX") && plan.contains("SEARCH v USING PRIMARY KEY"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN"), "{plan}");
        manager_store::ManagerStore::close(&store).await;
    }

    #[tokio::test]
    async fn a_small_part_of_a_large_catalogue_is_read_alone_on_postgres_too() {
        let kept = test_postgres::Database::create();
        let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
        let (base, file) = (Path::new("/"), PathBuf::new());
        let location = Location::new(Some(&kept.socket_url()), Some(&options), base, file, false).unwrap();
        let (database, store, caller) = filled(&location, MANY_POSTGRES).await;
        database
            .write("analyze", |tx| tx.execute("ANALYZE secrets", &[]).and_then(|_| tx.execute("ANALYZE versions", &[])))
            .await
            .unwrap();
        check(&store, &caller, "PostgreSQL").await;
        let plan = database.read("plan", |tx| {
            let sql = concat!(
                "EXPLAIN SELECT s.secret_id, s.environment_id, s.path, s.number, s.rules, s.tag, v.version, v.envelope, v.state, ",
                "v.created_at FROM secrets s CROSS JOIN versions v WHERE s.environment_id = ?1 AND s.path >= ?2 AND ",
                "s.path < ?3 AND v.secret_id = s.secret_id ORDER BY s.path, v.version LIMIT ?4"
            );
            tx.all(sql, &[&ENVIRONMENT, &"a/", &"a0", &100_u64], |row| row.get::<String>(0))
        });
        let plan = plan.await.unwrap().join("; ");
        assert!(plan.contains("Index Scan") && !plan.contains("Seq Scan"), "{plan}");
        manager_store::ManagerStore::close(&store).await;
    }
}
