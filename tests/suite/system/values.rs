//! Values of all sizes and kinds, through the client library.

use client::manager_api::name::{EnvironmentName, UserLabel};
use client::manager_api::tokens::{MintToken, SecretRequest};
use client::manager_api::wire::{Revoke, Rollback};
use client::shared_proto::error::ErrorCode;
use client::shared_proto::secret::{MAX_VALUE_BYTES, SecretValue, ValueEncoding};
use client::{Client, ClientError, NewSecret, Stored};
use serde_json::json;
use system_tests::Installation;

fn new_secret(encoding: ValueEncoding, key_data: &str) -> NewSecret {
    let value = SecretValue::from_json(encoding, key_data.to_owned().into()).unwrap();
    let environment = Some(EnvironmentName::parse("dev").unwrap());
    NewSecret { environment, ..NewSecret::new(UserLabel::parse("user123").unwrap(), value) }
}

async fn round_trip(client: &Client, encoding: ValueEncoding, key_data: &str) -> Stored {
    let stored = client.store(new_secret(encoding, key_data), None).await.unwrap();
    let token = stored.token.as_ref().unwrap();
    let opened = client.read(&token.access, stored.key_id).await.unwrap();
    assert_eq!(opened.version, stored.version);
    assert_eq!(opened.value.encoding(), encoding);
    // Not assert_eq!: a megabyte in a failure helps nobody.
    assert!(*opened.value.expose_json() == *key_data, "{} characters came back otherwise", key_data.len());
    stored
}

#[tokio::test]
async fn values_of_every_size_and_kind_come_back_as_they_were() {
    let installation = Installation::running().await;
    let client = installation.client();
    let largest = MAX_VALUE_BYTES;
    let texts = ["", "x", "ünïcode \u{1F512}", "\0\u{1}\u{7f} \"\\/", "line\r\nline\n", "null", "{\"a\": [1]}"];
    for text in texts.map(str::to_owned).into_iter().chain([largest - 1, largest].map(|size| "x".repeat(size))) {
        round_trip(&client, ValueEncoding::Text, &text).await;
    }
    // Each control character needs six bytes in JSON: the largest request and the largest answer there can be.
    round_trip(&client, ValueEncoding::Text, &"\u{1}".repeat(largest)).await;
    for bytes in ["", "AA==", "AP8=", "gIGC", "/+7/"] {
        round_trip(&client, ValueEncoding::Base64, bytes).await;
    }
    let all_bytes = "AAECAwQFBgcICQoL".repeat(largest / 12);
    round_trip(&client, ValueEncoding::Base64, &all_bytes).await;
}

#[tokio::test]
async fn one_byte_more_than_a_mebibyte_is_refused_and_so_is_what_is_not_what_it_says() {
    let installation = Installation::running().await;
    let too_large = "x".repeat(MAX_VALUE_BYTES + 1);
    installation.submit(json!({"key_data": too_large})).await.expect_code("value_too_large");
    let too_large = "AAAA".repeat(MAX_VALUE_BYTES / 3 + 1);
    installation.submit(json!({"key_data": too_large, "encoding": "base64"})).await.expect_code("value_too_large");
    for bad in ["A", "AB==", "AA", "AA==\n", "-_=="] {
        installation.submit(json!({"key_data": bad, "encoding": "base64"})).await.expect_code("encoding_invalid");
    }
    let body = "x".repeat(8 << 20);
    installation.submit(json!({"key_data": body})).await.expect_code("body_too_large");
}

#[tokio::test]
async fn client_reads_many_lists_revokes_and_destroys() {
    let installation = Installation::running().await;
    let client = installation.client();
    let first = round_trip(&client, ValueEncoding::Text, "first").await;
    let second = round_trip(&client, ValueEncoding::Base64, "AP8=").await;
    let third = round_trip(&client, ValueEncoding::Text, "third").await;
    let secrets = vec![SecretRequest::id(first.key_id), SecretRequest::id(second.key_id)];
    let token = client.mint(&MintToken { secrets, user_id: None, life_seconds: Some(60) }).await.unwrap();
    let asked = [second.key_id, third.key_id, first.key_id];
    let answers = client.read_many(&token.access, &asked).await.unwrap();
    assert_eq!(answers[0].as_ref().ok().unwrap().value.expose(), [0, 255]);
    assert_eq!(answers[1].as_ref().err(), Some(&ErrorCode::SecretNotFound));
    assert_eq!(answers[2].as_ref().ok().unwrap().value.expose(), b"first");

    assert_eq!(client.list_secrets(None, None).await.unwrap().secrets.len(), 3);
    assert_eq!(client.list_tokens(None).await.unwrap().tokens.len(), 4);
    let rollback = Rollback { version: first.version, if_version: Some(first.version), note: None, expires_at: None };
    let back = client.rollback(first.key_id, &rollback, Some("once")).await.unwrap();
    assert_eq!((back.version, back.envelope), (first.version.next().unwrap(), first.version));
    let repeat = client.rollback(first.key_id, &rollback, Some("once")).await.unwrap();
    assert_eq!(repeat.version, back.version);
    let refused = client.rollback(first.key_id, &rollback, None).await.err().unwrap();
    assert_eq!(refused.code(), Some(ErrorCode::VersionConflict));
    client.revoke(&Revoke::Secret { key_id: first.key_id }).await.unwrap();
    let answers = client.read_many(&token.access, &[first.key_id, second.key_id]).await.unwrap();
    assert_eq!((answers[0].is_ok(), answers[1].is_ok()), (false, true));
    client.revoke_token(token.jti).await.unwrap();
    let refused = client.read(&token.access, second.key_id).await.err().unwrap();
    assert_eq!(refused.code(), Some(ErrorCode::TokenInvalid));
    client.destroy(third.key_id, vec![third.version]).await.unwrap();
    assert!(client.read(&third.token.unwrap().access, third.key_id).await.is_err());

    let stranger = installation.stranger();
    let refused = stranger.list_secrets(None, None).await.err().unwrap();
    assert_eq!(refused.code(), Some(ErrorCode::CredentialInvalid));
    let nobody = Client::new("http://127.0.0.1:9", "http://127.0.0.1:9", None).unwrap();
    assert!(matches!(nobody.list_tokens(None).await, Err(ClientError::Transport(_))));
}
