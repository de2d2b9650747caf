//! A secret that a caller may not know: no answer, and no work, tells it from one that does not exist.

use actix_web::http::Method;
use serde_json::{Value, json};
use shared_proto::id::SecretId;

use crate::approvals::Two;
use crate::places::plant;

/// The description cannot be read: whoever gets another answer than for an unknown secret has had it looked for.
#[actix_web::test]
async fn nothing_is_read_of_a_secret_before_the_right_to_it_is_decided() {
    let two = Two::new().await;
    let stranger = two.manager.service("stranger").await;
    two.manager.permit(&stranger.id(), "allow", &["read", "write", "delete", "destroy", "approve"], "own/**").await;
    let guarded = json!({"environment": "dev", "path": "app/read", "value": "v", "requires_approval": true});
    let guarded = two.manager.post("/api/secrets", guarded).await.expect(201).member("key_id");
    let deleted = two.deleted("app/db").await;
    let asked = two.asks(&two.first, &deleted).await;
    plant(&two.installed, "ALTER TABLE secrets RENAME COLUMN revision TO gone");
    let unknown = SecretId::generate().to_string();
    let requests = |secret: &str| -> Vec<(Method, String, Option<Value>)> {
        let at = |rest: &str| format!("/api/secrets/{secret}{rest}");
        let read = json!({"key_id": secret, "seconds": 60, "reason": "test"});
        vec![
            (Method::PATCH, at(""), Some(json!({"service_only": true}))),
            (Method::DELETE, at(""), None),
            (Method::POST, at(":undelete"), None),
            (Method::POST, at(":destroy"), Some(json!({"reason": "test"}))),
            (Method::POST, "/api/approvals".to_owned(), Some(read)),
        ]
    };
    for secret in [&unknown, &guarded, &deleted] {
        for (method, path, body) in requests(secret) {
            let answer = two.manager.by(&stranger, method.clone(), &path, body).await;
            let told = (answer.status.as_u16(), answer.code());
            assert_eq!(told, (404, "secret_not_found".to_owned()), "{method} {path}: {}", answer.text);
        }
    }
    for id in [asked.clone(), asked.replace(&asked[4..8], "AAAA")] {
        for verb in ["approve", "reject"] {
            two.decide(&stranger, &id, verb).await.expect(404).refused("approval_not_found");
        }
    }
    // The control: for those who have the right it is looked for.
    for (secret, number) in [(&guarded, 0), (&guarded, 1), (&deleted, 2), (&deleted, 3), (&guarded, 4)] {
        let (method, path, body) = requests(secret).swap_remove(number);
        let answer = two.manager.by(&two.first, method, &path, body).await;
        assert_eq!(answer.status.as_u16(), 503, "{path}: {}", answer.text);
    }
    two.decide(&two.second, &asked, "approve").await.expect(503);
    plant(&two.installed, "ALTER TABLE secrets RENAME COLUMN gone TO revision");
    two.manager.stop().await;
}
