//! The assertions that recur.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_proto::jws::{Compact, Kind};

use crate::installation::INSTALLATION;

/// Stands where values stand in the seeds; the fuzzer moves it about. In upper case, which no name of a setting has: those
/// may be repeated.
pub const CANARY: &str = "HUNTER2";

/// A refusal does not repeat a piece of what was refused.
pub fn tells_nothing(sentence: &str) {
    for piece in CANARY.as_bytes().windows(5) {
        assert!(!sentence.contains(std::str::from_utf8(piece).unwrap()), "{sentence}");
    }
}

/// What an accepted document says, says it to a careless reader as well, and says it again when it is written anew.
pub fn means_one_thing<T: Serialize + DeserializeOwned>(document: &[u8], accepted: &T) {
    let careless: Value = serde_json::from_slice(document).expect("what is accepted is JSON");
    let written = serde_json::to_vec(accepted).unwrap();
    let ours: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(without_null(careless), without_null(ours), "two readers understand the document differently");
    let again: T = shared_proto::encoding::from_json(&written).expect("what we write is accepted");
    assert_eq!(serde_json::to_vec(&again).unwrap(), written, "writing is not stable");
}

/// Members that are `null` say the same as members that are absent, where a type takes both.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name, without_null(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_null).collect()),
        other => other,
    }
}

/// A text that nobody here signed does not verify, and is of one kind at most.
pub fn is_no_signature(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut kinds = 0;
    for kind in [Kind::AccessToken, Kind::Command, Kind::Event] {
        let Ok(compact) = Compact::parse(kind, text) else { continue };
        kinds += 1;
        assert!(text.len() <= kind.limit());
        assert_eq!(text.split('.').filter(|part| !part.is_empty()).count(), 3);
        assert!(compact.verify(&INSTALLATION.verifying(kind)).is_err(), "a signature out of nothing");
    }
    assert!(kinds <= 1, "one text is read as two kinds of token");
}
