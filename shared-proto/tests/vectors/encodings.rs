//! Encodings, ids, header, credentials.

use serde_json::Value;
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::{b64, base64_value, from_b64, from_base64_value, lp};
use shared_proto::envelope::Header;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, ServiceId, VaultId, Version};

use super::support::{accepted, array, bytes, number, refused, run, same, same_bytes, text};

#[test]
fn encoding() {
    let decode = |entry: &Value| match text(entry, "kind") {
        "b64" => from_b64(text(entry, "text")),
        _ => from_base64_value(text(entry, "text")).map(|bytes| bytes.to_vec()),
    };
    let positive = |entry: &Value| match text(entry, "kind") {
        "lp" => {
            let parts: Vec<Vec<u8>> = entry["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| hex::decode(part.as_str().unwrap()).unwrap())
                .collect();
            same_bytes(entry, "bytes", &lp(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
        }
        kind => {
            same_bytes(entry, "bytes", &accepted(decode(entry))?)?;
            let bytes = bytes(entry, "bytes");
            let encoded = if kind == "b64" { b64(&bytes) } else { base64_value(&bytes).to_string() };
            same("text", encoded.as_str(), text(entry, "text"))
        }
    };
    run("encoding", (20, 23), positive, |entry| refused(decode(entry)));
}

#[test]
fn id() {
    macro_rules! by_prefix {
        ($entry:expr, $($id:ident),*) => {
            match format!("{}_", text($entry, "prefix")) {
                $(prefix if prefix == $id::PREFIX => {
                    text($entry, "text").parse::<$id>().map(|id| (*id.as_bytes(), id.to_string(), id.bare()))
                })*
                prefix => panic!("there is no id with the prefix {prefix}"),
            }
        };
    }
    let parse = |entry: &Value| {
        by_prefix!(entry, ManagerId, VaultId, EnvironmentId, SecretId, PersonId, ServiceId, CredentialId)
    };
    let positive = |entry: &Value| {
        let (raw, shown, bare) = accepted(parse(entry))?;
        same_bytes(entry, "raw", &raw)?;
        same("text", shown.as_str(), text(entry, "text"))?;
        same("bare", format!("{}_{bare}", text(entry, "prefix")).as_str(), text(entry, "text"))
    };
    run("id", (21, 17), positive, |entry| refused(parse(entry)));
}

#[test]
fn header() {
    let positive = |entry: &Value| {
        let header = Header {
            vault: text(entry, "vault").parse().unwrap(),
            environment: text(entry, "environment").parse().unwrap(),
            secret: text(entry, "secret").parse().unwrap(),
            version: accepted(Version::new(number(entry, "version")))?,
        };
        same_bytes(entry, "header", &header.to_bytes())
    };
    run("header", (6, 2), positive, |entry| refused(Version::new(number(entry, "version"))));
}

#[test]
fn credential() {
    let positive = |entry: &Value| {
        let credential = accepted(PlainCredential::parse(text(entry, "credential")).map_err(|_| "malformed"))?;
        same("secret", *credential.expose(), array(entry, "secret"))?;
        same("text", credential.expose_text().as_str(), text(entry, "credential"))
    };
    run("credential", (3, 19), positive, |entry| refused(PlainCredential::parse(text(entry, "credential"))));
}
