//! Signed documents: key statements, identity documents, receipts and feed states. What nobody here signed never
//! verifies; what is stated with our own signature verifies only when it is in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::encoding::from_json;
use shared_proto::feed::FeedState;
use shared_proto::identity::{IdentityDocument, Owner, Pins};
use shared_proto::jwk::{Curve, PublicJwk};
use shared_proto::receipt::{Receipt, ReceiptFacts};
use shared_proto::retirement::Retirement;
use shared_proto::rsa_key::{encrypting_key, verifying_key};
use shared_proto::statement::{KeyStatement, Purpose};
use splitvault_fuzz::installation::{INSTALLATION, NOW};
use splitvault_fuzz::meaning::means_one_thing;

fuzz_target!(|data: &[u8]| {
    if let Some(key) = read::<PublicJwk>(data) {
        usable(&key);
    }
    if let Some(statement) = read::<KeyStatement>(data) {
        assert!(statement.verify(&INSTALLATION.manager_pins).is_err());
        assert!(statement.verify(&INSTALLATION.vault_pins).is_err());
        usable(&statement.key);
        stated(&statement);
    }
    if let Some(document) = read::<IdentityDocument>(data) {
        let pins = Pins::new(std::slice::from_ref(&document));
        assert_eq!(pins.is_ok(), document.key.okp(Curve::Ed25519).is_ok());
        if let Ok(pins) = pins {
            assert_eq!((pins.id(), pins.mode()), (document.id, document.mode));
            assert!(pins.key(&document.key.thumbprint()).is_some());
        }
    }
    if let Some(receipt) = read::<Receipt>(data) {
        assert!(receipt.verify(&INSTALLATION.vault_pins).is_err());
    }
    if let Some(retirement) = read::<Retirement>(data) {
        assert!(retirement.verify(&INSTALLATION.vault_pins).is_err());
    }
    if let Some(feed) = read::<FeedState>(data) {
        assert!(feed.verify(&INSTALLATION.vault_pins, &feed.nonce).is_err());
        signed_feed(&feed);
    }
});

fn read<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    let accepted = from_json::<T>(data).ok()?;
    means_one_thing(data, &accepted);
    Some(accepted)
}

/// An RSA key is taken for encrypting exactly when it is taken for verifying, and only within the limits.
fn usable(key: &PublicJwk) {
    let accepted = verifying_key(key).is_ok();
    if let PublicJwk::Rsa { n, .. } = key {
        assert!(!accepted || (256..=512).contains(&n.0.len()));
        // The rsa crate is stricter about exponents.
        assert!(accepted || encrypting_key(key).is_err());
    } else {
        assert!(!accepted);
    }
}

fn stated(document: &KeyStatement) {
    let (identity, pins) = match document.owner {
        Owner::Manager(_) => (&INSTALLATION.manager, &INSTALLATION.manager_pins),
        Owner::Vault(_) => (&INSTALLATION.vault, &INSTALLATION.vault_pins),
    };
    let times = (document.not_before, document.not_after);
    let own = KeyStatement::sign(identity, document.owner, document.purpose, document.key.clone(), times);
    let right_owner = match document.purpose {
        Purpose::TokenSigning => matches!(document.owner, Owner::Manager(_)),
        Purpose::Transport | Purpose::Seal => matches!(document.owner, Owner::Vault(_)),
    };
    match own.verify(pins) {
        Ok(key) => {
            assert!(document.owner == pins.id() && right_owner && times.0 < times.1);
            assert_eq!(key.kid, document.key.thumbprint());
            assert_eq!(key.valid_at(NOW), times.0 <= NOW && NOW < times.1);
            let mut changed = own;
            changed.not_after = changed.not_after.wrapping_add(1);
            assert!(changed.verify(pins).is_err(), "a statement whose end was moved");
        }
        Err(_) => {
            let seal = document.purpose == Purpose::Seal;
            let key_fits = if seal { document.key.okp(Curve::X25519).is_ok() } else { is_rsa(&document.key) };
            assert!(document.owner != pins.id() || !right_owner || !key_fits || times.0 >= times.1);
        }
    }
}

fn is_rsa(key: &PublicJwk) -> bool {
    matches!(key, PublicJwk::Rsa { .. })
}

fn signed_feed(document: &FeedState) {
    let FeedState { vault, nonce, applied, event_hash, time, .. } = document.clone();
    let own = FeedState::sign(&INSTALLATION.vault, vault, nonce, applied, event_hash, time);
    if own.verify(&INSTALLATION.vault_pins, &nonce).is_ok() {
        let mut changed = own.clone();
        changed.applied = changed.applied.wrapping_add(1);
        assert!(changed.verify(&INSTALLATION.vault_pins, &nonce).is_err(), "a feed state that was raised");
        let mut other = nonce;
        other.0[0] ^= 1;
        assert!(own.verify(&INSTALLATION.vault_pins, &other).is_err(), "an answer to another request");
    }
    let receipt_of = ReceiptFacts {
        environment: shared_proto::id::EnvironmentId::from_bytes(nonce.0),
        secret: shared_proto::id::SecretId::from_bytes(nonce.0),
        version: shared_proto::id::Version::FIRST,
        state: shared_proto::receipt::VersionState::Stored,
        epoch: u32::try_from(applied & 0xffff).unwrap(),
        digest: event_hash,
    };
    let receipt = Receipt::sign(&INSTALLATION.vault, INSTALLATION.expected.audience, &receipt_of, time);
    // A receipt for an envelope has an epoch.
    assert_eq!(receipt.verify(&INSTALLATION.vault_pins).ok(), (receipt_of.epoch > 0).then_some(receipt_of));
}
