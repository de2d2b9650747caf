//! Frames, derivations, envelopes, key wraps and transfer keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use serde_json::Value;
use shared_proto::Rejected;
use shared_proto::encoding::{ByteString, Bytes, base64_value, lp};
use shared_proto::envelope::open::{open, unwrap_transfer_key};
use shared_proto::envelope::seal::{new_transfer_key, release_key, seal};
use shared_proto::envelope::{Ciphertext, Header, Inner, digest, key_unwrap, key_wrap};
use shared_proto::rsa_key::{RsaPrivate, encrypting_key};
use shared_proto::secret::{DataKey, ReleaseKey, RootKey, SecretValue, StorageKey, TransferKey, ValueEncoding};
use zeroize::Zeroizing;

use super::support::{accepted, array, bytes, expand, number, read, refused, run, same, same_bytes, text, value};

/// `F`, as the product computes it; its own is private.
fn derive(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let label = format!("splitvault/1/{label}");
    let info = lp(&[&[label.as_bytes()], parts].concat());
    let mut out = [0; 32];
    Prk::new_less_safe(HKDF_SHA256, key).expand(&[&info], HKDF_SHA256).unwrap().fill(&mut out).unwrap();
    out
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
}

pub(crate) fn header_of(entry: &Value) -> Header {
    Header {
        vault: read(entry, "vault"),
        environment: read(entry, "environment"),
        secret: read(entry, "secret"),
        version: read(entry, "version"),
    }
}

fn any_header() -> Header {
    let file = super::support::load("envelope");
    header_of(&file["positive"][0])
}

pub(crate) fn secret_value(entry: &Value) -> SecretValue {
    let bytes = value(entry);
    let (encoding, text) = match text(entry, "kind") {
        "text" => (ValueEncoding::Text, Zeroizing::new(String::from_utf8(bytes).unwrap())),
        _ => (ValueEncoding::Base64, base64_value(&bytes)),
    };
    SecretValue::from_json(encoding, text).unwrap()
}

fn same_value(entry: &Value, got: &SecretValue) -> Result<(), String> {
    let kind = if got.encoding() == ValueEncoding::Text { "text" } else { "bytes" };
    same("kind", kind, text(entry, "kind"))?;
    if got.expose() == value(entry) { Ok(()) } else { Err("the value differs".to_owned()) }
}

/// The frame that the product makes for a value: seals it and opens the ciphertext by hand.
fn frame_of(value: &SecretValue) -> Vec<u8> {
    let (header, root) = (any_header(), RootKey::from_bytes(Zeroizing::new([7; 32])));
    let sealed = seal(header, value, &root).unwrap();
    let data_key = sealed.inner.unwrap_with(&release_key(&root, &sealed.digest).unwrap()).unwrap();
    let h = header.to_bytes();
    let aad = [h.as_slice(), &sealed.ciphertext.commitment.0].concat();
    let mut bytes = sealed.ciphertext.bytes;
    cipher(&derive(data_key.expose(), "encrypt", &[&h]))
        .open_in_place(Nonce::assume_unique_for_key(sealed.ciphertext.nonce.0), Aad::from(aad), &mut bytes)
        .unwrap()
        .to_vec()
}

/// Encrypts any frame as an envelope would be.
fn encrypt(header: &Header, data_key: &[u8; 32], nonce: [u8; 12], mut frame: Vec<u8>) -> ([u8; 32], Vec<u8>) {
    let h = header.to_bytes();
    let commit = derive(data_key, "commit", &[&h]);
    cipher(&derive(data_key, "encrypt", &[&h]))
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from([h.as_slice(), &commit].concat()),
            &mut frame,
        )
        .unwrap();
    (commit, frame)
}

/// Opens a frame as the product does: in an envelope with the right keys.
fn open_frame(frame: &[u8]) -> Result<SecretValue, Rejected> {
    let (header, data_key, rk) = (any_header(), [1; 32], ReleaseKey::from_bytes(Zeroizing::new([2; 32])));
    let (commit, bytes) = encrypt(&header, &data_key, [3; 12], frame.to_vec());
    let ciphertext = Ciphertext::new(Bytes(commit), Bytes([3; 12]), bytes).map_err(|_| Rejected)?;
    let inner = Inner::wrap(&rk, &DataKey::from_bytes(Zeroizing::new(data_key)))?;
    open(&header, &rk, &inner, &ciphertext)
}

#[test]
fn frame() {
    let positive = |entry: &Value| {
        let frame = frame_of(&secret_value(entry));
        same_bytes(entry, "frame", &frame)?;
        same_value(entry, &open_frame(&frame).map_err(|_| "was refused")?)
    };
    let negative = |entry: &Value| {
        let build = &entry["build"];
        if !build.is_object() {
            return refused(open_frame(&bytes(entry, "frame")));
        }
        let length = usize::try_from(number(build, "length")).unwrap();
        let mut frame = vec![u8::try_from(number(build, "kind")).unwrap()];
        frame.extend(u32::try_from(length).unwrap().to_be_bytes());
        frame.extend(expand(text(build, "seed"), length));
        frame.resize(usize::try_from(number(build, "size")).unwrap(), 0);
        refused(open_frame(&frame))?;
        let too_long = base64_value(&expand(text(build, "seed"), length));
        refused(SecretValue::from_json(ValueEncoding::Base64, too_long))
    };
    run("frame", (63, 22), positive, negative);
}

#[test]
fn derivation() {
    let output = |entry: &Value| {
        let parts: Vec<Vec<u8>> = entry["parts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| hex::decode(part.as_str().unwrap()).unwrap())
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let key = array(entry, "key");
        if text(entry, "label") == "release" {
            let root = RootKey::from_bytes(Zeroizing::new(key));
            return hex::encode(release_key(&root, &Bytes(parts[0].try_into().unwrap())).unwrap().expose());
        }
        // The other two are private; the envelope vectors hold the product to them.
        hex::encode(derive(&key, text(entry, "label"), &parts))
    };
    let positive = |entry: &Value| same("output", output(entry).as_str(), text(entry, "output"));
    let negative = |entry: &Value| refused(same("output", output(entry).as_str(), text(entry, "output")));
    run("derive", (6, 4), positive, negative);
}

#[test]
fn envelope() {
    let positive = |entry: &Value| {
        let (header, data_key, nonce) = (header_of(entry), array(entry, "dek"), array(entry, "nonce"));
        same_bytes(entry, "header", &header.to_bytes())?;
        let (commit, bytes) = encrypt(&header, &data_key, nonce, frame_of(&secret_value(entry)));
        same_bytes(entry, "commit", &commit)?;
        same_bytes(entry, "ciphertext", &bytes)?;
        same_bytes(entry, "encryption_key", &derive(&data_key, "encrypt", &[&header.to_bytes()]))?;
        let ciphertext = accepted(Ciphertext::new(Bytes(commit), Bytes(nonce), bytes))?;
        let digest = digest(&header, &ciphertext);
        same_bytes(entry, "digest", &digest.0)?;
        let root = RootKey::from_bytes(Zeroizing::new(array(entry, "root_key")));
        let rk = accepted(release_key(&root, &digest))?;
        same_bytes(entry, "release_key", rk.expose())?;
        same_bytes(entry, "inner", &accepted(key_wrap::<32, 40>(rk.expose(), &data_key))?)?;
        let inner = accepted(Inner::wrap(&rk, &DataKey::from_bytes(Zeroizing::new(data_key))))?;
        let transfer_key = TransferKey::from_bytes(Zeroizing::new(array(entry, "transfer_key")));
        let storage_key = StorageKey::from_bytes(Zeroizing::new(array(entry, "storage_key")));
        let moved = accepted(inner.move_with(&transfer_key))?;
        same_bytes(entry, "moved", &moved.0)?;
        let arrived = accepted(Inner::from_moved(&transfer_key, &moved))?;
        let stored = accepted(arrived.store_with(&storage_key))?;
        same_bytes(entry, "stored", &stored.0)?;
        let inner = accepted(Inner::from_stored(&storage_key, &stored))?;
        same_value(entry, &accepted(open(&header, &rk, &inner, &ciphertext))?)
    };
    // What the vault does with a row. Lengths are refused where bytes become types, before any cipher runs.
    let attempt = |entry: &Value| -> Result<SecretValue, Rejected> {
        fn piece<const N: usize>(entry: &Value, name: &str) -> Result<[u8; N], Rejected> {
            bytes(entry, name).try_into().map_err(|_| Rejected)
        }
        let ciphertext =
            Ciphertext::new(Bytes(piece(entry, "commit")?), Bytes(piece(entry, "nonce")?), bytes(entry, "ciphertext"))
                .map_err(|_| Rejected)?;
        let storage_key = StorageKey::from_bytes(Zeroizing::new(array(entry, "storage_key")));
        let rk = ReleaseKey::from_bytes(Zeroizing::new(array(entry, "release_key")));
        let inner = Inner::from_stored(&storage_key, &Bytes(piece(entry, "stored")?))?;
        open(&header_of(entry), &rk, &inner, &ciphertext)
    };
    run("envelope", (13, 59), positive, |entry| refused(attempt(entry)));
}

#[test]
fn the_good_row_of_the_negative_envelopes_opens() {
    // Else they might all be refused for one reason that nobody meant.
    let file = super::support::load("envelope");
    let entry = &file["positive"][0];
    let wrong_vault =
        file["negative"].as_array().unwrap().iter().find(|bad| text(bad, "name") == "another vault").unwrap();
    for piece in ["storage_key", "release_key", "stored", "commit", "nonce", "ciphertext", "version"] {
        assert_eq!(wrong_vault[piece], entry[piece], "{piece}");
    }
}

#[test]
fn key_wraps() {
    let positive = |entry: &Value| {
        let (key, data, wrapped) = (array(entry, "key"), bytes(entry, "data"), bytes(entry, "wrapped"));
        if let Ok(data) = <[u8; 32]>::try_from(data.as_slice()) {
            let wrapped = <[u8; 40]>::try_from(wrapped).unwrap();
            same("wrapped", accepted(key_wrap::<32, 40>(&key, &data))?, wrapped)?;
            return same("data", *accepted(key_unwrap::<40, 32>(&key, &wrapped))?, data);
        }
        let (data, wrapped) = (<[u8; 40]>::try_from(data).unwrap(), <[u8; 48]>::try_from(wrapped).unwrap());
        same("wrapped", accepted(key_wrap::<40, 48>(&key, &data))?, wrapped)?;
        same("data", *accepted(key_unwrap::<48, 40>(&key, &wrapped))?, data)
    };
    let negative = |entry: &Value| {
        let (key, wrapped) = (array(entry, "key"), bytes(entry, "wrapped"));
        // Any other length cannot be said to these functions, which is how it is refused.
        let as_40 = <[u8; 40]>::try_from(wrapped.as_slice()).is_ok_and(|w| key_unwrap::<40, 32>(&key, &w).is_ok());
        let as_48 = <[u8; 48]>::try_from(wrapped.as_slice()).is_ok_and(|w| key_unwrap::<48, 40>(&key, &w).is_ok());
        let opened = match number(entry, "data_length") {
            32 => as_40,
            40 => as_48,
            _ => as_40 || as_48,
        };
        if opened { Err("was not refused".to_owned()) } else { Ok(()) }
    };
    run("key_wrap", (5, 18), positive, negative);
}

#[test]
fn transfer_keys() {
    let private = |entry: &Value| {
        let der = bytes(entry, "private_key");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", wrapped_lines(&der));
        RsaPrivate::from_pem(&pem).unwrap()
    };
    let unwrap = |entry: &Value| {
        unwrap_transfer_key(&private(entry).decrypting_key().unwrap(), &ByteString(bytes(entry, "wrapped")))
    };
    let positive = |entry: &Value| {
        same("public key", private(entry).public().clone(), read(entry, "public_key"))?;
        same("transfer key", *accepted(unwrap(entry))?.expose(), array(entry, "transfer_key"))?;
        let (key, wrapped) = accepted(new_transfer_key(&encrypting_key(private(entry).public()).unwrap()))?;
        let back = accepted(unwrap_transfer_key(&private(entry).decrypting_key().unwrap(), &wrapped))?;
        same("a new transfer key", key.expose(), back.expose())
    };
    run("transfer_key", (2, 21), positive, |entry| refused(unwrap(entry)));
}

fn wrapped_lines(der: &[u8]) -> String {
    let text = base64_value(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}
