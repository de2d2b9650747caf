//! Key sets of external issuers: fetched, rolled over, and refused.

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{IssuerMood, Signer};
use crate::trusts::{Actions, claims, is_refused, with};

#[actix_web::test]
async fn new_key_of_the_issuer_counts_and_the_withdrawn_one_does_not() {
    let actions = Actions::new().await;
    actions.of_main().await.expect(200);
    let next = Signer::rsa("two");
    actions.issuer.publish(&[&next]);
    let token = next.token(&claims());
    // Within half a minute nothing is fetched again, whoever asks.
    let strangers: Vec<String> = (0..200).map(|number| Signer::ed25519(&number.to_string()).token(&claims())).collect();
    for answer in join_all(strangers.iter().map(|token| actions.exchange(token, &[]))).await {
        is_refused(answer, 400, "invalid_request");
    }
    is_refused(actions.exchange(&token, &[]).await, 400, "invalid_request");
    assert_eq!(actions.issuer.asked().len(), 1);
    actions.manager.clock.pass(31);
    actions.exchange(&token, &[]).await.expect(200);
    is_refused(actions.of_main().await, 400, "invalid_request");
    assert_eq!(actions.issuer.asked().len(), 2);
    // An issuer that fails keeps its last keys for a while.
    actions.issuer.set(IssuerMood::Status(500));
    actions.manager.clock.pass(3_600);
    actions.exchange(&token, &[]).await.expect(200);
    actions.manager.clock.pass(6 * 3_600);
    is_refused(actions.exchange(&token, &[]).await, 503, "temporarily_unavailable");
    actions.manager.stop().await;
}

#[actix_web::test]
async fn key_sets_that_are_huge_moved_failing_or_slow_admit_nobody() {
    for mood in [
        IssuerMood::Endless,
        IssuerMood::Redirect("/elsewhere".to_owned()),
        IssuerMood::Status(404),
        IssuerMood::Document("{}".to_owned()),
        IssuerMood::Silent,
    ] {
        let actions = Actions::new().await;
        actions.issuer.set(mood.clone());
        let answer = actions.of_main().await;
        assert_eq!(answer.headers.get("retry-after").unwrap(), "2", "{mood:?}");
        is_refused(answer, 503, "temporarily_unavailable");
        let path = format!("{}:dry-run", actions.path());
        let dry = actions.manager.post(&path, json!({"jwt": actions.signer.token(&claims())})).await;
        dry.expect(503).refused("unavailable");
        assert_eq!(actions.issuer.asked(), ["/jwks"], "{mood:?}");
        // The control: half a minute later the same token counts.
        actions.issuer.publish(&[&actions.signer]);
        actions.manager.clock.pass(31);
        actions.of_main().await.expect(200);
        actions.manager.stop().await;
    }
}

#[actix_web::test]
async fn issuer_that_withdraws_its_last_key_or_gives_one_away_admits_nobody() {
    let actions = Actions::new().await;
    let mut private = actions.signer.jwk();
    private["d"] = json!("AA");
    for document in [json!({"keys": []}), json!({"keys": [private]})] {
        actions.issuer.publish(&[&actions.signer]);
        actions.manager.clock.pass(601);
        actions.of_main().await.expect(200);
        actions.issuer.set(IssuerMood::Document(document.to_string()));
        actions.manager.clock.pass(601);
        is_refused(actions.of_main().await, 400, "invalid_request");
    }
    actions.manager.stop().await;
}

#[actix_web::test]
async fn nothing_is_fetched_for_a_token_that_fits_no_trust() {
    let actions = Actions::new().await;
    for claims in [
        with("iss", json!(actions.issuer.url)),
        with("sub", json!("repo:evil/shop:ref:refs/heads/main")),
        with("sub", Value::Null),
    ] {
        let token = actions.signer.token(&claims);
        is_refused(actions.exchange(&token, &[]).await, 400, "invalid_request");
    }
    assert!(actions.issuer.asked().is_empty());
    actions.manager.stop().await;
}

#[actix_web::test]
async fn trust_that_is_disabled_while_its_keys_are_fetched_admits_nobody() {
    let actions = Actions::new().await;
    actions.issuer.set(IssuerMood::Silent);
    let disable = async {
        crate::support::until("it is asked", async || !actions.issuer.asked().is_empty()).await;
        actions.manager.admin(Method::DELETE, &actions.path(), None).await.expect(200);
        actions.issuer.publish(&[&actions.signer]);
    };
    let (answer, ()) = tokio::join!(actions.of_main(), disable);
    assert_ne!(answer.status, 200);
    is_refused(actions.of_main().await, 400, "invalid_request");
    actions.manager.stop().await;
}
