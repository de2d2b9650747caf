//! S12: a vault whose authorization checks are all switched off still lacks the keys of what a token does not name.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use system_tests::{Answer, Installation, wait_until};

use super::treasure::{Life, Treasure, hide, hide_at};

#[tokio::test]
async fn vault_without_authorization_opens_what_the_token_names_and_nothing_else() {
    let installation = Installation::builder().production().sabotaged("no_authorization", "").running().await;
    let treasures = hide(&installation).await;
    each_opens_what_is_there(&installation, &treasures).await;
    assert_eq!(foreign_values(&installation, &treasures, &treasures).await, Vec::<String>::new());

    // Its checks are off indeed: a revoked token still opens what it names, and nothing else.
    installation.revoke(&treasures[2].stored.jti).await;
    each_opens_what_is_there(&installation, &treasures).await;
    assert_eq!(foreign_values(&installation, &treasures[2..3], &treasures).await, Vec::<String>::new());

    // So does one that nobody signed, and one that has expired.
    let [first, other] = [&treasures[2], &treasures[3]];
    let (unsigned, _) = first.stored.token.rsplit_once('.').unwrap();
    let unsigned = format!("{unsigned}.{}", encode(&[0; 256]));
    assert_eq!(opened_with(&installation, first, &unsigned).await, Some(first.value.clone()));
    let wish = json!({"secrets": [{"key_id": first.stored.key_id}], "life_seconds": 1});
    let minted = installation.admin_call("POST", "/api/tokens", Some(wish)).await.expect(201);
    let (expired, end) = (minted.text("access_token"), minted.number("expires_at"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    wait_until("it has expired", async || now() > end).await;
    assert_eq!(opened_with(&installation, first, &expired).await, Some(first.value.clone()));

    // Whoever writes himself a better one from it lacks the keys.
    let foreign = claims_of(&other.stored.token);
    let better = [
        ("grants", foreign["grants"].clone()),
        ("env", foreign["env"].clone()),
        ("exp", json!(end + 600)),
        ("iat", json!(end - 600)),
        ("client_id", json!(format!("crd_{}", encode(&[1; 16])))),
        ("rseq", json!(1_000_000)),
        ("aud", json!(format!("vlt_{}", encode(&[1; 16])))),
    ];
    for (claim, value) in better {
        let mut claims = claims_of(&expired);
        assert_ne!(claims[claim], value);
        claims[claim] = value;
        let header = expired.split('.').next().unwrap();
        let token = format!("{header}.{}.{}", encode(claims.to_string().as_bytes()), encode(&[0; 256]));
        for treasure in [first, other] {
            assert_eq!(opened_with(&installation, treasure, &token).await, None, "{claim}");
        }
    }
}

#[tokio::test]
async fn control_one_release_key_for_an_environment_opens_its_other_secrets() {
    let builder = Installation::builder().production();
    let installation = builder.sabotaged("no_authorization", "one_release_key_per_environment").running().await;
    let treasures = hide(&installation).await;
    let neighbour = hide_at(&installation, "staging", "neighbour", "neighbour's value").await;
    let asked = [treasures[3].clone(), neighbour];
    assert_eq!(foreign_values(&installation, &asked, &asked).await.len(), 2);
}

/// Reads as a thief does who has time: what a second's budget of refusals keeps back, he asks again.
async fn read(installation: &Installation, treasure: &Treasure, token: &str) -> Answer {
    let mut answer = None;
    wait_until("the vault answers", async || {
        let got = installation.read(&treasure.stored.key_id, token).await;
        let is_told = got.status != 429;
        answer = Some(got);
        is_told
    })
    .await;
    answer.unwrap()
}

/// Checks that each token opens its value, whatever became of its secret, and nothing of what is destroyed: no check keeps that
/// back, it is not there, also not in the vault's memory, which had it when it was read.
async fn each_opens_what_is_there(installation: &Installation, treasures: &[Treasure]) {
    for treasure in treasures {
        let opened = async || opened_with(installation, treasure, &treasure.stored.token).await;
        if treasure.life == Life::Destroyed {
            wait_until("the vault has forgotten it", async || opened().await.is_none()).await;
        } else {
            assert_eq!(opened().await.as_ref(), Some(&treasure.value), "{treasure:?}");
        }
    }
}

/// What a token opens of a secret.
async fn opened_with(installation: &Installation, treasure: &Treasure, token: &str) -> Option<String> {
    let answer = read(installation, treasure, token).await;
    (answer.status == 200).then(|| answer.text("decrypted_key"))
}

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What tokens open beyond what they name: each is used for every secret of the others.
async fn foreign_values(installation: &Installation, holders: &[Treasure], others: &[Treasure]) -> Vec<String> {
    let mut found = Vec::new();
    // One secret after the other, so that no token asks for much at once.
    for other in others {
        for holder in holders.iter().filter(|holder| holder.stored.key_id != other.stored.key_id) {
            let answer = read(installation, other, &holder.stored.token).await;
            if answer.status == 200 {
                found.push(format!("{} opened {}: {answer}", holder.path, other.path));
            } else {
                // The weak vault looks for the version that the token names.
                let row_is_there = others.iter().any(|row| {
                    let place = (&row.stored.key_id, row.stored.version);
                    place == (&other.stored.key_id, holder.stored.version) && row.life != Life::Destroyed
                });
                answer.expect_code(if row_is_there { "token_invalid" } else { "secret_not_found" });
            }
        }
    }
    found
}
