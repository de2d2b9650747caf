//! Access tokens, commands and events.

use std::collections::BTreeMap;

use serde_json::Value;
use shared_proto::Rejected;
use shared_proto::chain::{ChainHead, Step};
use shared_proto::command::CommandClaims;
use shared_proto::encoding::{b64, from_b64_exact};
use shared_proto::event::{Event, EventClaims, NO_EVENT, event_hash};
use shared_proto::id::MAX_VERSION;
use shared_proto::identity::Pins;
use shared_proto::jwk::PublicJwk;
use shared_proto::jws::{Compact, Kind, VerifiedPayload, ed25519_key};
use shared_proto::release::{OpenError, SealKey, open};
use shared_proto::rsa_key::verifying_key;
use shared_proto::secret::ReleaseKey;
use shared_proto::token::{AccessClaims, CheckedClaims, Confirmation, Expected, Grant, TokenTerms};
use zeroize::Zeroizing;

use super::support::{accepted, bytes, load, number, pins, read, refused, run, same, same_bytes, text};

fn expected(context: &Value, entry: &Value) -> Expected {
    let member = |name: &str| if entry[name].is_null() { context[name].clone() } else { entry[name].clone() };
    let merged = serde_json::json!({"issuer": member("issuer"), "vault": member("vault"), "now": member("now")});
    Expected { issuer: read(&merged, "issuer"), audience: read(&merged, "vault"), now: number(&merged, "now") }
}

fn verify_token(context: &Value, entry: &Value) -> Result<CheckedClaims, Rejected> {
    let compact = Compact::parse(Kind::AccessToken, text(entry, "token"))?;
    let keys: Vec<PublicJwk> = read(context, "token_signing_keys");
    let key = keys.iter().find(|key| key.thumbprint() == *compact.kid()).ok_or(Rejected)?;
    AccessClaims::check(&compact.verify(&verifying_key(key).unwrap())?, &expected(context, entry))
}

fn open_token(context: &Value, claims: &CheckedClaims) -> Result<Vec<ReleaseKey>, OpenError> {
    let living: Vec<SealKey> = context["living_seal_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seal| {
            let key =
                SealKey::from_private(Zeroizing::new(from_b64_exact(text(seal, "private_key")).unwrap())).unwrap();
            assert_eq!(b64(&key.kid().0), text(seal, "kid"));
            key
        })
        .collect();
    open(claims, |kid| living.iter().find(|key| key.kid() == *kid))
}

#[test]
fn access_token() {
    let context = &load("access_token")["context"];
    let positive = |entry: &Value| {
        let claims = accepted(verify_token(context, entry))?;
        same("terms", &claims.terms, &terms_of(&entry["claims"]))?;
        let keys = accepted(open_token(context, &claims))?;
        let keys: Vec<String> = keys.iter().map(|key| hex::encode(key.expose())).collect();
        same("release keys", keys, read(entry, "release_keys"))
    };
    let negative = |entry: &Value| match (text(entry, "stage"), verify_token(context, entry)) {
        ("verify", result) => refused(result),
        (_, Err(_)) => Err("was refused before its seals were opened".to_owned()),
        (_, Ok(claims)) => {
            let wanted =
                if text(entry, "code") == "seal_key_unknown" { OpenError::SealKeyUnknown } else { OpenError::Rejected };
            same("answer", open_token(context, &claims).err(), Some(wanted))
        }
    };
    run("access_token", (18, 433), positive, negative);
}

fn terms_of(claims: &Value) -> TokenTerms {
    let confirmation = claims["cnf"].as_object().map(|cnf| {
        let (name, value) = cnf.iter().next().unwrap();
        let value = value.as_str().and_then(|value| from_b64_exact(value).ok()).unwrap();
        let value = shared_proto::encoding::Bytes(value);
        if name == "jkt" { Confirmation::Dpop(value) } else { Confirmation::Certificate(value) }
    });
    let bare = |name: &str| text(claims, name);
    TokenTerms {
        issuer: read(claims, "iss"),
        audience: read(claims, "aud"),
        subject: read(claims, "sub"),
        client_id: read(claims, "client_id"),
        jti: read(claims, "jti"),
        confirmation,
        issued_at: number(claims, "iat"),
        expires_at: number(claims, "exp"),
        rseq: number(claims, "rseq"),
        environment: shared_proto::id::EnvironmentId::from_bare(bare("env")).unwrap(),
        grants: read::<Vec<Grant>>(claims, "grants"),
    }
}

#[test]
fn token_info() {
    let positive = |entry: &Value| same_bytes(entry, "info", &terms_of(&entry["claims"]).info());
    let negative = |entry: &Value| refused(positive(entry));
    run("token_info", (17, 3), positive, negative);
}

fn manager(context: &Value) -> Pins {
    let issuer: shared_proto::identity::Issuer = read(context, "issuer");
    pins(shared_proto::identity::Owner::Manager(issuer.manager), read(context, "manager_identity"))
}

fn verify_by_manager(kind: Kind, context: &Value, compact: &str) -> Result<VerifiedPayload, Rejected> {
    let compact = Compact::parse(kind, compact)?;
    let pins = manager(context);
    compact.verify(&ed25519_key(pins.key(compact.kid()).ok_or(Rejected)?))
}

#[test]
fn command() {
    let context = &load("command")["context"];
    let verify = |entry: &Value| {
        let payload = verify_by_manager(Kind::Command, context, text(entry, "command"))?;
        let claims = CommandClaims::check(&payload, &expected(context, entry))?;
        claims.covers(&bytes(entry, "body"))?;
        Ok::<_, Rejected>(claims)
    };
    let positive = |entry: &Value| same("op", accepted(verify(entry))?.op.as_str(), text(entry, "op"));
    run("command", (14, 230), positive, |entry| refused(verify(entry)));
}

fn verify_event(context: &Value, compact: &str) -> Result<EventClaims, Rejected> {
    let expected = expected(context, context);
    EventClaims::check(&verify_by_manager(Kind::Event, context, compact)?, expected.issuer, expected.audience)
}

/// The payload of an event as the files write it.
fn payload_of(event: &Event) -> Value {
    use serde_json::json;

    match event {
        Event::Token(jti) => json!({"jti": jti}),
        Event::Subject(sub) => json!({"sub": sub}),
        Event::Credential(client) => json!({"client_id": client}),
        Event::Environment(environment) => json!({"environment": environment}),
        Event::Secret(secret) => json!({"secret_id": secret}),
        Event::Version(secret, version) => json!({"secret_id": secret, "version": version}),
        Event::SigningKey(kid) => json!({"kid": kid}),
        Event::All => json!({}),
        Event::Destroy(environment, secret, version) => {
            json!({"environment": environment, "secret_id": secret, "version": version})
        }
    }
}

#[test]
fn event() {
    let file = load("event");
    let context = &file["context"];
    let chain: Vec<&str> = file["positive"].as_array().unwrap().iter().map(|entry| text(entry, "event")).collect();
    let head = |applied: usize| applied.checked_sub(1).map_or(NO_EVENT, |last| event_hash(chain[last]));
    let positive = |entry: &Value| {
        let claims = accepted(verify_event(context, text(entry, "event")))?;
        same("seq", claims.seq, number(entry, "seq"))?;
        same("kind", claims.event.kind(), text(entry, "kind"))?;
        same("payload", &payload_of(&claims.event), &entry["payload"])?;
        same_bytes(entry, "prev", &claims.prev.0)?;
        same_bytes(entry, "hash", &event_hash(text(entry, "event")).0)?;
        let before = usize::try_from(claims.seq).unwrap() - 1;
        same("prev of the chain", claims.prev, head(before))
    };
    // What does not fit the chain is good by itself; the vault decides (its own tests run these vectors too).
    let applied = usize::try_from(number(context, "applied")).unwrap();
    let negative = |entry: &Value| {
        let claims = verify_event(context, text(entry, "event"));
        if text(entry, "code") == "token_invalid" {
            return refused(claims);
        }
        let claims = accepted(claims)?;
        let next = claims.seq == u64::try_from(applied).unwrap() + 1 && claims.prev == head(applied);
        if next { Err("fits the chain".to_owned()) } else { Ok(()) }
    };
    run("event", (11, 316), positive, negative);
}

/// A reader of a chain that keeps what it was given.
struct Reader {
    head: ChainHead,
    known: BTreeMap<u64, String>,
    /// The highest number that it passed over.
    revoked_below: u64,
}

impl Reader {
    /// Follows a list of events; the error is the code of the first one that is refused.
    fn follow(&mut self, context: &Value, list: &Value, dropped_below: u64) -> Result<(), &'static str> {
        for compact in list.as_array().unwrap() {
            let compact = compact.as_str().unwrap();
            let claims = verify_event(context, compact).map_err(|Rejected| "token_invalid")?;
            match self.head.step(&claims, compact, dropped_below) {
                Step::Known if self.known.get(&claims.seq).is_some_and(|known| known != compact) => {
                    return Err("event_conflict");
                }
                Step::Known => continue,
                Step::Next(next) => self.head = next,
                Step::Over(next) => (self.head, self.revoked_below) = (next, claims.seq - 1),
                Step::Gap => return Err("event_gap"),
                Step::Conflict => return Err("event_conflict"),
            }
            self.known.insert(claims.seq, compact.to_owned());
        }
        Ok(())
    }
}

#[test]
fn feed_snapshot() {
    let file = load("feed_snapshot");
    let context = &file["context"];
    let follow = |entry: &Value| {
        let mut reader = Reader { head: ChainHead::START, known: BTreeMap::new(), revoked_below: 0 };
        reader.follow(context, &entry["applied"], MAX_VERSION).unwrap();
        reader.follow(context, &entry["events"], number(entry, "dropped_below")).map(|()| reader)
    };
    let positive = |entry: &Value| {
        let reader = accepted(follow(entry))?;
        same("number", reader.head.number, number(entry, "number"))?;
        same_bytes(entry, "hash", &reader.head.hash.0)?;
        same_bytes(entry, "lasting", &reader.head.lasting.0)?;
        same("revoked below", reader.revoked_below, number(entry, "revoked_below"))
    };
    let negative = |entry: &Value| same("code", follow(entry).err(), Some(text(entry, "code")));
    run("feed_snapshot", (11, 28), positive, negative);
}

/// What an event hits is decided in the vault. Here the events of its vectors are only read.
#[test]
fn revocation() {
    let file = load("revocation");
    let context = &file["context"];
    let read_all = |entry: &Value| {
        let mut prev = NO_EVENT;
        for (number, compact) in entry["events"].as_array().unwrap().iter().enumerate() {
            let compact = compact.as_str().unwrap();
            let claims = accepted(verify_event(context, compact))?;
            same("prev", claims.prev, prev)?;
            same("seq", claims.seq, number as u64 + 1)?;
            prev = event_hash(compact);
        }
        Ok(())
    };
    run("revocation", (19, 20), read_all, read_all);
}
