//! The client library below the command line: many secrets at once.

use client::manager_api::name::SecretPath;
use client::shared_proto::error::ErrorCode;
use client::{SharedReader, Wanted};
use system_tests::Installation;

fn at(path: &str) -> Wanted {
    Wanted::path("dev".parse().unwrap(), &SecretPath::parse(path).unwrap())
}

fn mints(installation: &Installation) -> usize {
    installation.manager.audit().iter().filter(|line| line["action"] == "token.mint").count()
}

#[tokio::test]
async fn many_secrets_are_two_tokens_and_those_that_are_missing_keep_no_others_back() {
    let installation = Installation::running().await;
    for number in 0..70 {
        installation.store_at(&format!("many/s{number}"), &format!("value {number}")).await;
    }
    let client = installation.client();
    let mut wanted: Vec<_> = (0..70).map(|number| at(&format!("many/s{number}"))).collect();
    wanted.push(at("many.s0"));
    let before = mints(&installation);
    let read = client.read_secrets(&wanted).await;
    for (number, secret) in read.iter().take(70).enumerate() {
        let secret = secret.as_ref().unwrap();
        assert_eq!(secret.value.expose(), format!("value {number}").as_bytes());
    }
    assert_eq!(read[70].as_ref().unwrap().value.expose(), b"value 0");
    assert_eq!(mints(&installation) - before, 2);
    wanted.insert(3, at("many/missing"));
    wanted.insert(50, at("other/missing"));
    let read = client.read_secrets(&wanted).await;
    for (wanted, read) in wanted.iter().zip(&read) {
        let is_missing = *wanted == at("many/missing") || *wanted == at("other/missing");
        assert_eq!(
            read.as_ref().err().and_then(client::ClientError::code),
            is_missing.then_some(ErrorCode::SecretNotFound)
        );
    }
}

#[tokio::test]
async fn readers_of_one_secret_at_one_time_share_a_token() {
    let installation = Installation::running().await;
    installation.store_at("shared/one", "value").await;
    let reader = SharedReader::new(installation.client());
    let wanted = at("shared/one");
    let before = mints(&installation);
    for read in futures_util::future::join_all((0..40).map(|_| reader.read(&wanted))).await {
        assert_eq!(read.unwrap().value.expose(), b"value");
    }
    assert_eq!(mints(&installation) - before, 1);
}

#[tokio::test]
async fn secret_is_read_again_after_its_token_was_revoked() {
    let installation = Installation::running().await;
    let stored = installation.store_at("revoked/one", "value").await;
    let reader = SharedReader::new(installation.client());
    assert!(reader.read(&at("revoked/one")).await.is_ok());
    let revoke = client::manager_api::wire::Revoke::Secret { key_id: stored.key_id.parse().unwrap() };
    installation.client().revoke(&revoke).await.unwrap();
    assert!(reader.read(&at("revoked/one")).await.is_ok());
}
