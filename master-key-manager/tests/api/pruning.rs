//! Removal of destroyed secrets that are no longer kept.

use std::sync::Arc;

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::name::SecretPath;
use manager_registry::{Author, Deletion, KEPT_DAYS, Place, SecretRules};
use manager_store::NewPlace;
use master_key_manager::access::Asked;
use master_key_manager::catalogue::Pruning;
use rusqlite::Connection;
use serde_json::json;
use service_runtime::config::Mode;
use shared_proto::id::{SecretId, Version};

use crate::deletion::envelopes;
use crate::places::plant;
use crate::support::{Installed, Manager, Row, now, until};

const MANY: usize = 200;
const DAY: u64 = 86_400;

/// Gives secrets other rules, each at its path, as if somebody had.
pub(crate) async fn ruled(
    manager: &Manager,
    secrets: &[String],
    rules: &SecretRules,
    path: impl Fn(usize, SecretId) -> SecretPath,
) {
    let environment = manager.environment("dev");
    let view = manager.app.registry.now().await.unwrap();
    let place = |(index, secret): (usize, &String)| {
        let secret: SecretId = secret.parse().unwrap();
        let expected = view.state.place(secret).map_or(0, |place| place.number);
        let (path, rules) = (path(index, secret), rules.clone());
        NewPlace { secret, environment, expected, path, rules, details: None, if_revision: None }
    };
    let places: Vec<NewPlace> = secrets.iter().enumerate().map(place).collect();
    let changes = places.iter().map(|place| Place::changed(place.secret).into()).collect();
    let asked = Asked { changes, places: places.into(), events: Vec::new() };
    manager.app.revocations.change_places_as((Author::Operator, "test", now()), |_| Ok(asked)).await.unwrap();
}

/// Destroys secrets, as if they could have been taken back until this time.
async fn destroyed(manager: &Manager, secrets: &[String], recoverable_until: u64) {
    let deletion = Deletion { deleted_at: 1, recoverable_until, deleted_by: None, destroyed: true };
    let rules = SecretRules { deletion: Some(deletion), ..SecretRules::default() };
    ruled(manager, secrets, &rules, |_, secret| SecretPath::destroyed(secret)).await;
}

async fn stored(manager: &Manager, path: &str) -> String {
    manager.store_value(path, "v").await.expect(201).member("key_id")
}

async fn places(manager: &Manager) -> usize {
    manager.app.registry.now().await.unwrap().state.places().count()
}

fn rows(installed: &Installed) -> Vec<u32> {
    let database = Connection::open(installed.config.database()).unwrap();
    let count =
        |table: &str| database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    ["secrets", "versions", "envelopes", "search_secrets", "search_tags"].map(count).to_vec()
}

/// Goes on with maintenance until so many places have a record.
async fn pruned(manager: &Manager, at: &mut Pruning, left: usize) {
    for _ in 0..10 {
        manager.app.secret_keeper.prune_due(at, now(), || true).await.unwrap();
        if places(manager).await == left {
            return;
        }
    }
    panic!("{} places are left", places(manager).await);
}

#[actix_web::test]
async fn many_destroyed_secrets_leave_nothing_behind_and_their_rows_count_for_nothing_afterwards() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (plain, changed) = (stored(&manager, "plain").await, stored(&manager, "changed").await);
    let mut secrets = Vec::new();
    for chunk in (0..MANY).collect::<Vec<_>>().chunks(50) {
        let paths: Vec<String> = chunk.iter().map(|number| format!("many/{number}")).collect();
        secrets.extend(join_all(paths.iter().map(|path| stored(&manager, path))).await);
    }
    let copy = |when: &str| {
        let tables = ["secrets", "versions", "envelopes"];
        let copies = tables.map(|table| format!("CREATE TABLE {when}_{table} AS SELECT * FROM {table};"));
        plant(&installed, &copies.concat());
    };
    copy("new");
    let tagged =
        SecretRules { tags: serde_json::from_value(json!({"team": "pay"})).unwrap(), ..SecretRules::default() };
    ruled(&manager, std::slice::from_ref(&changed), &tagged, |_, _| SecretPath::parse("changed").unwrap()).await;
    for (index, chunk) in secrets.chunks(250).enumerate() {
        let path = |at: usize, _| SecretPath::parse(format!("many/{}", index * 250 + at)).unwrap();
        ruled(&manager, chunk, &tagged, path).await;
    }
    copy("tagged");
    for chunk in secrets.chunks(250) {
        destroyed(&manager, chunk, 5).await;
    }
    assert_eq!((places(&manager).await, rows(&installed)[0]), (MANY + 1, u32::try_from(MANY).unwrap() + 2));

    let mut at = Pruning::default();
    manager.app.secret_keeper.prune_due(&mut at, now(), || true).await.unwrap();
    assert_eq!(places(&manager).await, MANY + 1, "no record goes before the other rows are renewed");
    pruned(&manager, &mut at, 1).await;
    assert_eq!(rows(&installed), [2, 2, 2, 2, 1]);
    assert!(secrets.iter().all(|secret| envelopes(&installed, secret) == (0, 1)));
    for secret in [&plain, &changed] {
        manager.mint(secret).await.expect(201);
    }

    for when in ["new", "tagged"] {
        let back = ["secrets", "versions", "envelopes"].map(|table| {
            format!("INSERT INTO {table} SELECT * FROM {when}_{table} WHERE true ON CONFLICT DO NOTHING;")
        });
        plant(&installed, &back.concat());
        for secret in secrets.iter().step_by(97) {
            manager.mint(secret).await.expect(404).refused("secret_not_found");
            manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(404);
        }
        for secret in [&plain, &changed] {
            manager.mint(secret).await.expect(201);
        }
        let gone = ["versions", "envelopes", "secrets"]
            .map(|table| format!("DELETE FROM {table} WHERE secret_id NOT IN (SELECT secret_id FROM search_secrets);"));
        plant(&installed, &gone.concat());
    }
    manager.stop().await;
    let manager = installed.start().await;
    manager.mint(&plain).await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn nothing_is_removed_before_its_time_or_while_the_vault_or_a_freeze_keeps_it() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (young, old, closed) =
        (stored(&manager, "young").await, stored(&manager, "old").await, stored(&manager, "closed").await);
    let environment = manager.environment("dev");
    let active = stored(&manager, "active").await;
    // The database says so of each of them.
    destroyed(&manager, std::slice::from_ref(&young), now() - KEPT_DAYS * DAY + 1_000).await;
    destroyed(&manager, &[old.clone(), closed.clone()], 5).await;
    plant(&installed, "UPDATE secrets SET prune_at = 0");
    let unnamed = (old.parse().unwrap(), Version::new(9).unwrap());
    installed.vault.state().rows.insert(unnamed, Row::Foreign { environment });
    let mut at = Pruning::default();
    let keeper = Arc::clone(&manager.app.secret_keeper);
    keeper.prune_due(&mut at, now(), || true).await.unwrap();
    assert!(manager.app.registry.now().await.unwrap().state.place_floor() > 0, "the others are renewed first");

    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    keeper.prune_due(&mut at, now(), || true).await.unwrap();
    assert_eq!(places(&manager).await, 3, "a frozen environment keeps everything");
    manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    pruned(&manager, &mut at, 1).await;
    assert_eq!(envelopes(&installed, &old).0, 0, "what no row named is erased before the rows go");
    for secret in [&old, &closed] {
        manager.admin(Method::GET, &format!("/api/secrets/{secret}"), None).await.expect(404);
    }
    assert_eq!(manager.described(&young).await["state"], "destroyed");
    manager.mint(&active).await.expect(201);
    let lines = || {
        let text = std::fs::read_to_string(installed.config.audit_log()).unwrap();
        text.lines().filter(|line| line.contains("\"secret.prune\"")).count()
    };
    until("both have a line", async || lines() == 2).await;

    let last = stored(&manager, "last").await;
    destroyed(&manager, std::slice::from_ref(&last), 5).await;
    let vault_rows = installed.vault.state().rows.len();
    installed.vault.go_down().await;
    for _ in 0..3 {
        keeper.prune_due(&mut at, now(), || true).await.unwrap();
    }
    assert_eq!(
        (places(&manager).await, installed.vault.state().rows.len()),
        (2, vault_rows),
        "the vault was not heard"
    );
    manager.stop().await;
}

/// Nobody could see or close it, and it would count for ever.
#[actix_web::test]
async fn a_destroyed_secret_stays_until_its_incident_is_closed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "p").await;
    let body = json!({"kind": "compromise", "reason": "seen in a log"});
    let opened = manager.post(&format!("/api/secrets/{secret}:compromise"), body).await.expect(201).json();
    let incident = format!("/api/incidents/{}", opened["incident"]["incident_id"].as_str().unwrap());
    destroyed(&manager, std::slice::from_ref(&secret), 5).await;
    let mut at = Pruning::default();
    for _ in 0..4 {
        manager.app.secret_keeper.prune_due(&mut at, now(), || true).await.unwrap();
    }
    assert_eq!(places(&manager).await, 1);
    manager.admin(Method::GET, &incident, None).await.expect(200);
    let close = json!({"done": ["contain", "tell", "rotate", "report"], "close": true});
    manager.admin(Method::PATCH, &incident, Some(close)).await.expect(200);
    pruned(&manager, &mut at, 0).await;
    manager.stop().await;
}

#[actix_web::test]
async fn nothing_is_removed_without_a_durable_line() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "p").await;
    destroyed(&manager, std::slice::from_ref(&secret), 5).await;
    let mut at = Pruning::default();
    // The first rounds make the record one that can go.
    let view = async || manager.app.registry.now().await.unwrap();
    let number = view().await.state.place(secret.parse().unwrap()).unwrap().number;
    while view().await.state.place_floor() < number {
        manager.app.secret_keeper.prune_due(&mut at, now(), || true).await.unwrap();
    }
    manager.app.gate.audit.flush_and_close().await;
    manager.app.secret_keeper.prune_due(&mut at, now(), || true).await.unwrap();
    assert_eq!((places(&manager).await, rows(&installed)[0]), (1, 1));
    manager.stop().await;
    let manager = installed.start().await;
    pruned(&manager, &mut Pruning::default(), 0).await;
    manager.stop().await;
}

/// An envelope of a removed secret that a vault brings back from its backup is erased by its event, and not taken in.
#[actix_web::test]
async fn reconcile_does_not_take_in_what_a_removed_secret_had() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "p").await;
    let backup = installed.vault.state().rows.clone();
    destroyed(&manager, std::slice::from_ref(&secret), 5).await;
    pruned(&manager, &mut Pruning::default(), 0).await;
    installed.vault.state().rows = backup;
    let found = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!((&found["found"], &found["adopted"]), (&json!([]), &json!(0)));
    assert_eq!(rows(&installed)[0], 0);
    manager.stop().await;
}
