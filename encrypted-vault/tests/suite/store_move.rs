//! The database moves to another engine, and back.

use std::path::{Path, PathBuf};
use std::thread;

use encrypted_vault::config::Config;
use encrypted_vault::store::SqlStore;
use service_runtime::StartError;
use service_runtime::process::DirectoryLock;
use service_runtime::sql::{Location, PostgresOptions};
use shared_proto::command::Operation;
use shared_proto::comparison::Likeness;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, VaultId};
use shared_proto::identity::Owner;
use shared_proto::wire::vault::{Settle, VersionName};
use test_postgres::Database as Kept;

use crate::support::World;

/// The work of the command, on a thread of its own as in its own process.
fn moves(from: &Config, to: &Config, id: VaultId) -> Result<(), StartError> {
    thread::scope(|scope| scope.spawn(|| SqlStore::migrate(from.moved(), to.moved(), id)).join().unwrap())
}

#[actix_web::test]
async fn vault_opens_after_a_move_what_it_opened_before_and_nothing_that_was_revoked() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let Owner::Vault(id) = world.document.id else { panic!("a vault") };
    let (draft, good) = (world.draft(&[secret]), world.token(&[secret]));
    assert_eq!(world.value(&good, &secret).await.unwrap(), "v");
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    let never = VersionName {
        environment: world.manager.environment,
        secret_id: SecretId::generate(),
        version: secret.version,
    };
    assert_eq!(world.order(Operation::Settle, &Settle { versions: vec![never], unused: false }).await.status, 200);
    world.stop().await;
    world
        .database()
        .execute("INSERT INTO retired_epochs (environment_id, epoch) VALUES (randomblob(16), 1)", [])
        .unwrap();
    let tables = [
        "installation",
        "envelopes",
        "wrapped_keys",
        "value_fingerprints",
        "tombstones",
        "events",
        "statements",
        "retired_epochs",
    ];

    let kept = Kept::create();
    let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
    let on_server =
        Location::new(Some(&kept.socket_url()), Some(&options), Path::new("/"), PathBuf::new(), false).unwrap();
    let old = world.config.clone();
    let new = Config { location: on_server, ..old.clone() };
    let running = DirectoryLock::acquire(&old.data_dir).unwrap();
    assert!(moves(&old, &new, id).unwrap_err().sentence.contains("in use by another process"));
    drop(running);
    assert!(moves(&old, &new, VaultId::generate()).unwrap_err().sentence.contains("another installation"));
    moves(&old, &new, id).unwrap();
    for table in tables {
        assert_ne!(
            kept.ask(&format!("SELECT count(*) FROM {table}")),
            "0",
            "a table without a row proves nothing: {table}"
        );
    }
    let count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'service_copy'";
    assert_eq!(kept.ask(count), tables.len().to_string());

    let refusal = world.start().await.err().unwrap().sentence;
    assert!(refusal.contains("was moved to postgres://"), "{refusal}");
    world.config = new.clone();
    world.vault = world.start().await.unwrap();
    assert_eq!(world.value(&good, &secret).await.unwrap(), "v");
    assert!(world.value(&draft.sign(), &secret).await.is_err());
    world.poll().await;
    let later = world.secret("w").await;
    world.stop().await;

    std::fs::rename(old.database(), old.data_dir.join("vault.db-moved")).unwrap();
    moves(&new, &old, id).unwrap();
    world.config = old;
    world.vault = world.start().await.unwrap();
    assert_eq!(world.value(&world.token(&[later]), &later).await.unwrap(), "w");
    for (kept, value) in [(secret, "v"), (later, "w")] {
        assert_eq!(world.guesses(&[(kept, value), (kept, "x")]).await, [Likeness::Same, Likeness::Different]);
    }
    assert!(world.value(&draft.sign(), &secret).await.is_err());
}
