//! Callers with few rights who make as many changes as they can: nobody else pays for it.

use std::time::Duration;

use actix_web::http::Method;
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
    let (mut done, mut id) = (0, String::new());
    let refused = loop {
        let answer =
            if done % 2 == 0 { all.ask(&all.reader, 60).await } else { all.decide(&all.reader, &id, "cancel").await };
        if answer.status == 429 {
            break answer;
        }
        assert!(answer.status.is_success() && done < 2_000, "{done}: {}", answer.text);
        id = answer.member("approval_id");
        done += 1;
    };
    assert!(done >= 200, "{done}");
    refused.refused("rate_limited");
    // Others have their own, and of places it is the same one.
    let asked = all.ask(&all.approver, 60).await.expect(202).member("approval_id");
    all.decide(&all.approver, &asked, "cancel").await.expect(200);
    let writer = all.reader.id();
    all.manager.permit(&writer, "allow", &["write"], "app/**").await;
    let path = format!("/api/secrets/{}", all.secret);
    let mut answers = Vec::new();
    for number in 0..60 {
        let body = json!({"tags": {"n": number.to_string()}});
        answers.push(all.manager.by(&all.reader, Method::PATCH, &path, Some(body)).await.status.as_u16());
    }
    assert!(answers.contains(&429) && answers.iter().all(|status| [200, 202, 429].contains(status)), "{answers:?}");
    all.manager.stop().await;
}
