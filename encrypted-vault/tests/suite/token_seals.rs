//! The last check of a token: its seal. And what is told only after a signature held.

use serde_json::{Value, json};
use shared_proto::command::Operation;
use shared_proto::encoding::{b64, from_b64, random};
use shared_proto::id::{CredentialId, PersonId, TokenId};
use shared_proto::release::SealKey;

use crate::support::{Draft, NOW, World, raw_jws, seal_by_hand, signing_keys};

fn invalid() -> Result<String, (u16, String)> {
    Err((401, "token_invalid".to_owned()))
}

#[actix_web::test]
async fn a_token_edited_in_any_byte_is_refused() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let token = world.token(&[secret]);
    assert!(world.value(&token, &secret).await.is_ok());
    let dice: Vec<u8> = std::iter::repeat_with(random::<32>).take(token.len() / 32 + 1).flatten().collect();
    for position in 0..token.len() {
        let mut edited = token.clone().into_bytes();
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
        let other = alphabet[usize::from(dice[position]) % alphabet.len()];
        edited[position] = if other == edited[position] { b'~' } else { other };
        let edited = String::from_utf8(edited).unwrap();
        assert_eq!(world.value(&edited, &secret).await, invalid(), "position {position}");
    }
    for cut in [1, 10, token.len() / 2] {
        assert_eq!(world.value(&token[..token.len() - cut], &secret).await, invalid());
    }
    assert_eq!(world.value(&format!("{token}A"), &secret).await, invalid());
    assert_eq!(world.value(&format!("{token}="), &secret).await, invalid());
}

#[actix_web::test]
async fn a_seal_bound_to_other_terms_is_refused() {
    type Change = fn(&mut Draft);
    let changes: [(&str, Change); 8] = [
        ("sub", |draft| draft.sub = PersonId::generate().to_string()),
        ("client_id", |draft| draft.client_id = CredentialId::generate().to_string()),
        ("jti", |draft| draft.jti = TokenId::generate().to_string()),
        ("iat", |draft| draft.iat -= 1),
        ("exp", |draft| draft.exp += 1),
        ("rseq", |draft| draft.rseq -= 1),
        ("env", |draft| draft.env[0] ^= 1),
        ("version", |draft| draft.grants[0].1 += 1),
    ];
    let mut world = World::new().await;
    let secret = world.secret("v").await;
    world.revoke(shared_proto::event::Event::Token(TokenId::generate())).await;
    let good = world.draft(&[secret]);
    assert!(world.value(&good.sign(), &secret).await.is_ok());
    let sealed = good.claims();
    for (name, change) in changes {
        let mut other = good.clone();
        change(&mut other);
        // The terms say one thing, the seal another.
        let mut claims = other.claims();
        claims["seals"] = sealed["seals"].clone();
        claims["rk"] = sealed["rk"].clone();
        let token = Draft::sign_claims(&Value::Object(claims).to_string());
        assert_eq!(world.value(&token, &secret).await, invalid(), "{name}");
    }
}

#[actix_web::test]
async fn seals_and_release_keys_that_do_not_fit_are_refused() {
    let world = World::new().await;
    let (secret, other) = (world.secret("v").await, world.secret("w").await);
    let draft = world.draft(&[secret]);
    let keys = world.seal_keys();
    let release_key = *world.manager.release_key(&secret).expose();
    let try_with = async |seals: Value, rk: String| {
        let mut claims = draft.claims();
        claims["seals"] = seals;
        claims["rk"] = json!(rk);
        world.value(&Draft::sign_claims(&Value::Object(claims).to_string()), &secret).await
    };
    let (seals, rk) = seal_by_hand(&draft.info(), &[release_key], &keys);
    assert_eq!(try_with(Value::Object(seals.clone()), rk.clone()).await.unwrap(), "v");
    let (_, none) = seal_by_hand(&draft.info(), &[], &keys);
    let (_, elsewhere) = seal_by_hand(&draft.info(), &[release_key], &keys);
    for rk in [none, elsewhere, format!("{rk}AAAA"), String::new(), b64(&[0; 48])] {
        assert_eq!(try_with(Value::Object(seals.clone()), rk).await, invalid());
    }
    let wrong = *world.manager.release_key(&other).expose();
    for keys_inside in [vec![wrong], vec![release_key, wrong], vec![wrong, release_key]] {
        let (seals, rk) = seal_by_hand(&draft.info(), &keys_inside, &keys);
        assert_eq!(try_with(Value::Object(seals), rk).await, invalid());
    }
    for flip in [0, 31, 32, 79] {
        let mut broken = seals.clone();
        let (kid, sealed) = seals.iter().next().unwrap();
        let mut bytes = from_b64(sealed.as_str().unwrap()).unwrap();
        bytes[flip] ^= 1;
        broken[kid] = json!(b64(&bytes));
        assert_eq!(try_with(Value::Object(broken), rk.clone()).await, invalid(), "byte {flip}");
    }
    let nine: Vec<_> = (0..9).map(|_| SealKey::generate().unwrap().public().clone()).chain(keys).collect();
    let (seals, rk) = seal_by_hand(&draft.info(), &[release_key], &nine[1..9]);
    assert_eq!(try_with(Value::Object(seals), rk).await, Err((401, "seal_key_unknown".to_owned())), "eight unknown");
    let (seals, rk) = seal_by_hand(&draft.info(), &[release_key], &nine[2..]);
    assert_eq!(try_with(Value::Object(seals), rk).await.unwrap(), "v", "the eighth is alive");
    let (seals, rk) = seal_by_hand(&draft.info(), &[release_key], &nine);
    assert_eq!(try_with(Value::Object(seals), rk).await, invalid(), "ten seals");
    assert_eq!(try_with(json!({}), rk_of(&draft.info(), release_key)).await, invalid(), "no seal");
}

fn rk_of(info: &[u8], release_key: [u8; 32]) -> String {
    seal_by_hand(info, &[release_key], &[]).1
}

#[actix_web::test]
async fn what_the_vault_knows_of_seal_keys_and_events_is_told_after_the_signature_only() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let stranger = SealKey::generate().unwrap();
    let mut sealed_elsewhere = world.draft(&[secret]);
    let claims = {
        let (seals, rk) = seal_by_hand(
            &sealed_elsewhere.info(),
            &[*world.manager.release_key(&secret).expose()],
            &[stranger.public().clone()],
        );
        let mut claims = sealed_elsewhere.claims();
        claims["seals"] = Value::Object(seals);
        claims["rk"] = json!(rk);
        Value::Object(claims).to_string()
    };
    let header = Draft::header();
    let [ours, other] = signing_keys();
    assert_eq!(world.value(&raw_jws(&header, &claims, ours), &secret).await, Err((401, "seal_key_unknown".into())));
    assert_eq!(world.value(&raw_jws(&header, &claims, other), &secret).await, invalid());
    sealed_elsewhere.rseq = 1;
    let ahead = Value::Object(sealed_elsewhere.claims()).to_string();
    assert_eq!(world.value(&raw_jws(&header, &ahead, ours), &secret).await, Err((503, "revocations_behind".into())));
    assert_eq!(world.value(&raw_jws(&header, &ahead, other), &secret).await, invalid());
    sealed_elsewhere.rseq = 1 << 53;
    assert_eq!(world.value(&sealed_elsewhere.sign(), &secret).await, invalid(), "beyond every number");
}

#[actix_web::test]
async fn a_signing_key_counts_only_while_its_statement_does() {
    let world = World::new().await;
    let secret = world.secret("v").await;
    let (cached, fresh) = (world.token(&[secret]), world.token(&[secret]));
    assert!(world.value(&cached, &secret).await.is_ok());
    let state = async |validity| {
        let mut poll = world.manager.poll_body(world.seal_kid());
        poll.statements = vec![world.manager.statement(validity)];
        assert_eq!(world.order(Operation::Poll, &poll).await.status, 200);
    };
    state((NOW - 60, NOW)).await;
    assert_eq!(world.value(&fresh, &secret).await, invalid(), "expired now");
    assert_eq!(world.value(&cached, &secret).await, invalid(), "cached tokens too");
    state((NOW + 1, NOW + 60)).await;
    assert_eq!(world.value(&fresh, &secret).await, invalid(), "not yet");
    state((NOW, NOW + 10)).await;
    assert!(world.value(&fresh, &secret).await.is_ok() && world.value(&cached, &secret).await.is_ok());
    world.clock.advance(10);
    assert_eq!(world.value(&fresh, &secret).await, invalid(), "expired while known");
    let mut forged = world.manager.poll_body(None);
    forged.statements[0].not_after += 1;
    assert_eq!(world.order(Operation::Poll, &forged).await.status, 200);
    assert_eq!(world.value(&fresh, &secret).await, invalid(), "a statement that does not verify");
}
