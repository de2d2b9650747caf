//! Claims that must not open anything. Every claim that is wrong is wrong inside the seal as well: a seal that does not
//! fit would hide that a check is missing.

use encrypted_vault::store::{NewRow, WrappedKey};
use serde_json::{Value, json};
use shared_proto::envelope::{Ciphertext, Inner};
use shared_proto::id::{ManagerId, SecretId, TokenId, VaultId};
use shared_proto::identity::{Issuer, Mode};
use shared_proto::wire::vault::VersionName;

use crate::support::{Draft, NOW, Secret, Target, signing_keys};

#[actix_web::test]
async fn claims_that_are_missing_or_of_another_type_are_refused() {
    let target = Target::new().await;
    let names: Vec<String> = target.draft().claims().keys().cloned().collect();
    assert_eq!(names.len(), 13);
    for name in &names {
        target.refused_claims(&format!("no {name}"), |claims| drop(claims.remove(name))).await;
        let kept = target.draft().claims()[name].clone();
        let wrong = [
            Value::Null,
            json!(true),
            json!({}),
            json!([]),
            json!([kept]),
            json!(-1),
            json!(1.5),
            json!(kept.to_string()),
            json!(""),
        ];
        for value in wrong {
            let attack = format!("{name} is {value}");
            target.refused_claims(&attack, |claims| drop(claims.insert(name.clone(), value))).await;
        }
    }
    target.refused_claims("an unknown claim", |claims| drop(claims.insert("scope".into(), json!("read")))).await;
    target.refused_claims("an audience list", |claims| claims["aud"] = json!([claims["aud"], "x"])).await;
    // 1.8e9 and 1800000900.0 are not integers of this protocol.
    let draft = target.draft();
    let text = Value::Object(draft.claims()).to_string();
    for form in ["1800000900.0", "1.8000009e9"] {
        let changed = text.replace(r#""exp":1800000900"#, &format!(r#""exp":{form}"#));
        assert_ne!(changed, text);
        target.refused(&Draft::sign_claims(&changed), form).await;
    }
    target.refused(&Draft::sign_claims(&format!("[{text}]")), "an array").await;
    target.refused(&Draft::sign_claims(&format!("{text} x")), "trailing text").await;
    target.refused(&Draft::sign_claims(&format!("\u{feff}{text}")), "a byte order mark").await;
}

#[actix_web::test]
async fn members_that_come_twice_are_refused() {
    let target = Target::new().await;
    let draft = target.draft();
    let claims = draft.claims();
    let text = Value::Object(claims.clone()).to_string();
    for (name, value) in &claims {
        let twice = format!(r#"{{"{name}":{value},{}"#, &text[1..]);
        target.refused(&Draft::sign_claims(&twice), &format!("{name} twice")).await;
    }
    let seals = claims["seals"].to_string();
    let twice = format!("{},{}", &seals[..seals.len() - 1], &seals[1..]);
    target.refused(&Draft::sign_claims(&text.replace(&seals, &twice)), "a seal twice").await;
    let thumbprint = format!("{:?}", signing_keys()[0].public().thumbprint());
    let two = json!({ "jkt": thumbprint, "x5t#S256": thumbprint });
    target.refused_claims("two confirmations", |claims| drop(claims.insert("cnf".into(), two))).await;
}

#[actix_web::test]
async fn a_token_for_another_vault_or_from_another_manager_is_refused() {
    let target = Target::new().await;
    let manager = &target.world.manager;
    let issuers = [
        Issuer { mode: Mode::Production, manager: manager.id }.to_string(),
        Issuer { mode: Mode::Development, manager: ManagerId::generate() }.to_string(),
        format!("{} ", manager.issuer()),
        manager.issuer().to_string().to_uppercase(),
        manager.id.to_string(),
    ];
    for iss in issuers {
        target.refused_draft(&iss.clone(), |draft| draft.iss = iss).await;
    }
    for aud in [VaultId::generate().to_string(), manager.vault.bare(), format!("{},x", manager.vault)] {
        target.refused_draft(&aud.clone(), |draft| draft.aud = aud).await;
    }
    for sub in ["usr_short", "sec_AAAAAAAAAAAAAAAAAAAAAA", "alice"] {
        target.refused_draft(sub, |draft| sub.clone_into(&mut draft.sub)).await;
    }
    target.refused_draft("client_id", |draft| draft.client_id = draft.sub.clone()).await;
    target.refused_draft("jti", |draft| draft.jti = format!("{}A", TokenId::generate())).await;
}

#[actix_web::test]
async fn a_token_for_another_vault_is_refused_even_when_that_vaults_row_is_here() {
    let mut target = Target::new().await;
    let here = std::mem::replace(&mut target.world.manager.vault, VaultId::generate());
    let manager = &target.world.manager;
    let (secret, envelope) = manager.seal(SecretId::generate(), 1, "theirs");
    let inner = Inner::from_moved(&manager.transfer.0, &envelope.moved).unwrap();
    let (storage_key, stored) = target.world.vault.keys.current().storage.store(&inner).unwrap();
    let ciphertext = Ciphertext::new(envelope.commit, envelope.nonce, envelope.ciphertext.0).unwrap();
    let name = VersionName { environment: manager.environment, secret_id: secret.id, version: secret.version };
    let key = WrappedKey { epoch: 1, storage_key, stored };
    let row = NewRow { name, digest: secret.digest, ciphertext, key, fingerprint: None };
    target.world.vault.store.insert(vec![row], NOW).await.unwrap();
    let theirs = target.world.draft(&[secret]);
    assert_eq!(target.world.value(&theirs.sign(), &secret).await, Err((401, "token_invalid".to_owned())));
    target.world.manager.vault = here;
    let ours = target.world.draft(&[secret]);
    assert_eq!(target.world.value(&ours.sign(), &secret).await, Err((401, "token_invalid".to_owned())));
}

#[actix_web::test]
async fn times_are_checked_to_the_second() {
    let target = Target::new().await;
    target.opens(&target.draft()).await;
    let times = |iat, nbf, exp| {
        let mut draft = target.draft();
        (draft.iat, draft.nbf, draft.exp) = (iat, nbf, exp);
        draft
    };
    for (good, why) in [
        (times(NOW, NOW, NOW + 1), "the last second"),
        (times(NOW + 30, NOW + 30, NOW + 900), "a clock 30 s ahead"),
        (times(NOW - 2699, NOW - 2699, NOW + 1), "the longest life"),
    ] {
        assert!(target.world.value(&good.sign(), &target.secret).await.is_ok(), "{why}");
    }
    for (bad, why) in [
        (times(NOW - 900, NOW - 900, NOW), "exactly at exp"),
        (times(NOW - 901, NOW - 901, NOW - 1), "a second after exp"),
        (times(NOW + 31, NOW, NOW + 900), "iat 31 s ahead"),
        (times(NOW, NOW + 31, NOW + 900), "nbf 31 s ahead"),
        (times(NOW - 2700, NOW - 2700, NOW + 1), "a life of 2,701 s"),
        (times(NOW + 20, NOW, NOW + 20), "no life at all"),
        (times(NOW + 20, NOW, NOW + 10), "exp before iat"),
        (times(NOW, NOW + 20, NOW + 20), "nbf at exp"),
        (times(NOW, NOW, u64::MAX), "for ever"),
        (times(0, 0, NOW + 1), "from the beginning of time"),
    ] {
        target.refused(&bad.sign(), why).await;
    }
    // A token in the cache ends like any other.
    let cached = times(NOW, NOW, NOW + 10).sign();
    assert!(target.world.value(&cached, &target.secret).await.is_ok());
    target.world.clock.advance(9);
    assert!(target.world.value(&cached, &target.secret).await.is_ok());
    target.world.clock.advance(1);
    target.refused(&cached, "a cached token at exp").await;
}

#[actix_web::test]
async fn a_confirmation_is_refused_because_nobody_checks_it() {
    let target = Target::new().await;
    let thumbprint = format!("{:?}", signing_keys()[0].public().thumbprint());
    for name in ["jkt", "x5t#S256", "jwk", "kid", "osc"] {
        let confirmation = Some((name.to_owned(), thumbprint.clone()));
        target.refused_draft(name, |draft| draft.cnf = confirmation).await;
    }
    for cnf in [Value::Null, json!({}), json!([]), json!(""), json!({ "jkt": "" }), json!({ "jkt": null })] {
        target.refused_claims(&format!("cnf {cnf}"), |claims| drop(claims.insert("cnf".into(), cnf.clone()))).await;
    }
}

#[actix_web::test]
async fn grants_are_1_to_64_of_different_secrets_with_real_versions() {
    let target = Target::new().await;
    let secret = target.secret;
    let many = |count: usize| {
        let filler = (1..count).map(|_| Secret { id: SecretId::generate(), ..secret });
        target.world.draft(&std::iter::once(secret).chain(filler).collect::<Vec<_>>())
    };
    target.opens(&many(64)).await;
    assert!(many(64).sign().len() < 7_400, "the size that the design counts on");
    target.refused(&many(65).sign(), "65 grants").await;
    target.refused(&target.world.draft(&[]).sign(), "no grant").await;
    target.refused(&target.world.draft(&[secret, secret]).sign(), "a secret twice").await;
    for version in [0, 1 << 53, u64::MAX] {
        target.refused_draft(&format!("version {version}"), |draft| draft.grants[0].1 = version).await;
    }
    let grant = target.draft().claims()["grants"][0].clone();
    for form in [json!([grant[0]]), json!([grant[0], 1, 1]), json!([1, grant[0]]), json!({ "a": 1 }), json!(grant[0])] {
        target.refused_claims(&form.to_string(), |claims| claims["grants"] = json!([form])).await;
    }
    target.refused_claims("a prefixed id", |claims| claims["grants"] = json!([[secret.id.to_string(), 1]])).await;
}
