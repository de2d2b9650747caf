//! Objects inside bodies: an array in the place of an object is not read by position.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared_proto::encoding::from_json;
use shared_proto::wire::fingerprint::{Compare, Find};
use shared_proto::wire::vault::{Handout, HandoutAnswer, Inventory, ReadAnswer, Rewrap, Settle, Store, StoreAnswer};

const SECRET: &str = "sec_oxOWVv1CMnimDzkbyT2sXA";

fn reads<T: DeserializeOwned>(document: &Value) -> bool {
    from_json::<T>(document.to_string().as_bytes()).is_ok()
}

/// Reads a body with `object` somewhere in it, and does not read it with the members in a row instead.
fn as_object_only<T: DeserializeOwned>(object: &[(&str, Value)], body: impl Fn(Value) -> Value) {
    let members = object.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    assert!(reads::<T>(&body(Value::Object(members))));
    assert!(!reads::<T>(&body(object.iter().map(|(_, value)| value.clone()).collect())));
}

#[test]
fn array_in_the_place_of_an_object_is_refused_wherever_it_stands() {
    let environment = json!("env_Ml06QyPiCkikrdAdwc2cKQ");
    let (b32, b48) = (json!("A".repeat(43)), json!("A".repeat(64)));
    let version = [("environment", environment.clone()), ("secret_id", json!(SECRET)), ("version", json!(1))];
    let keys = |body: &mut Value| {
        body["transfer_key"] = "AAAA".into();
        body["transport_kid"] = b32.clone();
        body.clone()
    };
    as_object_only::<Settle>(&version, |one| json!({"versions": [one]}));
    as_object_only::<Handout>(&version, |one| keys(&mut json!({"epoch": 1, "versions": [one]})));
    as_object_only::<Inventory>(&version[1..], |one| json!({"after": one, "limit": 1}));
    as_object_only::<HandoutAnswer>(&[("digest", b32.clone()), ("moved", b48.clone())], |one| json!({"rows": [one]}));
    as_object_only::<StoreAnswer>(&[("error", json!("version_conflict"))], |one| json!({"results": [one]}));
    let opened = [("key_id", json!(SECRET)), ("version", json!(1)), ("encoding", json!("text"))];
    let opened = [opened.as_slice(), &[("decrypted_key", json!("x"))]].concat();
    as_object_only::<ReadAnswer>(&opened, |one| json!({"keys": [one]}));
    as_object_only::<ReadAnswer>(
        &[("key_id", json!(SECRET)), ("code", json!("secret_not_found"))],
        |one| json!({"keys": [one]}),
    );
    let row = [version.as_slice(), &[("digest", b32.clone()), ("moved", b48.clone())]].concat();
    as_object_only::<Rewrap>(&row, |one| keys(&mut json!({"epoch": 1, "rows": [one]})));
    let rest = [("commit", b32.clone()), ("nonce", json!("A".repeat(16))), ("ciphertext", json!("AAAA"))];
    let envelope = [&row[..3], &[("epoch", json!(1))], &row[3..], &rest].concat();
    as_object_only::<Store>(&envelope, |one| keys(&mut json!({"envelopes": [one]})));
    let nonce = json!("A".repeat(22));
    let value = [version.as_slice(), &[("fingerprint", b48.clone())]].concat();
    as_object_only::<Compare>(&value, |one| keys(&mut json!({"nonce": nonce, "values": [one]})));
    let named = [version.as_slice(), &[("binding_key", json!("A".repeat(54)))]].concat();
    let other: Value = named.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    as_object_only::<Find>(&named, |one| keys(&mut json!({"nonce": nonce, "one": one, "others": [other]})));
    as_object_only::<Find>(&named, |one| keys(&mut json!({"nonce": nonce, "one": other, "others": [one]})));
}

#[test]
fn fingerprint_of_an_envelope_may_be_absent_but_is_not_null() {
    let envelope = |fingerprint: Option<Value>| {
        let mut envelope = json!({
            "environment": "env_Ml06QyPiCkikrdAdwc2cKQ", "secret_id": SECRET, "version": 1, "epoch": 1,
            "digest": "A".repeat(43), "moved": "A".repeat(64), "commit": "A".repeat(43), "nonce": "A".repeat(16),
            "ciphertext": "AAAA",
        });
        if let Some(fingerprint) = fingerprint {
            envelope["fingerprint"] = fingerprint;
        }
        json!({"transfer_key": "AAAA", "transport_kid": "A".repeat(43), "envelopes": [envelope]})
    };
    assert!(reads::<Store>(&envelope(None)));
    assert!(reads::<Store>(&envelope(Some(json!("A".repeat(64))))));
    for wrong in [Value::Null, json!(""), json!("A".repeat(43)), json!("A".repeat(66)), json!([1])] {
        assert!(!reads::<Store>(&envelope(Some(wrong.clone()))), "{wrong}");
    }
}

#[test]
fn line_of_a_batch_with_a_member_too_many_is_refused() {
    let line = |more: Value| json!({"keys": [{"key_id": SECRET, "code": "secret_not_found", "encoding": more}]});
    assert!(!reads::<ReadAnswer>(&line(json!("text"))));
    assert!(!reads::<ReadAnswer>(&json!({"keys": [], "more": 1})));
    assert!(reads::<ReadAnswer>(&json!({"keys": []})));
}
