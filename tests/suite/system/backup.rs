//! `backup` and `restore` of both services.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;
use system_tests::{Engine, Installation, Service, only_on, wait_until};

fn backup(installation: &Installation, service: &Service, name: &str) -> PathBuf {
    let file = installation.folder().join(name);
    service.back_up(&file);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    file
}

#[tokio::test]
async fn backup_of_a_running_vault_restores_what_was_there_and_not_its_old_tokens() {
    let mut installation = Installation::running().await;
    let kept = installation.store_at("a/kept", "kept").await;
    let file = backup(&installation, &installation.vault, "vault.backup");
    let again = installation.vault.run(&["backup", file.to_str().unwrap()]);
    assert!(!again.status.success(), "a backup is never overwritten");
    let lost = installation.store_at("a/lost", "lost").await;
    let running = installation.vault.run(&["restore", file.to_str().unwrap()]);
    assert!(!running.status.success(), "not while the vault runs");
    assert!(installation.opens(&lost).await);
    // An event after the backup makes the restored database older than the mark.
    installation.revoke(&installation.store("other").await.jti).await;

    installation.vault.stop().await;
    installation.vault.restore(&file);
    installation.vault.start().await;
    installation.ready().await;
    installation.read(&kept.key_id, &kept.token).await.expect_code("seal_key_unknown");
    let token = installation.mint(&[(&kept.key_id, 1)]).await.expect(201).text("access_token");
    assert_eq!(installation.read(&kept.key_id, &token).await.expect(200).text("decrypted_key"), "kept");
    let token = installation.mint(&[(&lost.key_id, 1)]).await.expect(201).text("access_token");
    assert!(matches!(installation.read(&lost.key_id, &token).await.status, 401 | 404));
}

#[tokio::test]
async fn restored_manager_takes_back_revocations_and_adopts_what_it_forgot() {
    let mut installation = Installation::running().await;
    let early = installation.store_at("a/early", "early").await;
    let file = backup(&installation, &installation.manager, "manager.backup");
    let late = installation.store_at("a/late", "late").await;
    let (second, revoked) = (installation.store_at("a/early", "second").await, installation.store("revoked").await);
    installation.revoke(&revoked.jti).await;

    installation.manager.stop().await;
    installation.manager.restore(&file);
    installation.manager.start().await;
    installation.ready().await;
    assert!(!installation.opens(&revoked).await, "still refused");
    let list = installation.admin_call("GET", "/api/revocations", None).await.expect(200);
    assert_eq!((list.number("newest"), list.number("applied")), (1, 1), "taken back from the vault");

    let reconcile = |adopt| installation.admin_call("POST", "/api/reconcile", Some(json!({"adopt": adopt})));
    let found = reconcile(false).await.expect(200).json();
    assert_eq!((found["found"].as_array().unwrap().len(), &found["adopted"]), (3, &json!(0)), "{found}");
    assert_eq!(reconcile(true).await.expect(200).number("adopted"), 3);
    assert_eq!(reconcile(false).await.expect(200).json()["found"], json!([]));
    installation.mint(&[(&late.key_id, late.version)]).await.expect_code("approval_required");
    let free = Some(json!({"requires_approval": false}));
    installation.admin_call("PATCH", &format!("/api/secrets/{}", late.key_id), free).await.expect(200);
    for (stored, value) in [(&early, "early"), (&second, "second"), (&late, "late")] {
        let token = installation.mint(&[(&stored.key_id, stored.version)]).await.expect(201).text("access_token");
        assert_eq!(installation.read(&stored.key_id, &token).await.expect(200).text("decrypted_key"), value);
    }
    assert_eq!(installation.store_at("a/early", "third").await.version, 3);
}

#[tokio::test]
async fn number_that_a_restored_manager_would_use_twice_is_passed_over() {
    let mut installation = Installation::running().await;
    let first = installation.store_at("a/b", "one").await;
    let file = backup(&installation, &installation.manager, "manager.backup");
    let second = installation.store_at("a/b", "two").await;
    installation.manager.stop().await;
    installation.manager.restore(&file);
    installation.manager.start().await;
    installation.ready().await;
    let third = installation.store_at("a/b", "three").await;
    assert_eq!((&third.key_id, third.version), (&first.key_id, 3), "2 is taken at the vault");
    for (stored, value) in [(&second, "two"), (&third, "three")] {
        assert_eq!(installation.read(&stored.key_id, &stored.token).await.expect(200).text("decrypted_key"), value);
    }
}

/// A backup of the manager would give the number of a rollback a second meaning, for whoever wrote it down.
#[tokio::test]
async fn number_of_a_rollback_that_a_restored_manager_forgot_is_passed_over() {
    let mut installation = Installation::running().await;
    let one = installation.store_at("a/b", "one").await;
    let two = installation.store_at("a/b", "two").await;
    let file = backup(&installation, &installation.manager, "manager.backup");
    let path = format!("/api/secrets/{}:rollback", one.key_id);
    let back = installation.admin_call("POST", &path, Some(json!({"version": 1}))).await.expect(201);
    assert_eq!((back.number("version"), back.number("envelope")), (3, 1));
    let token = installation.mint(&[(&one.key_id, 3)]).await.expect(201).text("access_token");
    let opened = installation.read(&one.key_id, &token).await.expect(200);
    assert_eq!((opened.text("decrypted_key"), opened.number("version")), ("one".to_owned(), 1));
    assert!(installation.opens(&two).await, "a token from before the rollback opens what it did");
    installation.manager.stop().await;
    installation.manager.restore(&file);
    installation.manager.start().await;
    installation.ready().await;
    let other = installation.admin_call("POST", &path, Some(json!({"version": 2}))).await.expect(201);
    assert_eq!((other.number("version"), other.number("envelope")), (4, 2), "3 is taken at the vault");
    let token = installation.mint(&[(&one.key_id, 4)]).await.expect(201).text("access_token");
    assert_eq!(installation.read(&one.key_id, &token).await.expect(200).text("decrypted_key"), "two");
    installation.mint(&[(&one.key_id, 3)]).await.expect_code("secret_not_found");
}

#[tokio::test]
async fn reset_administrator_shuts_the_old_credential_out() {
    let mut installation = Installation::running().await;
    let (old, file) = (installation.admin(), installation.folder().join("new-credential"));
    let reset = ["admin", "reset", "--credential-file", file.to_str().unwrap()];
    assert!(!installation.manager.run(&reset).status.success(), "not while the manager runs");
    installation.manager.stop().await;
    installation.manager.run_well(&reset);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    installation.manager.start().await;
    installation.ready().await;
    let new = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let list = |credential: &str| installation.manager.call("GET", "/api/secrets").bearer(credential).send();
    list(&old).await.expect_code("credential_invalid");
    wait_until("the new one is let in", async || list(&new).await.status == 200).await;
}

#[tokio::test]
async fn restore_takes_only_what_is_its_own_and_keeps_what_it_replaces() {
    if !only_on(Engine::Sqlite, "pg_restore asks nobody; a foreign database is refused at the start") {
        return;
    }
    let (mut mine, other) = (Installation::running().await, Installation::builder().make());
    let stored = mine.store("kept").await;
    let files: Vec<PathBuf> = [(&mine, "mine"), (&other, "other")]
        .into_iter()
        .flat_map(|(of, whose)| [(&of.vault, whose, "vault"), (&of.manager, whose, "manager")])
        .map(|(service, whose, name)| backup(&mine, service, &format!("{name}-of-{whose}.backup")))
        .collect();
    let [vault_of_mine, manager_of_mine, vault_of_other, manager_of_other] = &files[..] else { panic!("{files:?}") };
    mine.vault.stop().await;
    mine.manager.stop().await;
    let cases = [
        (&mine.vault, "vault.db", vault_of_mine, [manager_of_mine, vault_of_other, manager_of_other]),
        (&mine.manager, "manager.db", manager_of_mine, [vault_of_mine, vault_of_other, manager_of_other]),
    ];
    for (service, database, own, foreign) in cases {
        let live = service.data().join(database);
        let before = std::fs::read(&live).unwrap();
        for backup in foreign {
            let output = service.run(&["restore", backup.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && said.contains(backup.to_str().unwrap()), "{}: {said}", service.name());
            assert!(std::fs::read(&live).unwrap() == before, "{} lost its database", service.name());
        }
        let said = service.run_well(&["restore", own.to_str().unwrap()]);
        let replaced = std::fs::read_dir(service.data()).unwrap().map(|entry| entry.unwrap().path());
        let replaced: Vec<_> = replaced.filter(|path| path.to_str().unwrap().contains(".db-replaced-")).collect();
        let [kept] = &replaced[..] else { panic!("{replaced:?}") };
        assert!(said.contains(kept.to_str().unwrap()), "{said}");
        assert!(std::fs::read(kept).unwrap() == before, "it is not what was replaced");
        assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    }
    mine.start().await;
    assert!(mine.opens(&stored).await, "no event was applied since the backup");
}
