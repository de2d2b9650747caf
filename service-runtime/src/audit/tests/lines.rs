//! What a line says.

use serde_json::json;
use shared_proto::id::{SecretId, Version};

use super::*;

#[tokio::test]
async fn line_names_who_acted_and_every_version_that_a_token_opens() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let versions: Vec<_> = (1..=70).map(|number| (SecretId::generate(), Version::new(number).unwrap())).collect();
    let origin = Origin::of_request("req", "127.0.0.1", "agent").by(Some("sub_1"), Some("cred_1"));
    let minted = AuditRecord::new("mint", AuditStatus::Success, &origin).jti("tok_1");
    log.append(minted.secrets(versions.clone())).await.unwrap();
    log.append(AuditRecord::new("read", AuditStatus::Denied, &Origin::background()).count(3)).await.unwrap();
    log.flush_and_close().await;

    let [mint, read] = <[_; 2]>::try_from(fixture.lines()).unwrap();
    let secrets: Vec<_> =
        versions[..64].iter().map(|(id, version)| json!({"key_id": id, "version": version})).collect();
    for (member, value) in [
        ("principal", json!("sub_1")),
        ("credential", json!("cred_1")),
        ("jti", json!("tok_1")),
        ("secrets", json!(secrets)),
        ("key_id", json!(null)),
        ("request_id", json!("req")),
    ] {
        assert_eq!(mint.get(member), Some(&value), "{member}");
    }
    assert_eq!((read.get("principal"), read.get("credential")), (Some(&json!(null)), Some(&json!(null))));
    assert_eq!((read.get("secrets"), read.get("count")), (None, Some(&json!(3))));
}

#[tokio::test]
async fn what_a_client_calls_itself_breaks_no_line() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    let agents = ["a\"b\\c", "\",\"status\":\"success", "naïve \u{2028} \u{1f511}", "tab\tnewline\n\u{7f}\u{85}", ""];
    for agent in agents {
        let origin = Origin::of_request("req", "127.0.0.1", agent);
        log.append(AuditRecord::new("read", AuditStatus::Denied, &origin).key_path(agent)).await.unwrap();
    }
    log.flush_and_close().await;
    for (line, agent) in fixture.lines().iter().zip(agents) {
        let cleaned: String = agent.chars().filter(|c| !c.is_control()).collect();
        assert_eq!((&line["user_agent"], &line["key_path"]), (&json!(cleaned), &json!(cleaned)));
        assert_eq!(line["status"], "denied");
    }
    assert_eq!(verify(&fixture.path).unwrap(), 5);
}
