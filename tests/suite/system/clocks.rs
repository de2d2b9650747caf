//! The wall clock of one service jumps, and comes back: no expired and no revoked token opens, both services say that
//! their clocks differ, and everything goes on without a restart.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use system_tests::{Installation, Service, Stored, wait_until};

const HOUR: i64 = 3_600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;
const JUMPS: [i64; 6] = [5, -5, HOUR, -HOUR, TEN_YEARS, -TEN_YEARS];

#[derive(Clone, Copy, Debug)]
enum Of {
    Vault,
    Manager,
}

impl Of {
    fn service(self, installation: &mut Installation) -> &mut Service {
        match self {
            Self::Vault => &mut installation.vault,
            Self::Manager => &mut installation.manager,
        }
    }
}

async fn installation(of: Of) -> Installation {
    let mut installation = Installation::builder().make();
    of.service(&mut installation).load_shims();
    installation.start().await;
    installation
}

/// A token that expired more than a second ago: to a second the vault knows the manager's time.
async fn expired(installation: &Installation, stored: &Stored) -> Stored {
    let wish = json!({"secrets": [{"key_id": stored.key_id}], "life_seconds": 1});
    let minted = installation.admin_call("POST", "/api/tokens", Some(wish)).await.expect(201);
    let token = Stored { token: minted.text("access_token"), jti: minted.text("jti"), ..stored.clone() };
    let end = minted.number("expires_at") + 2;
    let passed = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > end;
    wait_until("it has expired", async || passed()).await;
    assert!(!installation.opens(&token).await);
    token
}

async fn says_clock(service: &Service) -> bool {
    service.readiness().await.first().is_some_and(|word| word == "clock")
}

async fn drill(of: Of) {
    let mut installation = installation(of).await;
    for jump in JUMPS {
        let (kept, revoked) = (installation.store("kept").await, installation.store("revoked").await);
        installation.revoke(&revoked.jti).await;
        let dead = [revoked, expired(&installation, &kept).await];
        of.service(&mut installation).shift_clock(jump);
        if jump.abs() >= HOUR {
            for service in [&installation.manager, &installation.vault] {
                wait_until(&format!("{} notices {jump} at {of:?}", service.name()), async || says_clock(service).await)
                    .await;
            }
        }
        // Unix time goes on for longer than the small jumps back.
        for _ in 0..20 {
            for token in &dead {
                let answer = installation.read(&token.key_id, &token.token).await;
                assert!(matches!(answer.status, 401 | 503), "{jump} at {of:?}: {answer}");
            }
        }
        of.service(&mut installation).shift_clock(0);
        installation.ready().await;
        for token in &dead {
            assert!(!installation.opens(token).await, "{jump} at {of:?}");
        }
        let minted = installation.mint(&[(&kept.key_id, 0)]).await.expect(201);
        let read = installation.read(&kept.key_id, &minted.text("access_token")).await.expect(200);
        assert_eq!(read.text("decrypted_key"), "kept");
        let new = installation.store("new").await;
        assert!(installation.opens(&new).await);
        installation.revoke(&new.jti).await;
        assert!(!installation.opens(&new).await);
    }
    // The chain of the audit log goes by numbers, whatever the times in it are.
    of.service(&mut installation).restart().await;
    installation.ready().await;
}

#[tokio::test]
async fn jumps_of_the_vaults_clock_revive_nothing_and_stop_nothing_for_ever() {
    drill(Of::Vault).await;
}

#[tokio::test]
async fn jumps_of_the_managers_clock_revive_nothing_and_stop_nothing_for_ever() {
    drill(Of::Manager).await;
}

#[tokio::test]
async fn living_token_still_opens_while_the_vaults_clock_is_behind() {
    let installation = installation(Of::Vault).await;
    let stored = installation.store("value").await;
    installation.vault.shift_clock(-TEN_YEARS);
    wait_until("it is noticed", async || says_clock(&installation.vault).await).await;
    assert!(installation.opens(&stored).await);
    installation.vault.shift_clock(TEN_YEARS);
    wait_until("it is noticed", async || !installation.opens(&stored).await).await;
}

#[tokio::test]
async fn manager_that_starts_ten_years_ahead_forgets_no_token_and_no_write_that_may_be_repeated() {
    let mut installation = installation(Of::Manager).await;
    let submit = async |installation: &Installation| {
        let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin());
        let body = json!({"user_id": "user123", "key_data": "value", "environment": "dev"});
        call.header("idempotency-key", "k1").json(&body).send().await
    };
    let stored = Stored::of(&submit(&installation).await);
    installation.manager.shift_clock(TEN_YEARS);
    installation.manager.restart().await;
    wait_until("it is noticed", async || says_clock(&installation.manager).await).await;
    // A revocation does not wait for the right time.
    let path = format!("/api/tokens/{}", stored.jti);
    installation.admin_call("DELETE", &path, None).await.expect(202);

    installation.manager.shift_clock(0);
    installation.ready().await;
    let again = submit(&installation).await.expect(409);
    again.expect_code("idempotency_unknown");
    assert_eq!((again.text("key_id"), again.number("version")), (stored.key_id.clone(), stored.version));
    let list = installation.admin_call("GET", "/api/tokens", None).await.expect(200).json();
    assert!(list["tokens"].as_array().unwrap().iter().any(|token| token["jti"] == json!(stored.jti)), "{list}");
    wait_until("it is revoked", async || !installation.opens(&stored).await).await;
}
