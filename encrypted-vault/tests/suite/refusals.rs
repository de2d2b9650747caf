//! What the holder of tokens can write into the audit log by being refused, and what those lines say.

use serde_json::{Value, json};
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use crate::support::{Draft, NOW, Reply, Secret, World, command};

/// The audit lines about refused reads of a vault that is stopped.
async fn refusals(world: &World) -> Vec<Value> {
    world.stop().await;
    let text = std::fs::read_to_string(world.config.audit_log()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_reads = |line: &Value| line["action"].as_str().is_some_and(|action| action.starts_with("secret.read"));
    lines.filter(|line| of_reads(line) && line["status"] != "success").collect()
}

/// How many refusals the lines stand for.
fn stand_for(lines: &[Value]) -> u64 {
    lines.iter().map(|line| 1 + line["others"].as_u64().unwrap_or(0)).sum()
}

async fn read_many(world: &World, token: &str, ids: &[SecretId]) -> Reply {
    command(&world.vault, "/api/keys:read", token, json!({ "key_ids": ids }).to_string().into_bytes()).await
}

fn names(line: &Value, draft: &Draft) -> bool {
    (&line["jti"], &line["principal"], &line["credential"])
        == (&json!(draft.jti), &json!(draft.sub), &json!(draft.client_id))
}

fn unknown(secret: Secret) -> Secret {
    Secret { id: SecretId::generate(), ..secret }
}

#[actix_web::test]
async fn a_batch_of_foreign_ids_is_one_line_with_their_number() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    let ids: Vec<SecretId> = (0..63).map(|_| SecretId::generate()).chain([secret.id]).collect();
    assert_eq!(read_many(&world, &draft.sign(), &ids).await.status, 200);
    let lines = refusals(&world).await;
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["count"], &lines[0]["code"]), (&json!(63), &json!("secret_not_found")));
    assert_eq!(lines[0]["action"], "secret.read_batch");
    assert_eq!(lines[0]["key_id"], ids[0].to_string());
    assert!(names(&lines[0], &draft), "{}", lines[0]);
}

#[actix_web::test]
async fn refusals_of_good_revoked_refused_and_expired_tokens_name_token_principal_and_credential() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let drafts: Vec<Draft> = (0..4).map(|_| world.draft(&[secret])).collect();
    let [foreign, revoked, cached, mut expired] = <[Draft; 4]>::try_from(drafts).unwrap_or_else(|_| panic!("four"));
    (expired.iat, expired.nbf, expired.exp) = (NOW - 900, NOW - 900, NOW);
    let cached_token = cached.sign();
    assert!(world.value(&cached_token, &secret).await.is_ok());
    world.revoke(Event::Token(revoked.jti.parse().unwrap())).await;
    assert_eq!(world.read(&foreign.sign(), &unknown(secret)).await.status, 404);
    assert_eq!(world.read(&revoked.sign(), &secret).await.status, 401);
    assert_eq!(world.read(&expired.sign(), &secret).await.status, 401);
    world.clock.advance(900);
    assert_eq!(world.read(&cached_token, &secret).await.status, 401);
    let lines = refusals(&world).await;
    let who = [&foreign, &revoked, &expired, &cached];
    assert_eq!(lines.len(), who.len());
    for (line, draft) in lines.iter().zip(who) {
        assert!(names(line, draft), "{line}");
    }
}

#[actix_web::test]
async fn batches_of_many_tokens_of_one_subject_that_open_something_leave_other_callers_their_lines() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let (first, other) = (world.draft(&[secret]), world.draft(&[secret]));
    let mut jtis = std::collections::HashSet::new();
    for _ in 0..40 {
        let mut draft = world.draft(&[secret]);
        draft.sub.clone_from(&first.sub);
        let answer = read_many(&world, &draft.sign(), &[secret.id, SecretId::generate()]).await;
        assert_eq!(answer.status, 200, "it is never limited");
    }
    assert_eq!(world.read(&other.sign(), &unknown(secret)).await.status, 404);
    let lines = refusals(&world).await;
    assert_eq!(stand_for(&lines), 41, "none is lost unrecorded");
    jtis.extend(lines.iter().filter(|line| line["principal"] == first.sub).filter_map(|line| line["jti"].as_str()));
    assert_eq!(jtis.len(), 24);
    assert!(lines.iter().any(|line| names(line, &other)), "{lines:?}");
}

#[actix_web::test]
async fn a_success_names_principal_and_credential_and_a_stranger_has_none() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let draft = world.draft(&[secret]);
    assert!(world.value(&draft.sign(), &secret).await.is_ok());
    assert!(world.value("nonsense", &secret).await.is_err());
    let stranger = refusals(&world).await.remove(0);
    assert_eq!((&stranger["jti"], &stranger["principal"]), (&Value::Null, &Value::Null));
    let text = std::fs::read_to_string(world.config.audit_log()).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let success = lines.find(|line| line["action"] == "secret.read" && line["status"] == "success").unwrap();
    assert!(names(&success, &draft), "{success}");
    let text = std::fs::read_to_string(world.config.audit_log()).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let stored = lines.find(|line| line["action"] == "envelope.store").unwrap();
    assert_eq!(stored["principal"], world.manager.id.to_string());
    assert_eq!(stored["credential"], format!("{:?}", world.manager.identity.kid()));
}

#[actix_web::test]
async fn a_flood_with_one_token_is_limited_counted_and_leaves_other_readers_alone() {
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    let (flood, other, dead) = (world.draft(&[secret]), world.token(&[secret]), world.draft(&[secret]));
    world.revoke(Event::Token(dead.jti.parse().unwrap())).await;
    for draft in [&flood, &dead] {
        let token = draft.sign();
        let (mut refused, mut limited) = (0, 0);
        for _ in 0..500 {
            let reply = read_many(&world, &token, &[SecretId::generate(), SecretId::generate()]).await;
            match reply.status {
                429 => {
                    assert_eq!(reply.problem(), (429, "rate_limited".to_owned()));
                    assert_eq!(reply.headers.get("retry-after").unwrap(), "1");
                    limited += 1;
                }
                _ => refused += 1,
            }
        }
        assert!(refused <= 20 && limited >= 480, "{refused} refused, {limited} limited");
        assert_eq!(world.value(&token, &secret).await, Err((429, "rate_limited".to_owned())), "whatever it asks");
    }
    assert_eq!(world.value(&other, &secret).await.unwrap(), "v");
    world.clock.advance(1);
    assert_eq!(world.value(&flood.sign(), &secret).await.unwrap(), "v", "a second later");
    let lines = refusals(&world).await;
    assert_eq!(stand_for(&lines), 1_002, "none is lost unrecorded");
    assert!(lines.len() <= 50, "{} lines", lines.len());
}

#[actix_web::test]
async fn a_flood_with_many_tokens_of_one_subject_writes_few_lines_and_does_not_lock_the_subject_out() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let good = world.draft(&[secret]);
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let mut draft = world.draft(&[secret]);
        draft.sub.clone_from(&good.sub);
        statuses.push(world.read(&draft.sign(), &unknown(secret)).await.status);
    }
    // Each token is told the truth, however many refusals the others caused.
    assert_eq!(statuses, [404; 200]);
    assert_eq!(world.value(&good.sign(), &secret).await.unwrap(), "v", "a good request of the subject is served");
    let lines = refusals(&world).await;
    assert_eq!(stand_for(&lines), 200, "none is lost unrecorded");
    assert!(lines.len() <= 50, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line["principal"] == good.sub));
}

#[actix_web::test]
async fn bodies_and_ids_that_are_refused_count_like_every_other_refusal() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let bodies = [
        "{".to_owned(),
        json!({"key_ids": [secret.id], "more": 1}).to_string(),
        json!({"key_ids": []}).to_string(),
        json!({"key_ids": [secret.id, secret.id]}).to_string(),
    ];
    let drafts: Vec<Draft> = bodies.iter().map(|_| world.draft(&[secret])).collect();
    for (body, draft) in bodies.iter().zip(&drafts) {
        let mut statuses = Vec::new();
        for _ in 0..30 {
            let body = body.clone().into_bytes();
            statuses.push(command(&world.vault, "/api/keys:read", &draft.sign(), body).await.status);
        }
        assert_eq!(statuses, [[400; 20].as_slice(), &[429; 10]].concat(), "{body}");
    }
    let lines = refusals(&world).await;
    assert_eq!(stand_for(&lines), 120, "none is lost unrecorded");
    for draft in &drafts {
        assert!(lines.iter().any(|line| line["code"] != "rate_limited" && names(line, draft)), "{lines:?}");
    }
}
