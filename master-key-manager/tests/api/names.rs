//! Names outside the rules, wherever a request has one.

use actix_web::http::Method;
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::support::{Installed, Manager};

const PATH_SEGMENTS: &str = "a path has no empty, . or .. segment";
const PATH_CHARACTERS: &str = "a path has no control character and no backslash";
const LABEL_ENDS: &str = "a user_id has no space at its ends, and no other white or invisible character";
const LABEL_LENGTH: &str = "a user_id has 1 to 256 bytes and no control character";
const ENVIRONMENT: &str = "an environment name has 1 to 63 of a-z, 0-9 and -, and does not begin with -";

async fn is_refused(manager: &Manager, method: Method, target: &str, body: Option<Value>, rule: &str) {
    let said = format!("{method} {target} {body:?}");
    let answer = manager.admin(method, target, body).await.expect(400).refused("name_invalid");
    assert_eq!(answer.member("detail"), rule, "{said}");
    assert!(!answer.text.to_lowercase().contains("canary"), "{said}: {}", answer.text);
}

#[actix_web::test]
async fn name_outside_the_rules_is_refused_with_the_rule_and_never_quoted() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let secret = manager.store_value("p", "v").await.expect(201).member("key_id");
    let submit = json!({"user_id": "u", "key_data": "canary", "path": "p", "environment": "dev"});
    let mint = json!({"secrets": [{"key_id": secret}], "user_id": "u"});
    let revoke = json!({"kind": "subject", "user_id": "u"});
    let with = |body: &Value, member: &str, name: &str| {
        let mut body = body.clone();
        body[member] = json!(name);
        Some(body)
    };
    for (member, name, rule) in [
        ("path", "canary//x", PATH_SEGMENTS),
        ("path", "canary\\x", PATH_CHARACTERS),
        ("path", "unnamed/canary", "paths under unnamed/ and destroyed/ are given by the service"),
        ("environment", "CANARY", ENVIRONMENT),
        ("environment", "", ENVIRONMENT),
        ("environment", "canary", "There is no such environment."),
        ("user_id", "canary ", LABEL_ENDS),
        ("user_id", "", LABEL_LENGTH),
        // What serde says of a body could look like this.
        ("user_id", "canary) at line 1 column 1\n", LABEL_LENGTH),
    ] {
        is_refused(&manager, Method::POST, "/api/keys", with(&submit, member, name), rule).await;
    }
    for (name, rule) in [("canary ", LABEL_ENDS), ("", LABEL_LENGTH), ("canary\n", LABEL_LENGTH)] {
        is_refused(&manager, Method::POST, "/api/tokens", with(&mint, "user_id", name), rule).await;
        is_refused(&manager, Method::POST, "/api/revocations", with(&revoke, "user_id", name), rule).await;
    }
    for (name, rule) in [("CANARY", ENVIRONMENT), ("", ENVIRONMENT), ("canary", "There is no such environment.")] {
        let target = format!("/api/secrets?environment={name}");
        is_refused(&manager, Method::GET, &target, None, rule).await;
    }
    assert_eq!(installed.vault.state().rows.len(), 1, "a refused request stores nothing");
    assert!(installed.vault.applied().is_empty(), "a refused request revokes nothing");
    manager.stop().await;
}

/// The first words of the error of a name, where a request can put them.
#[actix_web::test]
async fn request_that_says_itself_that_a_name_is_wrong_is_judged_by_what_it_is() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let forged = "a name breaks the rules (canary)";
    let bodies = [
        json!({"user_id": "u", "key_data": "v", "environment": "dev", forged: 1}),
        json!({"user_id": "u", "key_data": "v", "environment": "dev", "encoding": forged}),
        json!({"user_id": "u", "key_data": "v", "environment": "dev", "token": forged}),
        json!({"user_id": [forged], "key_data": "v", "environment": "dev"}),
        json!({"user_id": null, "key_data": forged, "environment": "dev"}),
    ];
    for body in bodies {
        let answer = manager.post("/api/keys", body).await.expect(400).refused("body_invalid");
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    let kinds = [json!({"kind": forged}), json!({"kind": "subject", "user_id": "u", forged: 1})];
    for body in kinds {
        let answer = manager.post("/api/revocations", body).await.expect(400).refused("body_invalid");
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    let encoded = forged.replace(' ', "%20");
    for query in [format!("{encoded}=1"), format!("after={encoded}"), format!("limit={encoded}")] {
        let answer = manager.admin(Method::GET, &format!("/api/secrets?{query}"), None).await;
        let answer = answer.expect(400).refused("parameter_invalid");
        assert!(!answer.text.contains("canary"), "{}", answer.text);
    }
    manager.stop().await;
}
