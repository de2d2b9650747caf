//! Value fingerprints and comparisons.

use serde_json::Value;
use shared_proto::Rejected;
use shared_proto::comparison::Comparison;
use shared_proto::encoding::{Bytes, from_json};
use shared_proto::envelope::{BoundFingerprint, Header, ValueFingerprint, binding_key};
use shared_proto::secret::{BindingKey, FingerprintKey, SecretValue, StorageKey, TransferKey};
use zeroize::Zeroizing;

use super::envelope::{header_of, secret_value};
use super::support::{accepted, array, number, pins, read, refused, run, same_bytes, text};

fn keys(entry: &Value) -> (FingerprintKey, StorageKey) {
    let key = |name: &str| Zeroizing::new(array(entry, name));
    (FingerprintKey::from_bytes(key("fingerprint_key")), StorageKey::from_bytes(key("storage_key")))
}

/// Reads what is at rest as the fingerprint of the value in the envelope.
fn reads(entry: &Value, header: &Header, value: &SecretValue) -> Result<(), Rejected> {
    let (key, storage) = keys(entry);
    let bound = BoundFingerprint::from_stored(&storage, &Bytes(array(entry, "stored")))?;
    let found = bound.unbind_with(&binding_key(&key, header)?)?;
    let expected = ValueFingerprint::of(&key, header.environment, value)?;
    found.is_same(&expected).then_some(()).ok_or(Rejected)
}

#[test]
fn value_fingerprint() {
    let positive = |entry: &Value| {
        let (header, value) = (header_of(entry), secret_value(entry));
        accepted(reads(entry, &header, &value))?;
        let (key, storage) = keys(entry);
        let transfer = TransferKey::from_bytes(Zeroizing::new(array(entry, "transfer_key")));
        let binding = accepted(binding_key(&key, &header))?;
        same_bytes(entry, "binding_key", binding.expose())?;
        same_bytes(entry, "moved_binding_key", &accepted(binding.move_with(&transfer))?.0)?;
        let back = accepted(BindingKey::from_moved(&transfer, &Bytes(array(entry, "moved_binding_key"))))?;
        same_bytes(entry, "binding_key", back.expose())?;
        let bound = accepted(ValueFingerprint::of(&key, header.environment, &value))?.bind_with(&binding);
        let bound = accepted(bound)?;
        same_bytes(entry, "moved", &accepted(bound.move_with(&transfer))?.0)?;
        same_bytes(entry, "stored", &accepted(bound.store_with(&storage))?.0)?;
        let back = accepted(BoundFingerprint::from_moved(&transfer, &Bytes(array(entry, "moved"))))?;
        if back.is_same(&bound) { Ok(()) } else { Err("it differs after its way".to_owned()) }
    };
    let negative = |entry: &Value| refused(reads(entry, &header_of(entry), &secret_value(entry)));
    run("value_fingerprint", (9, 22), positive, negative);
}

#[test]
fn comparison() {
    let verify = |entry: &Value| -> Option<Vec<String>> {
        let comparison: Comparison = from_json(text(entry, "text").as_bytes()).ok()?;
        let count = usize::try_from(number(entry, "count")).unwrap();
        let pins = pins(read(entry, "vault"), read(entry, "identity"));
        let results = comparison.verify(&pins, &read(entry, "nonce"), count).ok()?;
        Some(results.iter().map(|result| result.as_str().to_owned()).collect())
    };
    let positive = |entry: &Value| {
        let found = accepted(verify(entry).ok_or(()))?;
        let wanted: Vec<String> = read(entry, "results");
        if found == wanted { Ok(()) } else { Err(format!("the results are {found:?}")) }
    };
    run("comparison", (3, 58), positive, |entry| refused(verify(entry).ok_or(())));
}
