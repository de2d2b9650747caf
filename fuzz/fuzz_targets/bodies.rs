//! JSON bodies of every route, and the answers that the manager reads from a vault. What is accepted has one meaning;
//! what is refused is refused in words that repeat nothing of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manager_api::tokens::MintToken;
use manager_api::wire::{Destroy, Reconcile, Revoke, StoreKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::encoding::from_json;
use shared_proto::secret::{MAX_VALUE_BYTES, SecretValue, ValueEncoding};
use shared_proto::wire::fingerprint::ComparisonAnswer;
use shared_proto::wire::vault::{
    HandoutAnswer, OpenedKey, PollAnswer, PushAnswer, ReadAnswer, ReadKeys, Receipts, ReplayAnswer, RetireAnswer,
    StoreAnswer, VaultStatements,
};
use splitvault_fuzz::decode_body;
use splitvault_fuzz::meaning::{means_one_thing, tells_nothing};

fuzz_target!(|data: &[u8]| {
    if let Some(body) = route::<StoreKey>(data) {
        value(body);
    }
    route::<MintToken>(data);
    route::<Revoke>(data);
    route::<Destroy>(data);
    route::<Reconcile>(data);
    route::<ReadKeys>(data);
    answer::<VaultStatements>(data);
    answer::<PollAnswer>(data);
    answer::<PushAnswer>(data);
    answer::<ReplayAnswer>(data);
    answer::<StoreAnswer>(data);
    answer::<Receipts>(data);
    answer::<OpenedKey>(data);
    answer::<HandoutAnswer>(data);
    answer::<ReadAnswer>(data);
    answer::<RetireAnswer>(data);
    answer::<ComparisonAnswer>(data);
});

fn route<T: Serialize + DeserializeOwned>(data: &[u8]) -> Option<T> {
    match decode_body::<T>(data) {
        Ok(accepted) => {
            means_one_thing(data, &accepted);
            Some(accepted)
        }
        Err(sentence) => {
            tells_nothing(&sentence);
            None
        }
    }
}

fn answer<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(accepted) = from_json::<T>(data) {
        means_one_thing(data, &accepted);
    }
}

fn value(body: StoreKey) {
    let sent = body.key_data.clone();
    match SecretValue::from_json(body.encoding.unwrap_or(ValueEncoding::Text), body.key_data) {
        Ok(value) => {
            assert!(value.expose().len() <= MAX_VALUE_BYTES);
            assert_eq!(*value.expose_json(), *sent, "a value is answered as it was sent");
        }
        Err(error) => tells_nothing(&error.to_string()),
    }
}
