//! Signed commands: what is checked of them, and in which order.

use serde_json::{Value, json};
use shared_proto::command::Operation;
use shared_proto::encoding::{b64, sha256};
use shared_proto::id::{ManagerId, SecretId, VaultId};
use shared_proto::identity::{IdentityKey, Issuer};
use shared_proto::jws::Kind;

use crate::support::{Manager, NOW, World, command};

const COMMANDS: &str = "/api/commands";
const EVENTS: &str = "/api/events";

fn invalid() -> (u16, String) {
    (401, "command_invalid".to_owned())
}

fn of_another_time() -> (u16, String) {
    (401, "clock_differs".to_owned())
}

/// Claims of a good poll, and its body.
fn poll(manager: &Manager) -> (Value, Vec<u8>) {
    let body = serde_json::to_vec(&manager.poll_body(None)).unwrap();
    let claims = json!({
        "iss": manager.issuer(), "aud": manager.vault, "iat": NOW, "nbf": NOW, "exp": NOW + 60,
        "jti": "AAAAAAAAAAAAAAAAAAAAAA", "op": "poll", "body": b64(&sha256(&body)),
    });
    (claims, body)
}

/// Any header and claims under an Ed25519 signature.
fn eddsa(header: &str, claims: &str, key: &IdentityKey) -> String {
    let input = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    let signature = key.sign(input.as_bytes());
    format!("{input}.{}", b64(&signature.0))
}

#[actix_web::test]
async fn every_claim_of_a_command_is_checked() {
    let world = World::new().await;
    let manager = &world.manager;
    let (good, body) = poll(manager);
    let try_claims = async |claims: &Value| {
        command(&world.vault, COMMANDS, &manager.sign(Kind::Command, claims), body.clone()).await
    };
    assert_eq!(try_claims(&good).await.status, 200);
    for (iat, nbf, exp) in [(NOW - 59, NOW - 59, NOW + 1), (NOW + 30, NOW + 30, NOW + 90), (NOW, NOW, NOW + 1)] {
        let mut claims = good.clone();
        (claims["iat"], claims["nbf"], claims["exp"]) = (iat.into(), nbf.into(), exp.into());
        assert_eq!(try_claims(&claims).await.status, 200, "{claims}");
    }
    let other = Issuer { manager: ManagerId::generate(), mode: manager.mode };
    let wrong = [
        ("iss", json!(other)),
        ("iss", json!("")),
        ("aud", json!(VaultId::generate())),
        ("aud", json!([manager.vault])),
        ("exp", json!(NOW)),
        ("exp", json!(NOW - 1)),
        ("exp", json!(NOW + 61)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(NOW - 1)),
        ("iat", json!(NOW + 31)),
        ("iat", json!(NOW + 60)),
        ("nbf", json!(NOW + 31)),
        ("nbf", json!(NOW + 60)),
        ("op", json!("push")),
        ("op", json!("store")),
        ("op", json!("Poll")),
        ("op", json!("handout")),
        ("op", json!("retire ")),
        ("body", json!(b64(&sha256(b"another body")))),
        ("body", json!("")),
        ("jti", json!("short")),
        ("extra", json!(1)),
    ];
    for (name, value) in wrong {
        let mut claims = good.clone();
        claims[name] = value;
        let reply = try_claims(&claims).await;
        let expected = match (claims["op"].as_str(), claims["iat"].as_u64()) {
            (Some("store" | "handout"), _) => (400, "body_invalid".to_owned()),
            // Nothing else is wrong with this one.
            (_, Some(iat)) if iat == NOW + 31 => of_another_time(),
            _ => invalid(),
        };
        assert_eq!(reply.problem(), expected, "{claims}");
    }
    for name in ["iss", "aud", "exp", "nbf", "iat", "jti", "op", "body"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(try_claims(&claims).await.problem(), invalid(), "no {name}");
        for value in [Value::Null, json!(1.5), json!("1800000030"), json!({})] {
            let mut claims = good.clone();
            claims[name] = value;
            assert_eq!(try_claims(&claims).await.problem(), invalid(), "{claims}");
        }
    }
}

#[actix_web::test]
async fn only_the_pinned_key_and_the_exact_header_count() {
    let world = World::new().await;
    let manager = &world.manager;
    let (claims, body) = poll(manager);
    let claims = claims.to_string();
    let stranger = IdentityKey::generate().unwrap().0;
    let (ours, theirs) = (format!("{:?}", manager.identity.kid()), format!("{:?}", stranger.kid()));
    let header = |kid: &str| format!(r#"{{"alg":"EdDSA","typ":"command+jwt","kid":"{kid}"}}"#);
    let good = eddsa(&header(&ours), &claims, &manager.identity);
    assert_eq!(command(&world.vault, COMMANDS, &good, body.clone()).await.status, 200);
    let mut tokens = vec![
        eddsa(&header(&ours), &claims, &stranger),
        eddsa(&header(&theirs), &claims, &stranger),
        eddsa(&header("../identity.pem"), &claims, &manager.identity),
        good.replace('.', ""),
        format!("{good}."),
        "spv_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    ];
    let headers = [
        header(&ours).replace("command+jwt", "at+jwt"),
        header(&ours).replace("command+jwt", "secevent+jwt"),
        header(&ours).replace("EdDSA", "none"),
        header(&ours).replace("EdDSA", "Ed25519"),
        header(&ours).replace('}', r#","crit":["exp"]}"#),
        header(&ours).replace('}', r#","kid":"x"}"#),
    ];
    tokens.extend(headers.iter().map(|header| eddsa(header, &claims, &manager.identity)));
    let twice = claims.replacen('{', r#"{"op":"poll","#, 1);
    tokens.push(eddsa(&header(&ours), &twice, &manager.identity));
    let long = format!("{claims}{}", " ".repeat(1_500));
    tokens.push(eddsa(&header(&ours), &long, &manager.identity));
    for token in tokens {
        assert_eq!(command(&world.vault, COMMANDS, &token, body.clone()).await.problem(), invalid(), "{token}");
    }
    for position in (0..good.len()).step_by(3) {
        let mut edited = good.clone().into_bytes();
        edited[position] = if edited[position] == b'A' { b'B' } else { b'A' };
        let edited = String::from_utf8(edited).unwrap();
        assert_eq!(command(&world.vault, COMMANDS, &edited, body.clone()).await.problem(), invalid(), "{position}");
    }
}

#[actix_web::test]
async fn a_command_is_good_for_its_own_route_and_body_only() {
    let world = World::new().await;
    let manager = &world.manager;
    let (_, body) = poll(manager);
    let push = serde_json::to_vec(&manager.push_body(0)).unwrap();
    let operations = [
        Operation::Poll,
        Operation::Replay,
        Operation::Store,
        Operation::Settle,
        Operation::Inventory,
        Operation::Handout,
        Operation::Rewrap,
        Operation::Retire,
    ];
    for op in operations {
        let order = manager.command(op, &push, NOW);
        assert_eq!(command(&world.vault, EVENTS, &order, push.clone()).await.problem(), invalid(), "{op:?}");
    }
    let order = manager.command(Operation::Push, &push, NOW);
    assert_eq!(command(&world.vault, COMMANDS, &order, push).await.problem(), invalid());
    let order = manager.command(Operation::Poll, &body, NOW);
    let mut swapped = body.clone();
    swapped.push(b' ');
    assert_eq!(command(&world.vault, COMMANDS, &order, swapped).await.problem(), invalid(), "a body with a blank more");
    assert_eq!(command(&world.vault, COMMANDS, &order, Vec::new()).await.problem(), invalid(), "no body");
}

#[actix_web::test]
async fn bodies_over_the_limit_of_their_order_are_refused_and_strangers_bodies_are_not_read() {
    let world = World::new().await;
    let limits = [
        (Operation::Poll, COMMANDS, 64 << 10),
        (Operation::Replay, COMMANDS, 64 << 10),
        (Operation::Settle, COMMANDS, 64 << 10),
        (Operation::Inventory, COMMANDS, 64 << 10),
        (Operation::Handout, COMMANDS, 64 << 10),
        (Operation::Rewrap, COMMANDS, 64 << 10),
        (Operation::Retire, COMMANDS, 64 << 10),
        (Operation::Push, EVENTS, 1 << 20),
        (Operation::Store, COMMANDS, 16 << 20),
    ];
    for (op, path, limit) in limits {
        let too_large = vec![b' '; limit + 1];
        let order = world.manager.command(op, &too_large, NOW);
        let reply = command(&world.vault, path, &order, too_large.clone()).await;
        assert_eq!(reply.problem(), (413, "body_too_large".to_owned()), "{op:?}");
        let fits = vec![b' '; limit];
        let order = world.manager.command(op, &fits, NOW);
        let reply = command(&world.vault, path, &order, fits).await;
        assert_eq!(reply.problem(), (400, "body_invalid".to_owned()), "{op:?}");
        let stranger = command(&world.vault, path, "a.b.c", too_large).await;
        assert_eq!(stranger.problem(), invalid(), "{op:?}: 401 before 413");
    }
}

#[actix_web::test]
async fn bodies_that_are_not_the_document_are_refused() {
    let world = World::new().await;
    let good = String::from_utf8(poll(&world.manager).1).unwrap();
    let bodies: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"null".to_vec(),
        b"[]".to_vec(),
        good.as_bytes()[..good.len() - 1].to_vec(),
        format!("{good}{good}").into_bytes(),
        good.replacen('{', r#"{"newest":0,"#, 1).into_bytes(),
        good.replacen('{', r#"{"extra":0,"#, 1).into_bytes(),
        good.replace(r#""newest":0"#, r#""newest":"0""#).into_bytes(),
        good.replace(r#""newest":0"#, r#""newest":-1"#).into_bytes(),
        good.replace(r#""newest":0"#, r#""newest":0.0"#).into_bytes(),
        [b"\xff\xfe".to_vec(), good.clone().into_bytes()].concat(),
        [vec![b'['; 50_000], vec![b']'; 10_000]].concat(),
    ];
    for body in bodies {
        let order = world.manager.command(Operation::Poll, &body, NOW);
        let reply = command(&world.vault, COMMANDS, &order, body.clone()).await;
        assert_eq!(
            reply.problem(),
            (400, "body_invalid".to_owned()),
            "{}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
    }
}

#[actix_web::test]
async fn a_replayed_command_changes_nothing() {
    let mut world = World::new().await;
    let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, "v");
    let record = |world: &World, op, body: Vec<u8>| (world.manager.command(op, &body, NOW), body);
    let store = serde_json::to_vec(&world.manager.store_body(vec![envelope])).unwrap();
    let store = record(&world, Operation::Store, store);
    world.manager.event(shared_proto::event::Event::Secret(secret.id));
    let push = serde_json::to_vec(&world.manager.push_body(0)).unwrap();
    let push = record(&world, Operation::Push, push);
    let state = |world: &World| -> (i64, i64, i64) {
        let count = |table: &str| {
            world.database().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        (count("envelopes"), count("events"), count("tombstones"))
    };
    for _ in 0..3 {
        assert_eq!(command(&world.vault, COMMANDS, &store.0, store.1.clone()).await.status, 200);
        assert_eq!(command(&world.vault, EVENTS, &push.0, push.1.clone()).await.status, 202);
        assert_eq!(state(&world), (1, 1, 0));
    }
    let gone = shared_proto::event::Event::Destroy(world.manager.environment, secret.id, secret.version);
    world.revoke(gone).await;
    let late = command(&world.vault, COMMANDS, &store.0, store.1.clone()).await;
    assert_eq!((late.status, &late.json()["results"][0]["error"]), (200, &json!("version_conflict")));
    assert_eq!(state(&world), (0, 2, 1), "destroyed is destroyed");
    world.clock.advance(60);
    assert_eq!(
        command(&world.vault, EVENTS, &push.0, push.1.clone()).await.problem(),
        of_another_time(),
        "after its minute"
    );
}

#[actix_web::test]
async fn clocks_that_differ_are_told_and_a_replayed_old_command_does_not_say_so() {
    let world = World::new().await;
    let ready = async || String::from_utf8(crate::support::get(&world.vault, "/health/ready", "").await.body).unwrap();
    assert_eq!(ready().await, "ready audit-os development danger.runtime_on_disk danger.swap");
    let body = serde_json::to_vec(&world.manager.poll_body(world.seal_kid())).unwrap();
    let order = |at: u64| world.manager.command(shared_proto::command::Operation::Poll, &body, at);
    let old = order(NOW - 100);
    assert_eq!(command(&world.vault, COMMANDS, &old, body.clone()).await.problem(), of_another_time());
    assert!(ready().await.starts_with("ready "), "good polls are heard");
    world.clock.advance(5);
    assert!(ready().await.starts_with("ready "), "a manager that is down");
    assert_eq!(command(&world.vault, COMMANDS, &order(NOW + 100), body.clone()).await.problem(), of_another_time());
    assert!(ready().await.starts_with("clock "));
    world.poll().await;
    assert!(ready().await.starts_with("ready "));
}

#[actix_web::test]
async fn command_that_is_refused_behind_its_signature_has_a_line_of_its_route() {
    let world = World::new().await;
    let manager = &world.manager;
    let empty = serde_json::to_vec(&json!({"events": [], "nonce": b64(&[0; 16])})).unwrap();
    for (path, op, body) in
        [(COMMANDS, Operation::Push, &empty), (COMMANDS, Operation::Replay, &empty), (EVENTS, Operation::Push, &empty)]
    {
        let reply = command(&world.vault, path, &manager.command(op, body, NOW), body.clone()).await;
        assert!(matches!(reply.status, 400 | 401), "{path}: {}", reply.status);
    }
    world.stop().await;
    let text = std::fs::read_to_string(world.config.audit_log()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = lines.iter().filter(|line| line["status"] == "denied");
    let refused: Vec<_> =
        refused.map(|line| (line["action"].as_str().unwrap(), line["principal"].as_str().unwrap())).collect();
    let by = manager.id.to_string();
    assert_eq!(refused, [("command.run", by.as_str()), ("command.run", &by), ("event.push", &by)]);
}
