//! The encoder under every derivation, digest and signature, and the envelope's header: one list of parts, one text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_proto::encoding::lp;
use shared_proto::envelope::Header;
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};

fuzz_target!(|lists: (Vec<Vec<u8>>, Vec<u8>, [[u8; 56]; 2])| {
    let (parts, raw, headers) = lists;
    let encode = |parts: &[Vec<u8>]| lp(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    // An encoding that can be decoded is injective.
    assert_eq!(decode(&encode(&parts)).as_deref(), Some(parts.as_slice()));
    if let Some(parts) = decode(&raw) {
        assert_eq!(encode(&parts), raw);
    }
    let [one, other] = headers.map(header);
    assert_eq!(one == other, one.to_bytes() == other.to_bytes());
    assert_eq!(decode(&one.to_bytes()).map(|parts| parts.len()), Some(6));
});

/// The decoder that the protocol does not need.
fn decode(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        parts.push(part.to_vec());
        bytes = rest;
    }
    Some(parts)
}

fn header(bytes: [u8; 56]) -> Header {
    let id = |at: usize| -> [u8; 16] { bytes[at..at + 16].try_into().unwrap() };
    let version = u64::from_be_bytes(bytes[48..].try_into().unwrap());
    Header {
        vault: VaultId::from_bytes(id(0)),
        environment: EnvironmentId::from_bytes(id(16)),
        secret: SecretId::from_bytes(id(32)),
        version: Version::new(version).unwrap_or(Version::FIRST),
    }
}
