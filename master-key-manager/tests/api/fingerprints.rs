//! Questions whether values are the same.

use std::collections::BTreeSet;

use actix_web::http::Method;
use manager_policy::{Permit, Read};
use master_key_manager::access::Caller;
use serde_json::json;
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use service_runtime::config::Mode;
use shared_proto::command::Operation;
use shared_proto::comparison::Likeness::{self, Different, Same, Unknown};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use shared_proto::secret::{SecretValue, ValueEncoding};
use zeroize::Zeroizing;

use crate::support::{ComparisonMood, Installed, Manager, Principal, now};

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn text(value: &str) -> SecretValue {
    SecretValue::from_json(ValueEncoding::Text, Zeroizing::new(value.to_owned())).unwrap()
}

async fn stored(manager: &Manager, path: &str, value: &str) -> SecretId {
    manager.store_value(path, value).await.expect(201).member("key_id").parse().unwrap()
}

/// A caller of this moment.
async fn caller(manager: &Manager, who: &Principal) -> Caller {
    let view = manager.app.registry.now().await.unwrap();
    Caller::new(view.state.actor(who.credential, now()).unwrap(), &view, now())
}

async fn permit(manager: &Manager, who: &Caller, secret: SecretId) -> Result<Permit<Read>, Refusal> {
    who.permit_on_id::<Read>(&manager.store, secret).await
}

/// A service that may read in a folder.
async fn reader(manager: &Manager, name: &str, pattern: &str) -> Principal {
    let who = manager.service(name).await;
    manager.permit(&who.id(), "allow", &["read"], pattern).await;
    who
}

async fn guess(
    manager: &Manager,
    who: &Principal,
    secret: SecretId,
    number: u64,
    value: &str,
) -> Result<Likeness, ErrorCode> {
    let caller = caller(manager, who).await;
    let permit = permit(manager, &caller, secret).await.map_err(|refusal| refusal.code())?;
    let asked =
        manager.app.fingerprints.compare((&caller, &permit), (secret, version(number)), &text(value), &origin()).await;
    asked.map_err(|refusal| refusal.code())
}

async fn same(manager: &Manager, who: &Principal, secret: SecretId, numbers: [u64; 2]) -> Result<Likeness, ErrorCode> {
    let caller = caller(manager, who).await;
    let permit = permit(manager, &caller, secret).await.unwrap();
    let asked = manager.app.fingerprints.same((&caller, &permit), secret, numbers.map(version), &origin()).await;
    asked.map_err(|refusal| refusal.code())
}

/// All versions elsewhere with the value of the first version, from page to page, and how many could not be compared.
async fn elsewhere(manager: &Manager, who: &Principal, secret: SecretId) -> (Vec<(SecretId, u64)>, u64) {
    let (mut all, mut unknown, mut page) = (Vec::new(), 0, None);
    loop {
        let caller = caller(manager, who).await;
        let permit = permit(manager, &caller, secret).await.unwrap();
        let asked = manager
            .app
            .fingerprints
            .same_elsewhere((&caller, &permit), (secret, version(1)), page, &origin())
            .await
            .unwrap();
        assert!(asked.versions.len() <= 63);
        all.extend(asked.versions.iter().map(|(secret, number)| (*secret, number.get())));
        unknown += asked.unknown;
        page = asked.next;
        if page.is_none() {
            return (all, unknown);
        }
    }
}

fn origin() -> Origin {
    Origin::background()
}

fn asked(installed: &Installed) -> usize {
    let orders = &installed.vault.state().orders;
    orders.iter().filter(|op| matches!(op, Operation::Compare | Operation::Find)).count()
}

#[actix_web::test]
async fn value_and_versions_are_compared_also_by_a_rollback_and_after_a_restart() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "app/p", "one").await;
    stored(&manager, "app/p", "two").await;
    stored(&manager, "app/p", "one").await;
    manager.post(&format!("/api/secrets/{secret}:rollback"), json!({"version": 2})).await.expect(201);
    let who = reader(&manager, "reader", "app/**").await;
    for (number, value, expected) in
        [(1, "one", Same), (1, "two", Different), (2, "two", Same), (4, "two", Same), (4, "one", Different)]
    {
        assert_eq!(guess(&manager, &who, secret, number, value).await, Ok(expected), "{number} {value}");
    }
    let before = asked(&installed);
    assert_eq!(same(&manager, &who, secret, [2, 4]).await, Ok(Same));
    assert_eq!(asked(&installed), before, "the same envelope: nobody is asked");
    assert_eq!(same(&manager, &who, secret, [1, 3]).await, Ok(Same));
    assert_eq!(same(&manager, &who, secret, [1, 4]).await, Ok(Different));
    for number in [5, 9] {
        assert_eq!(guess(&manager, &who, secret, number, "one").await, Err(ErrorCode::SecretNotFound));
        assert_eq!(same(&manager, &who, secret, [1, number]).await, Err(ErrorCode::SecretNotFound));
    }
    manager.stop().await;
    let manager = installed.start().await;
    assert_eq!(guess(&manager, &who, secret, 1, "one").await, Ok(Same), "the keys are those of the folder");
}

#[actix_web::test]
async fn nobody_compares_what_he_may_not_read_nor_learns_of_it_elsewhere() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let (own, other) = (stored(&manager, "app/own", "v").await, stored(&manager, "app/other", "v").await);
    let hidden = stored(&manager, "closed/hidden", "v").await;
    stored(&manager, "app/different", "w").await;
    let (who, wide) = (reader(&manager, "reader", "app/**").await, reader(&manager, "wide", "**").await);
    let writer = manager.service("writer").await;
    manager.permit(&writer.id(), "allow", &["write", "list"], "**").await;
    let before = asked(&installed);
    assert_eq!(guess(&manager, &who, hidden, 1, "v").await, Err(ErrorCode::SecretNotFound));
    assert_eq!(guess(&manager, &writer, own, 1, "v").await, Err(ErrorCode::SecretNotFound), "to write is not enough");
    assert_eq!(asked(&installed), before, "the vault was not asked");
    assert_eq!(elsewhere(&manager, &who, own).await, (vec![(other, 1)], 0));
    let all: BTreeSet<_> = elsewhere(&manager, &wide, own).await.0.into_iter().collect();
    assert_eq!(all, BTreeSet::from([(other, 1), (hidden, 1)]));
    // A permit for one secret is none for another, and none after the policy has changed.
    let caller = caller(&manager, &who).await;
    let of_own = permit(&manager, &caller, own).await.unwrap();
    let asked = manager.app.fingerprints.compare((&caller, &of_own), (other, version(1)), &text("v"), &origin()).await;
    assert_eq!(asked.unwrap_err().code(), ErrorCode::Internal);
    manager.permit(&who.id(), "deny", &["read"], "app/other").await;
    let asked = manager.app.fingerprints.compare((&caller, &of_own), (own, version(1)), &text("v"), &origin()).await;
    assert_eq!(asked.unwrap_err().code(), ErrorCode::CredentialInvalid);
    assert_eq!(elsewhere(&manager, &who, own).await, (vec![], 0));
}

#[actix_web::test]
async fn page_of_versions_elsewhere_is_bounded_and_the_next_one_continues() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let who = reader(&manager, "reader", "app/**").await;
    let one = stored(&manager, "app/one", "v").await;
    let mut expected = BTreeSet::new();
    for number in 0..150 {
        let value = if number % 15 == 0 { "w" } else { "v" };
        let secret = stored(&manager, &format!("app/{number}"), value).await;
        if value == "v" {
            expected.insert((secret, 1));
        }
    }
    let (found, unknown) = elsewhere(&manager, &who, one).await;
    assert_eq!((found.len(), unknown), (140, 0), "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[actix_web::test]
async fn answer_that_the_vault_did_not_sign_for_this_question_is_not_believed() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "app/p", "v").await;
    stored(&manager, "app/p", "w").await;
    let who = reader(&manager, "reader", "app/**").await;
    for (mood, code) in [
        (ComparisonMood::ForgeSignature, ErrorCode::Unavailable),
        (ComparisonMood::WrongNonce, ErrorCode::Unavailable),
        (ComparisonMood::TooMany, ErrorCode::Unavailable),
        (ComparisonMood::Garble, ErrorCode::Unavailable),
        (ComparisonMood::OfBefore, ErrorCode::Unavailable),
        (ComparisonMood::Spent, ErrorCode::RateLimited),
    ] {
        installed.vault.state().comparison_mood = mood;
        assert_eq!(guess(&manager, &who, secret, 1, "w").await, Err(code), "{mood:?}");
        assert_eq!(same(&manager, &who, secret, [1, 2]).await, Err(code), "{mood:?}");
    }
    installed.vault.state().comparison_mood = ComparisonMood::Honest;
    assert_eq!(guess(&manager, &who, secret, 1, "w").await, Ok(Different));
}

#[actix_web::test]
async fn vault_of_before_stores_without_a_fingerprint_and_its_versions_are_unknown() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    installed.vault.state().comparison_mood = ComparisonMood::OfBefore;
    let old = stored(&manager, "app/old", "v").await;
    installed.vault.state().comparison_mood = ComparisonMood::Honest;
    let new = stored(&manager, "app/new", "v").await;
    let who = reader(&manager, "reader", "app/**").await;
    assert_eq!(guess(&manager, &who, old, 1, "v").await, Ok(Unknown));
    assert_eq!(guess(&manager, &who, new, 1, "v").await, Ok(Same));
    assert_eq!(elsewhere(&manager, &who, new).await, (vec![], 1));
    let token = manager.post("/api/tokens", json!({"secrets": [{"key_id": old}]})).await.expect(201);
    assert_eq!(installed.vault.open(&token.member("access_token"))[0].expose(), b"v");
}

#[actix_web::test]
async fn frozen_environment_and_destroyed_version_are_not_compared_and_each_question_leaves_a_line() {
    let installed = Installed::new(Mode::Development).await;
    let manager = installed.start().await;
    let secret = stored(&manager, "app/p", "v").await;
    stored(&manager, "app/p", "w").await;
    let who = reader(&manager, "reader", "app/**").await;
    assert_eq!(guess(&manager, &who, secret, 1, "v").await, Ok(Same));
    assert_eq!(same(&manager, &who, secret, [1, 2]).await, Ok(Different));
    assert_eq!(elsewhere(&manager, &who, secret).await, (vec![], 0));
    let log = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    for action in ["value.compare", "value.compare_versions", "value.find"] {
        let lines = log.lines().filter(|line| line.contains(&format!("\"{action}\"")));
        assert!(lines.clone().count() == 1 && lines.clone().all(|line| line.contains(&secret.to_string())), "{action}");
    }
    manager.admin(Method::POST, "/api/environments/dev:freeze", None).await.expect(200);
    assert_eq!(guess(&manager, &who, secret, 1, "v").await, Err(ErrorCode::EnvironmentFrozen));
    manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
    manager.post(&format!("/api/keys/{secret}/destroy"), json!({"versions": [1]})).await.expect(200);
    assert_eq!(guess(&manager, &who, secret, 1, "v").await, Err(ErrorCode::SecretNotFound));
    assert_eq!(same(&manager, &who, secret, [1, 2]).await, Err(ErrorCode::SecretNotFound));
    assert_eq!(guess(&manager, &who, secret, 2, "w").await, Ok(Same));
}
