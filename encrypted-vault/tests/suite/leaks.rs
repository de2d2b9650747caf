//! The canary: values, tokens and keys are looked for in everything that the vault writes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use shared_proto::command::Operation;
use shared_proto::encoding::{b64, random};
use shared_proto::event::Event;
use shared_proto::id::SecretId;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{World, command, get};

/// `telemetry` keeps every talkative dependency at `warn`, whatever the filter says.
const OURS: &str = "warn,encrypted_vault=trace,service_runtime=trace,shared_proto=trace,tokio=trace,moka=trace";

/// Everything that is logged, at the lowest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The forms in which a canary might be found. Base64 is cut so that its place in a longer text does not matter.
fn forms(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![
        (format!("{name}, raw"), bytes.to_vec()),
        (format!("{name}, hex"), hex::encode(bytes).into_bytes()),
        (format!("{name}, HEX"), hex::encode_upper(bytes).into_bytes()),
        (format!("{name}, list"), format!("{bytes:?}").trim_matches(['[', ']']).as_bytes().to_vec()),
    ];
    for skip in 0..3 {
        let inner = &bytes[skip..];
        let inner = &inner[..inner.len() / 3 * 3];
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push((format!("{name}, base64"), engine.encode(inner).into_bytes()));
        }
    }
    forms
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// The files below a directory, with their contents.
fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

#[actix_web::test]
async fn no_value_token_or_key_is_found_in_anything_that_the_vault_writes() {
    let log = Log::default();
    // For the whole process: the threads of the database and the audit log must be heard, too.
    let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).with_env_filter(OURS).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut world = World::new().await;
    let value = b64(&random::<48>());
    let secret = world.secret(&value).await;
    let altered = world.secret(&value).await;
    let mut answers = vec![];
    let draft = world.draft(&[secret, altered]);
    let token = draft.sign();
    assert_eq!(world.value(&token, &secret).await.unwrap(), value, "the canary sings");
    world
        .database()
        .execute("UPDATE envelopes SET nonce = zeroblob(12) WHERE secret_id = ?1", [altered.id.as_bytes()])
        .unwrap();
    answers.push(world.read(&token, &altered).await);
    let body = format!(r#"{{"key_ids":["{}"]}}"#, secret.id).into_bytes();
    assert_eq!(command(&world.vault, "/api/keys:read", &token, body).await.status, 200);
    // The value and the token in places where they do not belong.
    answers.push(get(&world.vault, &format!("/api/keys/{value}"), &token).await);
    answers.push(get(&world.vault, &format!("/{value}"), &token).await);
    answers.push(get(&world.vault, "/api/keys/x", &value).await);
    let bodies = [format!(r#"{{"key_ids":["{value}"]}}"#), format!(r#"{{"{value}":1}}"#), format!("{value}{token}")];
    for body in bodies {
        answers.push(command(&world.vault, "/api/keys:read", &token, body.clone().into_bytes()).await);
        for op in [Operation::Store, Operation::Settle, Operation::Push] {
            answers.push(world.order(op, &body).await);
        }
    }
    let (_, mut broken) = world.manager.seal(SecretId::generate(), 1, &value);
    broken.digest.0[0] ^= 1;
    answers.push(world.order(Operation::Store, &world.manager.store_body(vec![broken])).await);
    world.revoke(Event::Token(draft.jti.parse().unwrap())).await;
    answers.push(world.read(&token, &secret).await);
    world.vault.tick();
    world.reopen().await;
    world.poll().await;
    answers.push(get(&world.vault, "/api/key-statements", "").await);
    answers.push(get(&world.vault, "/health/ready", "").await);

    let mut written = vec![("the log".to_owned(), log.0.lock().unwrap().clone())];
    // Keys are in their own files and nowhere else; without those, everything below the directory counts.
    files(&world.config.data_dir, &mut written);
    let mut runtime = Vec::new();
    files(&world.dir.path().join("runtime"), &mut runtime);
    assert!(written.iter().any(|(name, bytes)| name.ends_with("vault.db") && bytes.len() > 4_096));
    assert!(written.iter().any(|(name, bytes)| name.ends_with("audit.jsonl") && contains(bytes, b"\"secret.read\"")));
    assert!(contains(&written[0].1, b"a row did not open"), "the log was listened to");
    written.extend(answers.iter().enumerate().map(|(number, reply)| (format!("answer {number}"), reply.body.clone())));

    let storage = fs::read_to_string(world.config.key_dir.join("storage-keys/1.key")).unwrap();
    let storage = shared_proto::encoding::from_b64(storage.trim()).unwrap();
    let mut canaries = [
        forms("the value", value.as_bytes()),
        forms("the token", &token.as_bytes()[token.len() - 300..]),
        forms("the transfer key", world.manager.transfer.0.expose()),
        forms("the release key", world.manager.release_key(&secret).expose()),
        forms("the root key", world.manager.root.expose()),
        forms("the storage key", &storage),
    ]
    .concat();
    written.extend(runtime.iter().cloned());
    find_nothing(&canaries, &written);
    canaries.clear();
    for (name, bytes) in &runtime {
        let file: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        if let Some(key) = file["private_key"].as_str() {
            canaries.extend(forms(name, &shared_proto::encoding::from_b64(key).unwrap()));
        }
    }
    assert!(!canaries.is_empty());
    written.truncate(written.len() - runtime.len());
    find_nothing(&canaries, &written);
}

fn find_nothing(canaries: &[(String, Vec<u8>)], written: &[(String, Vec<u8>)]) {
    for (place, bytes) in written {
        for (canary, needle) in canaries {
            assert!(!contains(bytes, needle), "{canary} is in {place}");
        }
    }
}
