//! Environments that are made, frozen and disabled while the service runs.

use std::os::unix::fs::PermissionsExt as _;

use actix_web::http::Method;
use manager_policy::{Permit, Scope};
use manager_store::{CatalogueStore as _, EnvironmentChange, EnvironmentStore as _};
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;
use shared_proto::event::Event;

use crate::support::{Answer, Installed, Manager, until};

async fn make(manager: &Manager, name: &str) -> Answer {
    manager.post("/api/environments", json!({"name": name})).await
}

async fn turn(manager: &Manager, name: &str, verb: &str) -> Answer {
    manager.admin(Method::POST, &format!("/api/environments/{name}:{verb}"), None).await
}

async fn show(manager: &Manager, name: &str) -> Answer {
    manager.admin(Method::GET, &format!("/api/environments/{name}"), None).await
}

async fn store(manager: &Manager, environment: &str, path: &str) -> Answer {
    let body = json!({"user_id": "u", "key_data": "v", "path": path, "environment": environment});
    manager.post("/api/keys", body).await
}

async fn mint(manager: &Manager, secret: &str) -> Answer {
    manager.post("/api/tokens", json!({"secrets": [{"key_id": secret}]})).await
}

/// The names of the root keys' files, without those of `init`.
fn new_keys(installed: &Installed, manager: &Manager) -> Vec<String> {
    let old = ["dev", "staging", "production"].map(|name| manager.environment(name).to_string());
    let files = std::fs::read_dir(installed.file("root-keys")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !old.iter().any(|id| name.starts_with(id))).collect()
}

/// Changes an environment in the database, as another process would.
pub(crate) async fn another_process(
    manager: &Manager,
    name: &str,
) -> impl FnOnce(EnvironmentChange) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + use<> {
    let (store, environment) = (manager.store.clone(), manager.environment(name));
    let view = manager.app.registry.now().await.unwrap();
    let now = SystemClock.now();
    let known = view.state.administrators(&view.facts, now).next().unwrap();
    let actor = view.state.actor(known, now).unwrap();
    let permit = Permit::decide(&view.facts, &actor, &Scope::Environment(environment), now).unwrap();
    move |change| {
        Box::pin(async move {
            assert!(store.change_environment(&permit, environment, change).await.unwrap().is_some());
        })
    }
}

#[actix_web::test]
async fn an_environment_is_made_with_a_root_key_and_used_without_a_restart() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    store(&manager, "lab", "p").await.expect(400).refused("name_invalid");
    let body = json!({"name": "lab", "display_name": "Labor für Tests", "max_token_life_seconds": 60});
    let made = manager.post("/api/environments", body).await.expect(201);
    let id = made.member("environment_id");
    assert_eq!(made.json()["ordinal"], 4);
    assert_eq!(made.json()["root_key_epoch"], 1);
    let key = installed.file(&format!("root-keys/{id}.1.key"));
    assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(new_keys(&installed, &manager), [format!("{id}.1.key")]);
    let stored = store(&manager, "lab", "p").await.expect(201);
    assert_eq!(installed.vault.open(&stored.member("access_token"))[0].expose(), b"v");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for token in [stored.json(), mint(&manager, &stored.member("key_id")).await.expect(201).json()] {
        assert!(token["expires_at"].as_u64().unwrap() <= now + 61, "{token}");
    }
    assert_eq!(show(&manager, "lab").await.expect(200).json(), made.json());
    make(&manager, "lab").await.expect(409).refused("already_exists");
    make(&manager, "Lab").await.expect(400).refused("name_invalid");
    for missing in ["lap", "LAB"] {
        show(&manager, missing).await.expect(404);
    }
    let list = manager.admin(Method::GET, "/api/environments?limit=2", None).await.expect(200).json();
    let names = |list: &Value| -> Vec<String> {
        let all = list["environments"].as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&list), ["dev", "lab"]);
    let next = format!("/api/environments?limit=2&after={}", list["next"].as_str().unwrap());
    let list = manager.admin(Method::GET, &next, None).await.expect(200).json();
    assert_eq!(names(&list), ["production", "staging"]);
    let ordinals = |list: &Value| {
        list["environments"].as_array().unwrap().iter().map(|one| one["ordinal"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ordinals(&list), [3, 2]);
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(show(&manager, "lab").await.expect(200).json(), made.json());
    store(&manager, "lab", "p").await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_name_that_two_want_at_once_is_one_environment_with_one_key() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let all = futures_util::future::join_all((0..8).map(|_| make(&manager, "lab"))).await;
    let mut statuses: Vec<u16> = all.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(new_keys(&installed, &manager).len(), 1);
    store(&manager, "lab", "p").await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_creation_cut_short_leaves_a_whole_environment_or_none() {
    let points = [(KillPoint::Before("create_environment"), false), (KillPoint::After("create_environment"), true)];
    for (point, is_made) in points {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        manager.faults.kill_at(point);
        make(&manager, "lab").await.expect(503);
        assert!(manager.faults.is_dead(), "{point:?}");
        let left = new_keys(&installed, &manager);
        assert!(matches!(left.as_slice(), [one] if one.ends_with(".1.unconfirmed.key")), "{point:?}: {left:?}");
        // The folder is followed meanwhile, and nobody else touches the key of what is being made.
        manager.app.keys.reload().unwrap();
        assert_eq!(new_keys(&installed, &manager), left);
        manager.stop().await;
        // A command beside the service looks at the folder and changes nothing.
        let status = installed.rotates(&["status"]);
        assert!(status.contains("root-key"), "{status}");
        assert_eq!(std::fs::read_dir(installed.file("root-keys")).unwrap().count(), 4);

        let manager = installed.start().await;
        let keys = new_keys(&installed, &manager);
        if is_made {
            assert!(
                matches!(keys.as_slice(), [one] if one.ends_with(".1.key") && !one.contains("unconfirmed")),
                "{keys:?}"
            );
            assert_eq!(show(&manager, "lab").await.expect(200).json()["root_key_epoch"], 1);
            make(&manager, "lab").await.expect(409).refused("already_exists");
        } else {
            assert_eq!(keys, left, "{point:?}: it may be of an environment that a restored database lacks");
            show(&manager, "lab").await.expect(404).refused("environment_not_found");
            make(&manager, "lab").await.expect(201);
            assert_eq!(new_keys(&installed, &manager).len(), 2, "{point:?}");
        }
        store(&manager, "lab", "p").await.expect(201);
        manager.stop().await;
    }
}

#[actix_web::test]
async fn a_creation_whose_answer_was_lost_is_finished_by_the_next_one() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.faults.set(service_runtime::sql::Fault::AnswersLost);
    make(&manager, "lab").await.expect(503).refused("outcome_unknown");
    manager.faults.set(service_runtime::sql::Fault::WritesFail);
    make(&manager, "other").await.expect(503);
    manager.faults.set(service_runtime::sql::Fault::None);
    make(&manager, "lab").await.expect(409).refused("already_exists");
    assert_eq!(new_keys(&installed, &manager).len(), 1, "the key of a refused one is destroyed");
    store(&manager, "lab", "p").await.expect(201);
    manager.stop().await;
}

#[actix_web::test]
async fn a_frozen_environment_keeps_its_tokens_and_takes_and_gives_nothing_new() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let before = store(&manager, "dev", "p").await.expect(201);
    let other = store(&manager, "staging", "p").await.expect(201);
    let frozen = turn(&manager, "dev", "freeze").await.expect(200).json();
    assert_eq!(turn(&manager, "dev", "freeze").await.expect(200).json(), frozen, "a repeat changes nothing");
    for path in ["p", "new"] {
        store(&manager, "dev", path).await.expect(409).refused("environment_frozen");
    }
    mint(&manager, &before.member("key_id")).await.expect(409).refused("environment_frozen");
    mint(&manager, &other.member("key_id")).await.expect(201);
    assert_eq!(installed.vault.applied(), [], "no token is revoked");
    // Two versions, and neither of them a new one.
    assert_eq!(installed.vault.state().batches.iter().sum::<usize>(), 2);
    manager.stop().await;
    let manager = installed.start().await;
    mint(&manager, &before.member("key_id")).await.expect(409).refused("environment_frozen");
    let thawed = turn(&manager, "dev", "unfreeze").await.expect(200).json();
    assert_eq!(thawed.get("frozen_at"), None);
    mint(&manager, &before.member("key_id")).await.expect(201);
    assert_eq!(store(&manager, "dev", "p").await.expect(201).json()["version"], 2);
    turn(&manager, "nowhere", "freeze").await.expect(404).refused("environment_not_found");
    turn(&manager, "dev", "melt").await.expect(405);
    manager.stop().await;
}

#[actix_web::test]
async fn a_freeze_that_comes_while_a_value_travels_ends_the_write_without_a_token() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let other = another_process(&manager, "dev").await;
    manager.faults.after_calls("begin", 1, move || other(EnvironmentChange::Freeze(1)));
    let late = store(&manager, "dev", "p").await.expect(409).refused("environment_frozen").json();
    let listed = manager.admin(Method::GET, "/api/secrets", None).await.expect(200).json()["secrets"][0].clone();
    let written = (&listed["key_id"], &listed["stages"]["current"]);
    assert_eq!((&late["key_id"], &late["version"]), written, "it says what is stored");
    assert!(manager.store.pending(9).await.unwrap().is_empty(), "what the vault has is in the catalogue");
    let tokens = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    assert_eq!(tokens["tokens"], json!([]));
    // The list in memory does not know of the freeze: the transaction decides.
    store(&manager, "dev", "p").await.expect(409).refused("environment_frozen");
    assert_eq!(installed.vault.state().batches.iter().sum::<usize>(), 1);
    manager.stop().await;
}

#[actix_web::test]
async fn a_disabled_environment_loses_its_tokens_and_can_be_enabled_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = store(&manager, "dev", "p").await.expect(201);
    let done = turn(&manager, "dev", "disable").await.expect(200);
    assert_eq!((done.member("status"), done.json()["sequence"].as_u64()), ("revoked".to_owned(), Some(1)));
    assert_eq!(installed.vault.applied(), [Event::Environment(manager.environment("dev"))]);
    store(&manager, "dev", "p").await.expect(409).refused("environment_disabled");
    mint(&manager, &stored.member("key_id")).await.expect(409).refused("environment_disabled");
    turn(&manager, "dev", "freeze").await.expect(200);
    turn(&manager, "dev", "unfreeze").await.expect(200);
    mint(&manager, &stored.member("key_id")).await.expect(409).refused("environment_disabled");
    assert!(show(&manager, "dev").await.expect(200).json()["disabled_at"].as_u64().is_some());
    turn(&manager, "dev", "enable").await.expect(200);
    let token = mint(&manager, &stored.member("key_id")).await.expect(201).member("access_token");
    assert_eq!(installed.vault.open(&token)[0].expose(), b"v");
    turn(&manager, "nowhere", "disable").await.expect(404).refused("environment_not_found");
    manager.stop().await;
}

#[actix_web::test]
async fn settings_change_and_are_bounded() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let patch = async |body: Value| manager.admin(Method::PATCH, "/api/environments/dev", Some(body)).await;
    let changed = patch(json!({"display_name": "Entwicklung"})).await.expect(200).json();
    assert_eq!(
        (changed["display_name"].as_str(), changed["max_token_life_seconds"].as_u64()),
        (Some("Entwicklung"), Some(2_700))
    );
    let changed = patch(json!({"max_token_life_seconds": 1})).await.expect(200).json();
    assert_eq!(
        (changed["display_name"].as_str(), changed["max_token_life_seconds"].as_u64()),
        (Some("Entwicklung"), Some(1))
    );
    for (wrong, code) in [
        (json!({}), "parameter_invalid"),
        (json!({"max_token_life_seconds": 0}), "parameter_invalid"),
        (json!({"max_token_life_seconds": 2_701}), "parameter_invalid"),
        (json!({"display_name": " x"}), "name_invalid"),
        (json!({"display_name": "x".repeat(129)}), "name_invalid"),
        (json!({"display_name": null}), "body_invalid"),
        (json!({"name": "x"}), "body_invalid"),
    ] {
        patch(wrong).await.refused(code);
    }
    assert_eq!(show(&manager, "dev").await.expect(200).json(), changed);
    manager.stop().await;
}

#[actix_web::test]
async fn an_environment_that_a_restored_database_lacks_is_entered_again_with_its_key() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    manager.stop().await;
    let database = installed.config.get().data_dir.join("manager.db");
    let old = std::fs::read(&database).unwrap();
    let manager = installed.start().await;
    let id = make(&manager, "lab").await.expect(201).member("environment_id");
    let stored = store(&manager, "lab", "p").await.expect(201).member("key_id");
    manager.stop().await;
    std::fs::write(&database, old).unwrap();

    let manager = installed.start().await;
    assert_eq!(new_keys(&installed, &manager), [format!("{id}.1.key")], "a key in use is never touched");
    let again = |id: &str| json!({"name": "lab", "environment_id": id});
    let stranger = shared_proto::id::EnvironmentId::generate().to_string();
    manager.post("/api/environments", again(&stranger)).await.expect(400).refused("parameter_invalid");
    let made = manager.post("/api/environments", again(&id)).await.expect(201);
    assert_eq!((made.member("environment_id"), made.json()["root_key_epoch"].as_u64()), (id.clone(), Some(1)));
    let twice = json!({"name": "lap", "environment_id": id});
    manager.post("/api/environments", twice).await.expect(409).refused("already_exists");
    let found = manager.post("/api/reconcile", json!({"adopt": true})).await.expect(200).json();
    assert_eq!(found["adopted"], 1, "{found}");
    manager.free(&stored).await;
    let token = mint(&manager, &stored).await.expect(201).member("access_token");
    assert_eq!(installed.vault.open(&token)[0].expose(), b"v");
    manager.stop().await;
}

fn database_of(installed: &Installed) -> std::path::PathBuf {
    installed.config.get().data_dir.join("manager.db")
}

/// A database of before the environment `lab` was made, which is put back later.
async fn database_without_lab(installed: &Installed) -> Vec<u8> {
    installed.start().await.stop().await;
    std::fs::read(database_of(installed)).unwrap()
}

#[actix_web::test]
async fn an_environment_that_was_disabled_and_is_entered_again_after_a_restore_is_disabled() {
    let installed = Installed::new(Mode::Production).await;
    let old = database_without_lab(&installed).await;
    let manager = installed.start().await;
    let id = make(&manager, "lab").await.expect(201).member("environment_id");
    turn(&manager, "lab", "disable").await.expect(200);
    manager.stop().await;
    std::fs::write(database_of(&installed), old).unwrap();

    let manager = installed.start().await;
    until("the event is taken back", async || {
        manager.admin(Method::GET, "/api/revocations", None).await.json()["newest"] == 1
    })
    .await;
    let again = json!({"name": "lab", "environment_id": id});
    let made = manager.post("/api/environments", again).await.expect(201).json();
    assert!(made.get("disabled_at").is_some(), "{made}");
    store(&manager, "lab", "p").await.expect(409).refused("environment_disabled");
    manager.stop().await;
}

#[actix_web::test]
async fn a_key_folder_of_the_moment_of_a_creation_keeps_its_root_key_beside_an_older_database() {
    let installed = Installed::new(Mode::Production).await;
    let old = database_without_lab(&installed).await;
    let manager = installed.start().await;
    let id = make(&manager, "lab").await.expect(201).member("environment_id");
    store(&manager, "lab", "p").await.expect(201);
    manager.stop().await;
    // The folder as its backup has it, which ran between the two writes.
    let key = |state: &str| installed.file(&format!("root-keys/{id}.1.{state}key"));
    let bytes = std::fs::read(key("")).unwrap();
    std::fs::rename(key(""), key("unconfirmed.")).unwrap();
    std::fs::write(database_of(&installed), old).unwrap();
    let manager = installed.start().await;
    manager.post("/api/environments", json!({"name": "lab", "environment_id": id})).await.expect(201);
    assert_eq!(std::fs::read(key("")).unwrap(), bytes, "it is in use again");
    manager.stop().await;
}

#[actix_web::test]
async fn a_token_of_a_write_under_way_lives_no_longer_than_its_environment_says_at_the_end() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let other = another_process(&manager, "dev").await;
    let settings = EnvironmentChange::Settings { display_name: None, max_token_life_seconds: Some(60) };
    manager.faults.after_calls("begin", 1, move || other(settings));
    let stored = store(&manager, "dev", "p").await.expect(201).json();
    let listed = manager.admin(Method::GET, "/api/tokens", None).await.expect(200).json();
    let token = listed["tokens"][0].clone();
    let number = |name: &str| token[name].as_u64().unwrap();
    assert_eq!(number("expires_at") - number("issued_at"), 60, "{token}");
    assert_eq!(stored["expires_at"], token["expires_at"]);
    manager.stop().await;
}

#[actix_web::test]
async fn an_environment_that_is_disabled_already_gets_no_further_event() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let first = turn(&manager, "dev", "disable").await.expect(200).json();
    assert_eq!(turn(&manager, "dev", "disable").await.expect(200).json(), first);
    turn(&manager, "dev", "enable").await.expect(200);
    assert_ne!(turn(&manager, "dev", "disable").await.expect(200).json(), first);
    assert_eq!(installed.vault.applied().len(), 2);
    manager.stop().await;
}

#[actix_web::test]
async fn a_restored_manager_disables_again_what_was_disabled() {
    let installed = Installed::new(Mode::Production).await;
    let old = database_without_lab(&installed).await;
    let manager = installed.start().await;
    turn(&manager, "dev", "disable").await.expect(200);
    manager.stop().await;
    std::fs::write(database_of(&installed), old).unwrap();
    let manager = installed.start().await;
    until("the event is taken back", async || {
        manager.admin(Method::GET, "/api/revocations", None).await.json()["newest"] == 1
    })
    .await;
    store(&manager, "dev", "p").await.expect(409).refused("environment_disabled");
    manager.stop().await;
}

#[actix_web::test]
async fn a_freeze_that_took_hold_is_answered_so_when_the_list_cannot_be_read_again() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let faults = manager.faults.clone();
    manager.faults.after_calls("change_environment", 1, move || async move {
        faults.set(service_runtime::sql::Fault::ReadsFail);
    });
    let frozen = turn(&manager, "dev", "freeze").await;
    manager.faults.set(service_runtime::sql::Fault::None);
    assert_eq!(frozen.expect(200).json(), show(&manager, "dev").await.expect(200).json());
    manager.stop().await;
}

#[actix_web::test]
async fn versions_of_a_closed_environment_are_destroyed_and_get_a_new_root_key() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let dev = manager.environment("dev");
    let dead = store(&manager, "dev", "p").await.expect(201).member("key_id");
    store(&manager, "dev", "q").await.expect(201);
    turn(&manager, "dev", "freeze").await.expect(200);
    turn(&manager, "dev", "disable").await.expect(200);
    let destroyed = manager.post(&format!("/api/keys/{dead}/destroy"), json!({"versions": [1]})).await;
    assert_eq!(destroyed.expect(200).member("status"), "destroyed");
    installed.rotates(&["root-key", "dev"]);
    installed.rotates(&["confirm-backup", "root-key", "dev", "--wait", "0"]);
    until("the other one is moved", async || installed.vault.epochs(dev) == [[1, 2]]).await;
    manager.stop().await;
}
