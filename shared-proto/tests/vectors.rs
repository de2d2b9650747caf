//! Runs every file of `vectors/` through the public API. The files were made by an implementation that shares nothing
//! with this crate, so a disagreement is a bug in one of the two, or in `docs/protocol.md`; never bend a vector.
//!
//! Each test says how many vectors it expects, so that one that stops to run does not go unseen.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a vector file that is not in form fails its test, and should"
)]
#![expect(clippy::needless_pass_by_value, reason = "checks read better when they take results and values as they come")]

#[path = "vectors/documents.rs"]
mod documents;
#[path = "vectors/encodings.rs"]
mod encodings;
#[path = "vectors/envelope.rs"]
mod envelope;
#[path = "vectors/fingerprint.rs"]
mod fingerprint;
#[path = "vectors/support.rs"]
mod support;
#[path = "vectors/tokens.rs"]
mod tokens;

#[test]
fn every_vector_file_has_a_test() {
    let mut files: Vec<String> = std::fs::read_dir(support::folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let tested = [
        "access_token",
        "command",
        "comparison",
        "credential",
        "derive",
        "encoding",
        "envelope",
        "event",
        "feed",
        "feed_snapshot",
        "fingerprint",
        "frame",
        "header",
        "id",
        "jwk",
        "key_wrap",
        "receipt",
        "retirement",
        "revocation",
        "statement",
        "token_info",
        "transfer_key",
        "value_fingerprint",
    ];
    assert_eq!(files, tested);
}
