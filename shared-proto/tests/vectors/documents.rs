//! JWKs, key statements, feed states, receipts, retirements and fingerprints.

use serde_json::Value;
use shared_proto::derive::fingerprint;
use shared_proto::encoding::{b64, from_json};
use shared_proto::feed::FeedState;
use shared_proto::jwk::PublicJwk;
use shared_proto::receipt::Receipt;
use shared_proto::retirement::Retirement;
use shared_proto::rsa_key::{encrypting_key, verifying_key};
use shared_proto::statement::{KeyStatement, StatedKey};

use super::support::{accepted, array, number, pins, read, refused, run, same, same_bytes, text};

#[test]
fn jwk() {
    let parse = |entry: &Value| from_json::<PublicJwk>(text(entry, "text").as_bytes());
    let positive = |entry: &Value| {
        let key = accepted(parse(entry))?;
        same_bytes(entry, "thumbprint", &key.thumbprint().0)?;
        same("kid", b64(&key.thumbprint().0).as_str(), text(entry, "kid"))?;
        if matches!(key, PublicJwk::Rsa { .. }) {
            accepted(verifying_key(&key).map_err(|_| "verifying"))?;
            accepted(encrypting_key(&key).map_err(|_| "encrypting"))?;
        }
        Ok(())
    };
    // An RSA key is checked where it is made usable; both ways have to refuse it.
    let negative = |entry: &Value| {
        let Ok(key) = parse(entry) else { return Ok(()) };
        if matches!(key, PublicJwk::Okp { .. }) {
            return Err("was not refused".to_owned());
        }
        refused(verifying_key(&key)).map_err(|_| "verifies")?;
        refused(encrypting_key(&key)).map_err(|_| "encrypts".to_owned())
    };
    run("jwk", (6, 66), positive, negative);
}

#[test]
fn statement() {
    let verify = |entry: &Value| -> Option<StatedKey> {
        let statement: KeyStatement = from_json(text(entry, "text").as_bytes()).ok()?;
        let key = statement.verify(&pins(read(entry, "owner"), read(entry, "identity"))).ok()?;
        key.valid_at(number(entry, "now")).then_some(key)
    };
    let positive = |entry: &Value| {
        let key = accepted(verify(entry).ok_or(()))?;
        same("purpose", key.purpose.as_str(), text(entry, "purpose"))?;
        same("kid", b64(&key.kid.0).as_str(), text(entry, "key_kid"))?;
        same("key", key.key.thumbprint(), key.kid)
    };
    run("statement", (5, 74), positive, |entry| refused(verify(entry).ok_or(())));
}

#[test]
fn feed() {
    let verify = |entry: &Value| -> Option<FeedState> {
        let feed: FeedState = from_json(text(entry, "text").as_bytes()).ok()?;
        feed.verify(&pins(read(entry, "vault"), read(entry, "identity")), &read(entry, "nonce")).ok()?;
        Some(feed)
    };
    let positive = |entry: &Value| {
        let feed = accepted(verify(entry).ok_or(()))?;
        same("applied", feed.applied, number(entry, "applied"))?;
        same("event hash", b64(&feed.event_hash.0).as_str(), text(entry, "event_hash"))
    };
    run("feed", (2, 61), positive, |entry| refused(verify(entry).ok_or(())));
}

#[test]
fn receipt() {
    let verify = |entry: &Value| {
        let receipt: Receipt = from_json(text(entry, "text").as_bytes()).ok()?;
        receipt.verify(&pins(read(entry, "vault"), read(entry, "identity"))).ok()
    };
    let positive = |entry: &Value| {
        let facts = accepted(verify(entry).ok_or(()))?;
        let said: Value = serde_json::from_str(text(entry, "text")).unwrap();
        same("state", facts.state.as_str(), text(&said, "state"))?;
        same("version", facts.version.get(), number(&said, "version"))?;
        same("epoch", u64::from(facts.epoch), number(&said, "epoch"))?;
        same("secret", facts.secret.to_string().as_str(), text(&said, "secret_id"))?;
        same("environment", facts.environment.to_string().as_str(), text(&said, "environment"))?;
        same("digest", b64(&facts.digest.0).as_str(), text(&said, "digest"))
    };
    run("receipt", (3, 87), positive, |entry| refused(verify(entry).ok_or(())));
}

#[test]
fn retirement() {
    let verify = |entry: &Value| {
        let retirement: Retirement = from_json(text(entry, "text").as_bytes()).ok()?;
        retirement.verify(&pins(read(entry, "vault"), read(entry, "identity"))).ok()
    };
    let positive = |entry: &Value| {
        let facts = accepted(verify(entry).ok_or(()))?;
        let said: Value = serde_json::from_str(text(entry, "text")).unwrap();
        same("environment", facts.environment.to_string().as_str(), text(&said, "environment"))?;
        same("epoch", u64::from(facts.epoch), number(&said, "epoch"))?;
        same("rows", facts.rows, number(&said, "rows"))?;
        same("time", facts.time, number(&said, "time"))
    };
    run("retirement", (4, 66), positive, |entry| refused(verify(entry).ok_or(())));
}

#[test]
fn fingerprints() {
    let positive = |entry: &Value| {
        same("fingerprint", accepted(fingerprint(&array(entry, "key")))?.as_str(), text(entry, "fingerprint"))
    };
    run("fingerprint", (3, 6), positive, |entry| refused(positive(entry)));
}
