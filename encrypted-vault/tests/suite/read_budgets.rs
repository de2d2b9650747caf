//! The operator's budgets of what the tokens of one subject may open.

use actix_web::test::TestRequest;
use encrypted_vault::read_budgets::BudgetSettings;
use serde_json::json;
use shared_proto::id::TokenId;
use shared_proto::wire::vault::OpenedKey;

use crate::support::{World, send};

#[actix_web::test]
async fn tokens_of_a_subject_open_no_more_than_its_budget_until_the_minute_ends() {
    let world = World::with_budgets(BudgetSettings { reads_per_minute: Some(3), secrets_per_minute: None }).await;
    let secret = world.secret("hunter2").await;
    let first = world.draft(&[secret]);
    let mut second = first.clone();
    second.jti = TokenId::generate().to_string();
    let [first, second] = [first.sign(), second.sign()];
    for token in [&first, &second, &first] {
        let _opened: OpenedKey = world.read(token, &secret).await.expect(200);
    }
    for token in [&first, &second] {
        let refused = world.read(token, &secret).await;
        assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
        let wait: u64 = refused.headers.get("retry-after").unwrap().to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // A draft has a subject of its own.
    let other = world.token(&[secret]);
    let _opened: OpenedKey = world.read(&other, &secret).await.expect(200);
    world.clock.advance(60);
    world.poll().await;
    let _opened: OpenedKey = world.read(&first, &secret).await.expect(200);
}

#[actix_web::test]
async fn batch_opens_as_many_secrets_as_the_budget_has_left_and_says_which_not() {
    let world = World::with_budgets(BudgetSettings { reads_per_minute: None, secrets_per_minute: Some(2) }).await;
    let mut secrets = Vec::new();
    for value in ["a", "b", "c"] {
        secrets.push(world.secret(value).await);
    }
    let token = world.token(&secrets);
    let ids: Vec<String> = secrets.iter().map(|secret| secret.id.to_string()).collect();
    let ask = || {
        let request =
            TestRequest::post().uri("/api/keys:read").insert_header(("authorization", format!("Bearer {token}")));
        request.set_json(json!({ "key_ids": ids }))
    };
    for _ in 0..2 {
        let answer: serde_json::Value = send(&world.vault, ask()).await.expect(200);
        let codes: Vec<_> = answer["keys"].as_array().unwrap().iter().map(|key| key["code"].as_str()).collect();
        assert_eq!(codes, [None, None, Some("rate_limited")], "those that were opened may be opened again");
    }
}
