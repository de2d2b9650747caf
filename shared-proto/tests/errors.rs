//! `docs/errors.md` and the table of codes say the same.

use std::fmt::Write as _;

use shared_proto::error::ErrorCode;

#[test]
fn the_document_lists_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let expected = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert_eq!(found, expected, "run UPDATE_DOCS=1 cargo test -p shared-proto --test errors");
}

fn document() -> String {
    let mut out = String::from(HEAD);
    for code in ErrorCode::ALL {
        let (word, status, retry) = (code.as_str(), code.status(), code.retry().as_str());
        let _ = writeln!(out, "| `{word}` | {status} | {retry} | {} |", code.advice());
    }
    out
}

const HEAD: &str = "# Errors

Every refusal is a problem document (RFC 9457, `application/problem+json`) with a stable `code`, the same `request_id` as the
`X-Request-Id` header, and sometimes a `detail` for people. Match on `code`. A few members come with one code only: `expected`
(`event_gap`), `lacking` (`epoch_incomplete`), `key_id` and `version` (`idempotency_unknown`).

Retry: *no* the same request will be refused again; *later* nothing was written, wait for `Retry-After`; *same-key* it may have been
carried out, repeat it with the same `Idempotency-Key`; *new-token* fetch a new access token first.

A request head that HTTP itself cannot make sense of (two `Host` headers, more than 96 fields, over 128 KiB) gets the bare status 400 or
431 without a document.

This page is generated from `shared-proto/src/error.rs`.

| code | status | retry | advice |
|---|---|---|---|
";
