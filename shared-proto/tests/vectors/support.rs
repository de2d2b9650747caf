//! Reading vector files, and running a check over all their entries.

use std::path::PathBuf;

use serde_json::Value;
use shared_proto::identity::{IdentityDocument, Mode, Owner, Pins};
use shared_proto::jwk::PublicJwk;

/// Where the vector files are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// One vector file.
pub(crate) fn load(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

/// Runs `positive` and `negative` over all entries of a file; both say what is wrong, if anything. Fails with every
/// wrong entry, and when the file does not have exactly `counts` entries of each.
pub(crate) fn run(
    name: &str,
    counts: (usize, usize),
    positive: impl Fn(&Value) -> Result<(), String>,
    negative: impl Fn(&Value) -> Result<(), String>,
) {
    let file = load(name);
    let mut wrong = Vec::new();
    let mut count = |group: &str, check: &dyn Fn(&Value) -> Result<(), String>| {
        let entries = file[group].as_array().unwrap();
        for entry in entries {
            if let Err(reason) = check(entry) {
                wrong.push(format!("{name}/{group}/{}: {reason}", text(entry, "name")));
            }
        }
        entries.len()
    };
    let counted = (count("positive", &positive), count("negative", &negative));
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(counted, counts, "vectors in {name}.json");
}

/// What a negative vector wants: an error.
pub(crate) fn refused<T, E>(result: Result<T, E>) -> Result<(), String> {
    if result.is_err() { Ok(()) } else { Err("was not refused".to_owned()) }
}

/// What a positive vector wants: no error.
pub(crate) fn accepted<T, E: std::fmt::Debug>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("was refused: {error:?}"))
}

/// What a positive vector wants: the same bytes, text or number.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what} is {got:?}, not {wanted:?}")) }
}

/// A text member.
pub(crate) fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_else(|| panic!("{name} is not a text in {entry}"))
}

/// A number member.
pub(crate) fn number(entry: &Value, name: &str) -> u64 {
    entry[name].as_u64().unwrap_or_else(|| panic!("{name} is not a number in {entry}"))
}

/// A byte string member, hexadecimal.
pub(crate) fn bytes(entry: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(entry, name)).unwrap()
}

/// A byte string member of fixed length.
pub(crate) fn array<const N: usize>(entry: &Value, name: &str) -> [u8; N] {
    bytes(entry, name).try_into().unwrap()
}

/// Compares with the member `name`, which is there in full or as its length and SHA-256.
pub(crate) fn same_bytes(entry: &Value, name: &str, got: &[u8]) -> Result<(), String> {
    if entry[name].is_string() {
        return same(name, hex::encode(got).as_str(), text(entry, name));
    }
    same(name, got.len() as u64, number(entry, &format!("{name}_length")))?;
    let digest = hex::encode(shared_proto::encoding::sha256(got));
    same(name, digest.as_str(), text(entry, &format!("{name}_sha256")))
}

/// Any member that has a type with a strict reader.
pub(crate) fn read<T: serde::de::DeserializeOwned>(entry: &Value, name: &str) -> T {
    serde_json::from_value(entry[name].clone()).unwrap_or_else(|_| panic!("{name} does not parse in {entry}"))
}

/// Pins with one identity key.
pub(crate) fn pins(owner: Owner, key: PublicJwk) -> Pins {
    Pins::new(&[IdentityDocument { id: owner, mode: Mode::Production, key }]).unwrap()
}

/// SHA-256(seed ‖ ":" ‖ 0) ‖ SHA-256(seed ‖ ":" ‖ 1) ‖ …, cut to `length`: how the files describe large inputs.
pub(crate) fn expand(seed: &str, length: usize) -> Vec<u8> {
    let blocks = length / 32 + 1;
    let mut out: Vec<u8> =
        (0..blocks).flat_map(|block| shared_proto::encoding::sha256(format!("{seed}:{block}").as_bytes())).collect();
    out.truncate(length);
    out
}

/// The value of an entry, in full or expanded from its seed; a text is expanded to hexadecimal digits.
pub(crate) fn value(entry: &Value) -> Vec<u8> {
    let length = usize::try_from(number(entry, "length")).unwrap();
    if entry["value"].is_string() {
        return bytes(entry, "value");
    }
    if text(entry, "kind") == "bytes" {
        return expand(text(entry, "seed"), length);
    }
    let mut digits = hex::encode(expand(text(entry, "seed"), length / 2 + 1)).into_bytes();
    digits.truncate(length);
    digits
}
