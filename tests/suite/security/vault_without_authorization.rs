//! S12: a vault whose authorization checks are all switched off still lacks the keys of what a token does not name.

use system_tests::Installation;

use super::treasure::{Treasure, all_open, hide, hide_at};

#[tokio::test]
async fn vault_without_authorization_opens_what_the_token_names_and_nothing_else() {
    let installation = Installation::builder().production().sabotaged("no_authorization", "").running().await;
    let treasures = hide(&installation).await;
    all_open(&installation, &treasures).await;
    assert_eq!(foreign_values(&installation, &treasures).await, Vec::<String>::new());

    // Its checks are off indeed: a revoked token still opens what it names, and nothing else.
    installation.revoke(&treasures[2].stored.jti).await;
    all_open(&installation, &treasures).await;
    assert_eq!(foreign_values(&installation, &treasures).await, Vec::<String>::new());
}

#[tokio::test]
async fn control_one_release_key_for_an_environment_opens_its_other_secrets() {
    let builder = Installation::builder().production();
    let installation = builder.sabotaged("no_authorization", "one_release_key_per_environment").running().await;
    let treasures = hide(&installation).await;
    let neighbour = hide_at(&installation, "staging", "neighbour", "neighbour's value").await;
    let asked = [treasures[3].clone(), neighbour];
    assert_eq!(foreign_values(&installation, &asked).await.len(), 2);
}

/// What tokens open beyond what they name: each token is used for every secret of the others.
async fn foreign_values(installation: &Installation, treasures: &[Treasure]) -> Vec<String> {
    let mut found = Vec::new();
    for holder in treasures {
        for other in treasures {
            if other.stored.key_id == holder.stored.key_id {
                continue;
            }
            let answer = installation.read(&other.stored.key_id, &holder.stored.token).await;
            if answer.status == 200 {
                found.push(format!("{} opened {}: {answer}", holder.path, other.path));
            } else {
                // The weak vault looks for the version that the token names; only one secret has a second.
                let row_is_there = holder.stored.version == 1;
                answer.expect_code(if row_is_there { "token_invalid" } else { "secret_not_found" });
            }
        }
    }
    found
}
