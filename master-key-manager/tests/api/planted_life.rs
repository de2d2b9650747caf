//! Rows about rotations, incidents and approvals that somebody with write access to the database plants: no act succeeds because
//! of them.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::id::SecretId;

use crate::places::plant;
use crate::secret_rotation::{made, step};
use crate::support::{Installed, Manager};

/// Secrets of which each lacks one thing for an act.
struct Lacking {
    /// Its pending version is not verified.
    staged: String,
    /// Read after an approval, which is asked for.
    guarded: String,
    /// By an incident.
    frozen: String,
    /// Destroyed after an approval, which is asked for.
    deleted: String,
    /// Nothing is wrong with it: its rows are what an attacker copies.
    sound: String,
}

impl Lacking {
    async fn new(manager: &Manager) -> Self {
        let make = async |path: &str| made(manager, path, json!({})).await;
        let all = Self {
            staged: make("staged").await,
            guarded: make("guarded").await,
            frozen: make("frozen").await,
            deleted: make("deleted").await,
            sound: make("sound").await,
        };
        for secret in [&all.staged, &all.sound] {
            step(manager, secret, "rotate", json!({"value": "v1", "activate": false})).await.expect(201);
        }
        step(manager, &all.sound, "verify", json!({})).await.expect(200);
        let change =
            async |route: String, body: Value| manager.admin(Method::PATCH, &route, Some(body)).await.expect(200);
        change(format!("/api/secrets/{}", all.guarded), json!({"requires_approval": true})).await;
        let ask = json!({"key_id": all.guarded, "seconds": 600, "reason": "r"});
        manager.post("/api/approvals", ask).await.expect(202);
        step(manager, &all.frozen, "compromise", json!({"kind": "compromise", "reason": "r", "freeze": true}))
            .await
            .expect(201);
        manager.delete(&all.deleted).await.expect(200);
        change("/api/environments/dev".to_owned(), json!({"destroy_needs_approval": true})).await;
        step(manager, &all.deleted, "destroy", json!({"reason": "r"})).await.expect(202);
        all
    }

    /// The acts that succeed.
    async fn succeed(&self, manager: &Manager) -> Vec<&'static str> {
        let mut done = Vec::new();
        let mint = async |secret: &String, stage: &str| {
            let answer = manager.post("/api/tokens", json!({"secrets": [{"key_id": secret, "stage": stage}]})).await;
            answer.status == 201
        };
        if step(manager, &self.staged, "promote", json!({})).await.status == 200 {
            done.push("promote");
        }
        if mint(&self.guarded, "current").await {
            done.push("read without an approval");
        }
        if mint(&self.frozen, "current").await {
            done.push("read what is frozen");
        }
        // It awaits an approval still, or is refused.
        if step(manager, &self.deleted, "destroy", json!({"reason": "r"})).await.status == 200 {
            done.push("destroy");
        }
        done
    }
}

/// Planted rows, by the last bytes of ids in SQL: rows of the attacker's own making, or of others.
fn plants(all: &Lacking) -> Vec<(&'static str, String)> {
    let blob = |secret: &String| {
        let id: SecretId = secret.parse().unwrap();
        id.as_bytes().iter().fold("x'".to_owned(), |text, byte| format!("{text}{byte:02x}")) + "'"
    };
    let (staged, sound) = (blob(&all.staged), blob(&all.sound));
    let rules_of_sound = |secret: &String| {
        let secret = blob(secret);
        format!(
            "UPDATE secrets SET rules = (SELECT rules FROM secrets WHERE secret_id = {sound}),
             tag = (SELECT tag FROM secrets WHERE secret_id = {sound}),
             number = (SELECT number FROM secrets WHERE secret_id = {sound}), erase_at = 0 WHERE secret_id = {secret}"
        )
    };
    vec![
        ("nothing", String::new()),
        (
            "the rotation of another secret",
            format!(
                "UPDATE rotations SET body = (SELECT body FROM rotations WHERE secret_id = {sound}),
                 tag = (SELECT tag FROM rotations WHERE secret_id = {sound}) WHERE secret_id = {staged}"
            ),
        ),
        (
            "a word that nobody gave",
            "UPDATE rotations SET body = replace(body, '\"step\"', '\"verified\":{\"at\":1},\"step\"')".to_owned(),
        ),
        ("a rotation that is over", "UPDATE rotations SET body = replace(body, 'pending', 'grace'), ends_at = 0".to_owned()),
        ("no rotation", "DELETE FROM rotations".to_owned()),
        (
            "an approval",
            "UPDATE registry_records SET body = replace(body, '\"open\"', '\"approved\"') WHERE kind = 'approval'".to_owned(),
        ),
        (
            "an approval of another day",
            "INSERT INTO registry_records SELECT kind, 'apr_AAAAAAAAAAAAAAAAAAAAAA', replace(body, '\"open\"', '\"approved\"')
             FROM registry_records WHERE kind = 'approval' LIMIT 1"
                .to_owned(),
        ),
        ("no approval", "DELETE FROM registry_records WHERE kind = 'approval'".to_owned()),
        ("no incident", "DELETE FROM registry_records WHERE kind = 'incident'".to_owned()),
        (
            "an incident that is closed",
            "UPDATE registry_records SET body = replace(body, '}', ',\"closed_at\":1}') WHERE kind = 'incident'".to_owned(),
        ),
        ("rules that are not frozen", rules_of_sound(&all.frozen)),
        ("rules that ask for no approval", rules_of_sound(&all.guarded)),
        ("rules of a secret that is not deleted", rules_of_sound(&all.deleted)),
        (
            "an environment that asks for no approval",
            "UPDATE registry_records SET body = replace(body, '\"destroy_needs_approval\":true', '\"destroy_needs_approval\":false')"
                .to_owned(),
        ),
        (
            "notices, and no numbers of them",
            "DELETE FROM notice_numbers; UPDATE notices SET due_at = 0, delivered_at = 1".to_owned(),
        ),
    ]
}

/// Puts a database in the place of the one that is there, without its log.
fn put_back(installed: &Installed, kept: &[u8]) {
    let database = installed.config.database();
    for log in ["-wal", "-shm"] {
        let _is_mostly_gone = std::fs::remove_file(format!("{}{log}", database.display()));
    }
    std::fs::write(database, kept).unwrap();
}

#[actix_web::test]
async fn planted_rotations_incidents_and_approvals_make_no_act_succeed() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let all = Lacking::new(&manager).await;
    manager.stop().await;
    let kept = std::fs::read(installed.config.database()).unwrap();
    for (case, statements) in plants(&all) {
        // Beside a running manager, and before a start.
        for is_running in [true, false] {
            put_back(&installed, &kept);
            if !is_running {
                plant(&installed, &statements);
                if !installed.start_refused().await.is_empty() {
                    continue;
                }
            }
            let manager = installed.start_unready().await;
            let envelopes = installed.vault.state().rows.len();
            if is_running {
                crate::support::until("it is ready", async || manager.get("/health/ready").await.status == 200).await;
                plant(&installed, &statements);
            }
            manager.app.registry.forget();
            assert_eq!(all.succeed(&manager).await, Vec::<&str>::new(), "{case}, running: {is_running}");
            assert_eq!(installed.vault.state().rows.len(), envelopes);
            manager.stop().await;
        }
    }
    // The control: whoever may gives what is lacking, and each act succeeds.
    put_back(&installed, &kept);
    let manager = installed.start().await;
    step(&manager, &all.staged, "verify", json!({})).await.expect(200);
    let change = async |route: String, body: Value| manager.admin(Method::PATCH, &route, Some(body)).await.expect(200);
    change(format!("/api/secrets/{}", all.guarded), json!({"requires_approval": false})).await;
    change("/api/environments/dev".to_owned(), json!({"destroy_needs_approval": false})).await;
    let list = format!("/api/incidents?key_id={}", all.frozen);
    let incident = manager.admin(Method::GET, &list, None).await.expect(200).json()["incidents"][0].clone();
    change(format!("/api/incidents/{}", incident["incident_id"].as_str().unwrap()), json!({"lift_freeze": true})).await;
    let done = all.succeed(&manager).await;
    assert_eq!(done, ["promote", "read without an approval", "read what is frozen", "destroy"]);
    manager.stop().await;
}
