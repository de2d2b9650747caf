//! `encrypted-vault refuse`: the vault's operator stops tokens without the manager.

use system_tests::{Installation, wait_until};

#[tokio::test]
async fn refusal_counts_when_the_command_returns_lasts_over_restarts_and_can_be_lifted() {
    let mut installation = Installation::running().await;
    let (hit, bystander) = (installation.store("hit").await, installation.store("bystander").await);
    assert!(installation.opens(&hit).await);
    // No manager is needed.
    installation.manager.kill();
    installation.vault.run_well(&["refuse", "token", &hit.jti]);
    installation.read(&hit.key_id, &hit.token).await.expect_code("token_invalid");
    assert!(installation.opens(&bystander).await);
    assert_eq!(installation.vault.run_well(&["refuse", "list"]).trim(), format!("token {}", hit.jti));

    installation.vault.restart().await;
    assert!(!installation.opens(&hit).await);
    installation.vault.run_well(&["refuse", "lift", "token", &hit.jti]);
    assert!(installation.opens(&hit).await);

    installation.vault.run_well(&["refuse", "everything"]);
    assert!(!installation.opens(&hit).await && !installation.opens(&bystander).await);
    installation.vault.run_well(&["refuse", "lift", "everything"]);
    assert!(installation.opens(&hit).await && installation.opens(&bystander).await);
}

#[tokio::test]
async fn refused_subject_loses_also_tokens_that_are_minted_later() {
    let installation = Installation::running().await;
    let stored = installation.store("value").await;
    let tokens = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
    let subject = tokens["tokens"][0]["sub"].as_str().unwrap().to_owned();
    installation.vault.run_well(&["refuse", "subject", &subject]);
    assert!(!installation.opens(&stored).await);
    let later = installation.store("later").await;
    assert!(!installation.opens(&later).await, "clocks and numbers play no part");
    installation.vault.run_well(&["refuse", "lift", "subject", &subject]);
    assert!(installation.opens(&stored).await && installation.opens(&later).await);
}

#[tokio::test]
async fn refusals_made_while_the_vault_is_down_count_from_its_start() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    installation.vault.stop().await;
    installation.vault.run_well(&["refuse", "token", &stored.jti]);
    installation.vault.start().await;
    assert!(!installation.opens(&stored).await);
}

#[tokio::test]
async fn refusal_file_that_cannot_be_read_refuses_everything() {
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    installation.vault.run_well(&["refuse", "token", &installation.store("other").await.jti]);
    assert!(installation.opens(&stored).await);
    let known = ["vault.db", "audit", "lock", "operator.sock"];
    let file = std::fs::read_dir(installation.vault.data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            !known.iter().any(|prefix| name.starts_with(prefix)) && std::fs::read_to_string(path).unwrap().contains('{')
        })
        .expect("the file of local refusals");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "{").unwrap();
    wait_until("everything is refused", async || !installation.opens(&stored).await).await;
    installation.vault.restart().await;
    assert!(!installation.opens(&stored).await);
    std::fs::write(&file, good).unwrap();
    wait_until("it opens again", async || installation.opens(&stored).await).await;
    for wrong in [["refuse", "token", "x"], ["refuse", "subject", "user123"]] {
        assert!(!installation.vault.run(&wrong).status.success(), "{wrong:?}");
    }
}

#[tokio::test]
async fn refusals_given_at_the_same_time_all_stand() {
    let installation = Installation::running().await;
    let tokens: Vec<String> = (0..8_u8).map(|n| shared_proto::id::TokenId::from_bytes([n; 16]).to_string()).collect();
    std::thread::scope(|scope| {
        for jti in &tokens {
            scope.spawn(|| installation.vault.run_well(&["refuse", "token", jti]));
        }
    });
    let list = installation.vault.run_well(&["refuse", "list"]);
    for jti in &tokens {
        assert!(list.contains(jti.as_str()), "{jti} is missing in {list}");
    }
}

#[tokio::test]
async fn id_that_begins_with_a_hyphen_is_an_argument_and_no_option() {
    let installation = Installation::running().await;
    let jti = shared_proto::id::TokenId::from_bytes([0xfb; 16]).to_string();
    assert!(jti.starts_with('-'));
    installation.vault.run_well(&["refuse", "token", &jti]);
    installation.vault.run_well(&["refuse", "lift", "token", &jti]);
    let kid = format!("{jti}{}", "A".repeat(21));
    for service in [&installation.vault, &installation.manager] {
        let refused = service.run(&["rotate-keys", "unpin", &kid]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && !said.contains("unexpected argument"), "{said}");
    }
}
