//! Values that are compared after an approval: until it ends, also for a request that has waited.

use actix_web::http::Method;
use serde_json::json;

use crate::approved_reads::Guarded;

/// How long a request has waited, in seconds.
const WAITED: u64 = 120;

#[actix_web::test]
async fn an_approval_that_ends_while_a_request_waits_for_its_turn_compares_nothing() {
    let all = Guarded::new().await;
    let admin = async |method, path: String, body| all.manager.admin(method, &path, Some(body)).await;
    let other = json!({"environment": "dev", "path": "app/other", "value": "v", "token": false});
    let open = admin(Method::POST, "/api/secrets".to_owned(), other).await.expect(201).member("key_id");
    // What the request knows as the time is behind by as long as it has waited.
    all.manager.clock.set_behind(WAITED);
    let same = async |secret: &str| {
        let path = format!("/api/secrets/{secret}:same-value");
        all.manager.by(&all.reader, Method::GET, &path, None).await
    };
    let approved = async |seconds: u64| {
        let id = all.ask(&all.reader, seconds).await.expect(202).member("approval_id");
        all.decide(&all.approver, &id, "approve").await.expect(200);
        id
    };
    let found = async || {
        let found = same(&open).await.expect(200).json();
        found["same"].as_array().unwrap().iter().any(|one| one["key_id"] == json!(all.secret))
    };
    let id = approved(WAITED + 600).await;
    same(&all.secret).await.expect(200);
    assert!(found().await, "the control: it is in force");
    all.decide(&all.reader, &id, "cancel").await.expect(200);
    approved(WAITED - 1).await;
    same(&all.secret).await.expect(403).refused("approval_required");
    assert!(!found().await, "it is not even compared");
    all.manager.stop().await;
}
