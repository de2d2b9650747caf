//! Secrets in every state that one can be in, so that a drill steals what an installation has that is used.

use serde_json::{Value, json};
use system_tests::{Answer, Installation, Stored};

use super::treasure::{Life, Treasure, random_word};

/// Hides secrets in the middle of their lives: with kinds, tags, descriptions and notes; a rotation that waits and one in its grace
/// time, for values that were given and that were made; a deleted secret, one that is frozen by an incident, one that is read
/// after an approval that somebody asks for, one that ends soon, and at last a destroyed one.
pub(super) async fn hide_lives(installation: &Installation, word: &str) -> Vec<Treasure> {
    let hidden = Hidden { installation, word };
    let mut all = Vec::new();

    // A rotation that waits for its promotion. The pending version is read by its stage.
    let plan = json!({"kind": "database", "value": document(&random_word()), "rotation": {"mode": "staged"}});
    let staged = hidden.create(plan).await;
    hidden.step(&staged, "rotate", json!({"value": document(&random_word()), "note": word})).await.expect(201);
    hidden.step(&staged, "verify", json!({})).await.expect(200);
    let pending = hidden.minted(&staged, json!({"stage": "pending"})).await;
    all.extend([staged, pending]);

    // One in its grace time, of values that the manager made. The former one is rolled back to later.
    let made = json!({"kind": "api-key", "generate": {"form": "api-key", "prefix": "shop"}});
    let graced = hidden.create(made).await;
    hidden
        .step(&graced, "rotate", json!({"generate": {"form": "api-key", "prefix": "shop"}, "grace_seconds": 86_400}))
        .await
        .expect(201);
    let current = hidden.minted(&graced, json!({})).await;
    hidden.step(&graced, "rollback", json!({"version": 1})).await.expect(201);
    all.extend([graced, current]);

    // With an end that is near, and a rule of retention.
    let soon = json!({"value": random_word(), "never_expires": false, "retention": {"versions": 9}, "expires_at": in_days(20)});
    all.push(hidden.create(soon).await);

    let mut deleted = hidden.create(json!({"value": random_word()})).await;
    hidden.ask("DELETE", &of(&deleted, "?reason=drill"), None).await.expect(200);
    deleted.life = Life::Deleted;
    let mut frozen = hidden.create(json!({"value": random_word()})).await;
    let incident = json!({"kind": "compromise", "reason": word, "freeze": true});
    hidden.step(&frozen, "compromise", incident).await.expect(201);
    let lost = hidden.step(&frozen, "compromise", json!({"kind": "loss", "reason": word})).await.expect(201).json();
    let done = ["assess", "recover", "regenerate", "update", "document"];
    let change = format!("/api/incidents/{}", lost["incident"]["incident_id"].as_str().unwrap());
    hidden.ask("PATCH", &change, Some(json!({"done": done, "note": word, "close": true}))).await.expect(200);
    let mut guarded = hidden.create(json!({"value": random_word()})).await;
    hidden.ask("PATCH", &of(&guarded, ""), Some(json!({"requires_approval": true}))).await.expect(200);
    let approval = json!({"key_id": guarded.stored.key_id, "seconds": 3_600, "reason": word});
    hidden.ask("POST", "/api/approvals", Some(approval)).await.expect(202);
    (frozen.life, guarded.life) = (Life::Closed, Life::Closed);
    all.extend([deleted, frozen, guarded]);

    let mut destroyed = hidden.create(json!({"value": random_word()})).await;
    hidden.ask("DELETE", &of(&destroyed, ""), None).await.expect(200);
    hidden.step(&destroyed, "destroy", json!({"reason": word})).await.expect(200);
    destroyed.life = Life::Destroyed;
    all.push(destroyed);
    all
}

/// What makes such secrets.
struct Hidden<'a> {
    installation: &'a Installation,
    /// In everything that describes them.
    word: &'a str,
}

impl Hidden<'_> {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.installation.admin_call(method, path, body).await
    }

    async fn step(&self, treasure: &Treasure, verb: &str, body: Value) -> Answer {
        self.ask("POST", &of(treasure, &format!(":{verb}")), Some(body)).await
    }

    /// A secret with words about it, and the token of its first version.
    async fn create(&self, more: Value) -> Treasure {
        let path = format!("vaulted/{}", random_word());
        let mut body = json!({
            "environment": "dev", "path": path, "tags": {"team": self.word}, "description": self.word, "note": self.word,
            "metadata": {"for": self.word},
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let call = self.installation.manager.call("POST", "/api/secrets").bearer(&self.installation.admin());
        let answer = call.header("Idempotency-Key", &random_word()).json(&body).send().await;
        let made = answer.expect(201).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let stored = Stored {
            key_id: text(&made["key_id"]),
            version: made["version"].as_u64().unwrap(),
            token: text(&made["token"]["access_token"]),
            jti: text(&made["token"]["jti"]),
        };
        let value = self.installation.read(&stored.key_id, &stored.token).await.expect(200).text("decrypted_key");
        Treasure { path, value, stored, life: Life::Open }
    }

    /// Another version of a secret, with a token for it.
    async fn minted(&self, of: &Treasure, which: Value) -> Treasure {
        let mut wanted = json!({"key_id": of.stored.key_id});
        wanted.as_object_mut().unwrap().extend(which.as_object().unwrap().clone());
        let minted = self.ask("POST", "/api/tokens", Some(json!({"secrets": [wanted]}))).await.expect(201);
        let (token, jti) = (minted.text("access_token"), minted.text("jti"));
        let read = self.installation.read(&of.stored.key_id, &token).await.expect(200);
        let stored = Stored { key_id: of.stored.key_id.clone(), version: read.number("version"), token, jti };
        Treasure { path: of.path.clone(), value: read.text("decrypted_key"), stored, life: Life::Open }
    }
}

fn of(treasure: &Treasure, rest: &str) -> String {
    format!("/api/secrets/{}{rest}", treasure.stored.key_id)
}

fn document(password: &str) -> String {
    json!({"host": "db", "user": "app", "password": password}).to_string()
}

fn in_days(days: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() + days * 86_400
}
