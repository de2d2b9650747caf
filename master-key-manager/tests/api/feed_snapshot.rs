//! Events that have ended are dropped, and what is left is enough for a vault or a manager of an earlier day.

use actix_web::http::Method;
use master_key_manager::installation::restore;
use master_key_manager::revocation::FeedStatus;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use service_runtime::sql::KillPoint;
use service_runtime::sqlite;
use shared_proto::encoding::{b64, random};
use shared_proto::event::{Event, EventClaims};

use crate::support::{Feed, Installed, Manager, head_of, number_of, until};

async fn revoke(manager: &Manager, body: Value) -> u64 {
    let answer = manager.post("/api/revocations", body).await.expect(200);
    assert_eq!(answer.member("status"), "revoked");
    answer.json()["sequence"].as_u64().unwrap()
}

async fn revoke_all(manager: &Manager) -> u64 {
    revoke(manager, json!({"kind": "all"})).await
}

/// An event that lasts.
async fn revoke_key(manager: &Manager) -> u64 {
    revoke(manager, json!({"kind": "signing-key", "kid": b64(&random::<32>())})).await
}

/// The numbers of the events in the manager's database.
fn rows(installed: &Installed) -> Vec<u64> {
    let database = rusqlite::Connection::open(installed.config.database()).unwrap();
    let mut statement = database.prepare("SELECT seq FROM events ORDER BY seq").unwrap();
    statement.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(|seq| seq.unwrap().cast_unsigned()).collect()
}

/// As if all events had been issued that much earlier.
fn age(installed: &Installed, seconds: i64) {
    let database = rusqlite::Connection::open(installed.config.database()).unwrap();
    database.execute("UPDATE events SET issued_at = issued_at - ?1", [seconds]).unwrap();
}

/// What a vault keeps of its events: what lasts, and the newest ones from a number on.
fn shorten(events: &mut Vec<String>, whole_from: u64) {
    events.retain(|compact| {
        let claims = EventClaims::reread(compact).unwrap();
        claims.seq >= whole_from || claims.event.lasts()
    });
}

async fn polled(installed: &Installed) {
    let polls = installed.vault.state().polls;
    until("more polls", async || installed.vault.state().polls > polls + 3).await;
}

#[actix_web::test]
async fn only_what_has_ended_and_the_vault_signed_for_is_dropped() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for _ in 0..3 {
        revoke_all(&manager).await;
    }
    assert_eq!(revoke_key(&manager).await, 4);
    assert_eq!((revoke_all(&manager).await, revoke_all(&manager).await), (5, 6));
    age(&installed, 3_500);
    polled(&installed).await;
    assert_eq!(rows(&installed), [1, 2, 3, 4, 5, 6], "a token of that time may be alive");
    installed.vault.state().deaf = true;
    manager.post("/api/revocations", json!({"kind": "all"})).await.expect(202);
    age(&installed, 101);
    until("they are dropped", async || rows(&installed) == [4, 6, 7]).await;
    polled(&installed).await;
    assert_eq!(rows(&installed), [4, 6, 7], "number 7 is not signed for, and 6 is what the vault names");
    installed.vault.state().deaf = false;
    until("it is dropped as well", async || rows(&installed) == [4, 7]).await;
    assert_eq!(revoke_all(&manager).await, 8, "numbers go on");
    let listed = manager.admin(Method::GET, "/api/revocations", None).await.expect(200).json();
    assert_eq!((listed["newest"].as_u64(), listed["events"].as_array().unwrap().len()), (Some(8), 3));
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(revoke_all(&manager).await, 9);
    manager.stop().await;
}

#[actix_web::test]
async fn vault_of_an_earlier_day_gets_what_lasts_and_is_told_that_the_rest_was_dropped() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    for _ in 0..2 {
        revoke_all(&manager).await;
        revoke_key(&manager).await;
    }
    let all = installed.vault.state().events.clone();
    age(&installed, 4_000);
    revoke_all(&manager).await;
    until("they are dropped", async || rows(&installed) == [2, 4, 5]).await;
    // Number 1 was dropped and cannot be compared; number 2 lasts; before the first, nothing is known.
    for before in [&all[..1], &all[..2], &[]] {
        installed.vault.state().events = before.to_vec();
        until("it is in step", async || head_of(&installed.vault.state().events).number == 5).await;
        let numbers: Vec<u64> = installed.vault.state().events.iter().map(|event| number_of(event)).collect();
        assert_eq!(numbers[before.len()..], [2, 4, 5][before.len() / 2..], "{}", before.len());
    }
    assert_eq!(revoke_all(&manager).await, 6);
    manager.stop().await;
}

#[actix_web::test]
async fn manager_of_an_earlier_day_takes_back_what_lasts_and_mints_nothing_before() {
    let mut installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let stored = manager.store_value("p", "v").await.expect(201);
    let (secret, grants) = (stored.member("key_id"), json!({"secrets": [{"key_id": stored.member("key_id")}]}));
    revoke_all(&manager).await;
    let backup = installed.config.get().data_dir.join("backup.db");
    sqlite::backup(&installed.config.database(), &backup).unwrap();
    revoke_all(&manager).await;
    manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [1]})).await.expect(200);
    revoke_all(&manager).await;
    let client = manager.admin(Method::GET, "/api/tokens", None).await.json()["tokens"][0]["client_id"].clone();
    revoke(&manager, json!({"kind": "credential", "client_id": client})).await;
    manager.stop().await;
    shorten(&mut installed.vault.state().events, 5);
    let kept = installed.vault.state().events.clone();
    assert_eq!(kept.iter().map(|event| number_of(event)).collect::<Vec<_>>(), [3, 5]);

    // It dies just before they are written, and just after.
    for (point, written) in [(KillPoint::Before("recover_events"), false), (KillPoint::After("recover_events"), true)] {
        restore(&installed.config, &backup).unwrap();
        installed.vault.state().feed = Feed::Garble;
        let manager = installed.start_unready().await;
        manager.post("/api/tokens", grants.clone()).await.expect(503).refused("unavailable");
        manager.faults.kill_at(point);
        installed.vault.state().feed = Feed::Honest;
        until("it is dead", async || manager.faults.is_dead()).await;
        manager.stop().await;
        assert_eq!(rows(&installed) == [1, 3, 5], written);
    }
    let manager = installed.start().await;
    assert_eq!(rows(&installed), [1, 3, 5]);
    manager.post("/api/tokens", grants.clone()).await.expect(401);
    manager.stop().await;
    let fresh = master_key_manager::init::reset_administrator(&installed.config).await.unwrap();
    installed.credential = fresh.expose_text().to_string();
    let manager = installed.start().await;
    manager.post("/api/tokens", grants).await.expect(404).refused("secret_not_found");
    assert_eq!(revoke_all(&manager).await, 6);
    assert_eq!(installed.vault.state().events[..2], kept, "the chain was continued");
    manager.stop().await;
}

/// What a vault could say to a manager of an earlier day: less than what lasts, something else, or not ours.
#[actix_web::test]
async fn manager_never_passes_over_a_gap_on_the_vaults_bare_word() {
    for case in 0..4 {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        revoke_key(&manager).await;
        let backup = installed.config.get().data_dir.join("backup.db");
        sqlite::backup(&installed.config.database(), &backup).unwrap();
        revoke_all(&manager).await;
        revoke_key(&manager).await;
        revoke_all(&manager).await;
        revoke_all(&manager).await;
        manager.stop().await;
        restore(&installed.config, &backup).unwrap();
        {
            let mut state = installed.vault.state();
            shorten(&mut state.events, 5);
            match case {
                // Leaves a lasting one out.
                0 => drop(state.events.remove(1)),
                // Says that it has them and gives none.
                1 => state.feed = Feed::Withhold,
                // Leaves them all out.
                2 => drop(state.events.drain(..2)),
                // Invents the last.
                _ => {}
            }
        }
        if case == 3 {
            installed.vault.state().events.pop();
            installed.vault.forge_event(Event::All);
        }
        let manager = installed.start_unready().await;
        polled(&installed).await;
        let conflict = || manager.app.vault_view.view().status == FeedStatus::Conflict;
        if matches!(case, 0 | 2) {
            until("the conflict is seen", async || conflict()).await;
        } else {
            assert!(!conflict(), "{case}");
        }
        manager.get("/health/ready").await.expect(503);
        assert_eq!(rows(&installed), [1], "{case}: nothing is taken over");
        manager.store_value("p", "v").await.expect(503).refused("unavailable");
        manager.stop().await;
    }
}

#[actix_web::test]
async fn manager_that_dies_while_it_drops_events_goes_on_at_its_next_start() {
    let installed = Installed::new(Mode::Production).await;
    for point in [KillPoint::Before("drop_events"), KillPoint::After("drop_events")] {
        let manager = installed.start().await;
        for _ in 0..3 {
            revoke_all(&manager).await;
        }
        manager.faults.kill_at(point);
        age(&installed, 4_000);
        until("it is dead", async || manager.faults.is_dead()).await;
        manager.stop().await;
    }
    let manager = installed.start().await;
    until("all are dropped", async || rows(&installed) == [6]).await;
    assert_eq!(revoke_all(&manager).await, 7);
    assert_eq!(head_of(&installed.vault.state().events).number, 7);
    manager.stop().await;
}
