//! Environments that are made, frozen and disabled while both services run.

use client::manager_api::environments::{ChangeEnvironment, CreateEnvironment, EnvironmentDetails};
use client::manager_api::name::{DisplayName, EnvironmentName};
use client::{ClientError, EnvironmentSwitch};
use serde_json::json;
use system_tests::{Answer, Installation, Stored, wait_until};

fn named(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

fn new(name: &str) -> CreateEnvironment {
    CreateEnvironment { name: named(name), display_name: None, max_token_life_seconds: None, environment_id: None }
}

async fn submit(installation: &Installation, environment: &str) -> Answer {
    let body = json!({"user_id": "u", "key_data": "v", "path": "p", "environment": environment});
    installation.admin_call("POST", "/api/keys", Some(body)).await
}

/// All of them, page by page.
async fn all(installation: &Installation) -> Vec<EnvironmentDetails> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = installation.client().list_environments(after.as_deref()).await.unwrap();
        found.extend(page.environments);
        let Some(next) = page.next else { return found };
        after = Some(next);
    }
}

#[tokio::test]
async fn both_services_follow_a_new_environment_and_its_switches_without_a_restart() {
    let mut installation = Installation::running().await;
    let client = installation.client();
    let made = client.create_environment(&new("lab")).await.unwrap();
    assert_eq!((made.ordinal, made.root_key_epoch), (4, Some(1)));
    let (stored, other) = (Stored::of(&submit(&installation, "lab").await), installation.store("bystander").await);
    assert!(installation.opens(&stored).await);
    let frozen = client.switch_environment(&made.name, EnvironmentSwitch::Freeze).await.unwrap();
    assert!(frozen.frozen_at.is_some());
    submit(&installation, "lab").await.expect_code("environment_frozen");
    installation.mint(&[(&stored.key_id, 0)]).await.expect_code("environment_frozen");
    assert!(installation.opens(&stored).await, "a freeze revokes nothing");
    client.switch_environment(&made.name, EnvironmentSwitch::Unfreeze).await.unwrap();
    wait_until("the vault signs for the revocation", async || {
        let answer = client.disable_environment(&made.name).await.unwrap();
        answer.status == client::manager_api::wire::RevocationStatus::Revoked
    })
    .await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    assert!(installation.opens(&other).await, "tokens of other environments stay");
    installation.mint(&[(&stored.key_id, 0)]).await.expect_code("environment_disabled");
    installation.restart_vault().await;
    installation.restart_manager().await;
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    installation.mint(&[(&stored.key_id, 0)]).await.expect_code("environment_disabled");
    let client = installation.client();
    client.switch_environment(&made.name, EnvironmentSwitch::Enable).await.unwrap();
    let minted = installation.mint(&[(&stored.key_id, 0)]).await.expect(201);
    installation.read(&stored.key_id, &minted.text("access_token")).await.expect(200);
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    let change = ChangeEnvironment { display_name: Some(DisplayName::parse("Labor").unwrap()), ..<_>::default() };
    let changed = client.change_environment(&made.name, &change).await.unwrap();
    assert_eq!(client.environment(&made.name).await.unwrap(), changed);
    assert_eq!((changed.display_name.as_str(), changed.environment_id), ("Labor", made.environment_id));
    let missing = client.environment(&named("nowhere")).await;
    assert!(matches!(missing, Err(ClientError::Refused(_))), "{missing:?}");
}

#[tokio::test]
async fn manager_that_is_killed_while_environments_are_made_has_each_of_them_whole() {
    let mut installation = Installation::running().await;
    let mut number = 0;
    for round in 0..8 {
        let client = installation.client();
        let first = number;
        let making = tokio::spawn(async move {
            let mut next = first;
            while client.create_environment(&new(&format!("e{next}"))).await.is_ok() {
                next += 1;
            }
            next
        });
        // One more each time, so that the kill meets other steps.
        wait_until("some are made", async || all(&installation).await.len() as u64 >= 3 + first + round % 3).await;
        installation.manager.kill();
        let answered = making.await.unwrap();
        installation.manager.start().await;
        installation.ready().await;
        let found = all(&installation).await;
        assert!(found.iter().all(|one| one.root_key_epoch == Some(1)), "{found:?}");
        let made = found.len() as u64 - 3;
        assert!(made == answered || made == answered + 1, "{answered} were answered, {made} are there");
        let keys = std::fs::read_dir(installation.manager.keys().join("root-keys")).unwrap();
        let keys = keys.map(|key| key.unwrap().file_name().into_string().unwrap());
        // A file that was being written is swept when it is a minute old.
        let keys: Vec<String> = keys.filter(|name| !name.starts_with('.')).collect();
        let owned = |name: &&String| found.iter().any(|one| name.starts_with(&one.environment_id.to_string()));
        let (owned, orphans): (Vec<&String>, Vec<&String>) = keys.iter().partition(owned);
        assert_eq!(owned.len(), found.len(), "{keys:?}");
        assert!(owned.iter().all(|name| !name.contains("unconfirmed")), "{keys:?}");
        // A start never destroys the key of an environment that has no row; it stays unconfirmed.
        assert!(orphans.len() <= usize::try_from(round).unwrap() + 1, "{keys:?}");
        assert!(orphans.iter().all(|name| name.contains("unconfirmed")), "{keys:?}");
        number = made;
    }
    for one in all(&installation).await {
        let stored = Stored::of(&submit(&installation, one.name.as_str()).await);
        assert!(installation.opens(&stored).await, "{}", one.name);
    }
}
