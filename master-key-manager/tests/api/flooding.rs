//! Callers with few rights who make as many changes as they can: nobody else pays for it.

use std::time::Duration;

use actix_web::http::Method;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::timeout;

use crate::approved_reads::Guarded;
use crate::support::{StoreMood, until};

#[actix_web::test]
async fn a_write_that_the_vault_holds_up_outlives_the_asking_of_somebody_else() {
    let all = Guarded::new().await;
    let other = all.manager.service("other").await;
    all.installed.vault.state().store_mood = StoreMood::Late;
    let orders = all.installed.vault.state().orders.len();
    let flood = async {
        until("the write is at the vault", async || all.installed.vault.state().orders.len() > orders).await;
        for _ in 0..50 {
            let id = all.ask(&all.reader, 60).await.expect(202).member("approval_id");
            all.decide(&all.reader, &id, "cancel").await.expect(200);
        }
        // What somebody takes away is not behind them.
        let of = format!("/api/services/{}/credentials/{}", other.id(), other.credential);
        let disabled = timeout(Duration::from_secs(5), all.manager.admin(Method::DELETE, &of, None)).await;
        assert!(disabled.expect("a revocation is answered").status.is_success());
        all.installed.vault.state().store_mood = StoreMood::Honest;
    };
    let (stored, ()) = tokio::join!(all.manager.store_value("app/other", "v"), flood);
    let stored = stored.expect(201).json();
    assert_eq!(stored["version"], 1);
    assert!(stored["access_token"].is_string(), "{stored}");
    all.manager.stop().await;
}

#[actix_web::test]
async fn changes_that_need_few_rights_have_a_pace() {
    let all = Guarded::new().await;
    let reader = &all.reader;
    all.manager.permit(&reader.id(), "allow", &["write"], "app/**").await;
    let path = format!("/api/secrets/{}", all.secret);
    // All at once: a machine that is slow with them would let the pace recover. Acts and places have one pace.
    let asked = (0..400).map(async |number| {
        let answer = if number % 2 == 0 {
            all.ask(reader, 60).await
        } else {
            let body = json!({"tags": {"n": number.to_string()}});
            all.manager.by(reader, Method::PATCH, &path, Some(body)).await
        };
        (number % 2, answer.status.as_u16())
    });
    let answers = join_all(asked).await;
    let refused = |kind: i32| answers.iter().filter(|answer| **answer == (kind, 429)).count();
    assert!(refused(0) > 0 && refused(1) > 0, "{answers:?}");
    assert!(refused(0) + refused(1) <= 200, "as many as a burst are let through: {answers:?}");
    // Others have their own.
    let asked = all.ask(&all.approver, 60).await.expect(202).member("approval_id");
    all.decide(&all.approver, &asked, "cancel").await.expect(200);
    all.manager.stop().await;
}
