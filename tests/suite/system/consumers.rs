//! Programs that read a secret without a pause while it is rotated, again and again: each read succeeds, and gives the value that was current when its
//! token was made.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use system_tests::{Call, Installation, wait_until};

/// Programs that read at the same time.
const CONSUMERS: usize = 8;
/// Reads by each token.
const READS: usize = 25;
const ROTATIONS: usize = 12;

/// A read: the version that was current before its token was made, that of its token, the one that was current afterwards, and the value.
type Read = (u64, u64, u64, String);

struct Shared {
    manager: u16,
    vault: u16,
    credential: String,
    secret: String,
    current: AtomicU64,
    is_over: AtomicBool,
    /// Tokens that each consumer has made.
    tokens: [AtomicU64; CONSUMERS],
    reads: Mutex<Vec<Read>>,
    behind: AtomicU64,
}

impl Shared {
    async fn consume(&self, number: usize) {
        while !self.is_over.load(Ordering::SeqCst) {
            let before = self.current.load(Ordering::SeqCst);
            let wish = json!({"secrets": [{"key_id": self.secret}]});
            let call = Call::new(self.manager, "POST", "/api/tokens").bearer(&self.credential).json(&wish);
            let minted = call.send().await.expect(201);
            let version = minted.json()["secrets"][0]["version"].as_u64().unwrap();
            let token = minted.text("access_token");
            // The rotation is known to its maker a moment after it is known to readers.
            let after = self.current.load(Ordering::SeqCst) + 1;
            self.tokens[number].fetch_add(1, Ordering::SeqCst);
            for _ in 0..READS {
                let value = self.read(&token).await;
                self.reads.lock().unwrap().push((before, version, after, value));
            }
        }
    }

    /// Reads as clients do: a vault that a revocation has not reached yet is asked again.
    async fn read(&self, token: &str) -> String {
        let mut value = None;
        wait_until("the vault knows every revocation", async || {
            let call = Call::new(self.vault, "GET", &format!("/api/keys/{}", self.secret)).bearer(token);
            let answer = call.send().await;
            if answer.status == 200 {
                value = Some(answer.text("decrypted_key"));
            } else {
                assert!(["revocations_behind", "rate_limited"].contains(&answer.code().as_str()), "{answer}");
                self.behind.fetch_add(1, Ordering::SeqCst);
            }
            value.is_some()
        })
        .await;
        value.expect("it was read")
    }

    /// Waits until every consumer uses a token that it made from now on.
    async fn all_have_new_tokens(&self) {
        let seen: Vec<u64> = self.tokens.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let passed = || self.tokens.iter().zip(&seen).all(|(count, seen)| count.load(Ordering::SeqCst) > seen + 1);
        wait_until("every consumer has a new token", async || passed()).await;
    }
}

async fn asked(installation: &Installation, path: &str, body: Value, statuses: &[u16]) -> Value {
    let answer = installation.admin_call("POST", path, Some(body)).await;
    assert!(statuses.contains(&answer.status), "{path}: {answer}");
    answer.json()
}

#[tokio::test]
async fn programs_that_read_through_rotations_see_no_failure_and_the_value_of_their_time() {
    let installation = Installation::running().await;
    let make = json!({"environment": "dev", "path": "app/key", "value": "value 1", "token": false});
    let secret = asked(&installation, "/api/secrets", make, &[201]).await["key_id"].as_str().unwrap().to_owned();
    let shared = Shared {
        manager: installation.manager.port(),
        vault: installation.vault.port(),
        credential: installation.admin(),
        secret,
        current: AtomicU64::new(1),
        is_over: AtomicBool::new(false),
        tokens: Default::default(),
        reads: Mutex::default(),
        behind: AtomicU64::new(0),
    };
    let begun = Instant::now();
    let consumers = join_all((0..CONSUMERS).map(|number| shared.consume(number)));
    let (_, values) = join(consumers, rotate(&installation, &shared)).await;
    let reads = shared.reads.lock().unwrap();
    let behind = shared.behind.load(Ordering::SeqCst);
    println!("{} reads in {:?}, {behind} asked again", reads.len(), begun.elapsed());
    for (before, version, after, value) in reads.iter() {
        assert_eq!(&values[version], value);
        assert!(before <= version && version <= after, "{before} {version} {after}");
    }
    assert!(values.keys().all(|version| reads.iter().any(|read| read.1 == *version)), "each value had its time");
}

/// Rotates the secret, at once and in steps in turn. The value of each version.
async fn rotate(installation: &Installation, shared: &Shared) -> BTreeMap<u64, String> {
    let secret = &shared.secret;
    let mut values = BTreeMap::from([(1, "value 1".to_owned())]);
    for rotation in 0..ROTATIONS {
        let version = u64::try_from(rotation + 2).unwrap();
        let value = format!("value {version}");
        let path = format!("/api/secrets/{secret}:rotate");
        if rotation % 2 == 0 {
            asked(installation, &path, json!({"value": value}), &[200, 201]).await;
        } else {
            asked(installation, &path, json!({"value": value, "activate": false}), &[200, 201]).await;
            asked(installation, &format!("/api/secrets/{secret}:verify"), json!({"version": version}), &[200]).await;
            asked(installation, &format!("/api/secrets/{secret}:promote"), json!({"version": version}), &[200]).await;
        }
        shared.current.store(version, Ordering::SeqCst);
        values.insert(version, value);
        // The grace time ends when nobody holds a token of before.
        shared.all_have_new_tokens().await;
        asked(installation, &format!("/api/secrets/{secret}:finish"), json!({}), &[200, 202]).await;
    }
    shared.is_over.store(true, Ordering::SeqCst);
    values
}
