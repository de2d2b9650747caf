//! The encoder, the header and the envelope.

use proptest::collection::vec;
use proptest::prelude::*;
use shared_proto::encoding::{Bytes, lp};
use shared_proto::envelope::{
    BoundFingerprint, Ciphertext, Header, Inner, ValueFingerprint, binding_key, digest, open, seal,
};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::secret::{FingerprintKey, RootKey, SecretValue, StorageKey, TransferKey, ValueEncoding};
use zeroize::Zeroizing;

fn header() -> impl Strategy<Value = Header> {
    (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), 1..1_u64 << 53).prop_map(
        |(vault, environment, secret, version)| Header {
            vault: VaultId::from_bytes(vault),
            environment: EnvironmentId::from_bytes(environment),
            secret: SecretId::from_bytes(secret),
            version: Version::new(version).unwrap(),
        },
    )
}

/// Two headers that differ in one member, or in none.
fn neighbours() -> impl Strategy<Value = (Header, Header)> {
    (header(), header(), 0..5).prop_map(|(own, other, member)| {
        let neighbour = match member {
            0 => Header { vault: other.vault, ..own },
            1 => Header { environment: other.environment, ..own },
            2 => Header { secret: other.secret, ..own },
            3 => Header { version: other.version, ..own },
            _ => own,
        };
        (own, neighbour)
    })
}

/// The decoder that the protocol does not need: an encoding that can be decoded is injective.
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

proptest! {
    #[test]
    fn an_encoding_gives_its_parts_back(parts in vec(vec(any::<u8>(), 0..40), 0..8)) {
        let encoded = lp(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(decode(&encoded), Some(parts));
    }

    #[test]
    fn two_headers_are_the_same_bytes_only_when_they_are_the_same((one, other) in neighbours()) {
        prop_assert_eq!(one == other, one.to_bytes() == other.to_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_envelope_opens_under_its_header_and_keys_and_no_other(
        (own, other) in neighbours(),
        value in vec(any::<u8>(), 0..600),
    ) {
        let (root_key, storage_key, transfer_key) =
            (RootKey::generate(), StorageKey::generate(), TransferKey::generate());
        let text = shared_proto::encoding::base64_value(&value);
        let plain = SecretValue::from_json(ValueEncoding::Base64, text).unwrap();
        let sealed = seal::seal(own, &plain, &root_key).unwrap();
        let release_key = seal::release_key(&root_key, &sealed.digest).unwrap();

        // By way of the wire and of the database.
        let moved = sealed.inner.move_with(&transfer_key).unwrap();
        let stored = Inner::from_moved(&transfer_key, &moved).unwrap().store_with(&storage_key).unwrap();
        let inner = Inner::from_stored(&storage_key, &stored).unwrap();
        let opened = open::open(&own, &release_key, &inner, &sealed.ciphertext).unwrap();
        prop_assert_eq!(opened.expose(), value.as_slice());

        prop_assert_eq!(open::open(&other, &release_key, &inner, &sealed.ciphertext).is_ok(), own == other);
        prop_assert_eq!(digest(&other, &sealed.ciphertext) == sealed.digest, own == other);
        let foreign = seal::release_key(&RootKey::generate(), &sealed.digest).unwrap();
        prop_assert!(open::open(&own, &foreign, &inner, &sealed.ciphertext).is_err());
        prop_assert!(Inner::from_stored(&StorageKey::generate(), &stored).is_err());
        prop_assert!(Inner::from_moved(&TransferKey::generate(), &moved).is_err());
        // Another envelope of the same root key, header and value has another release key.
        let again = seal::seal(own, &plain, &root_key).unwrap();
        prop_assert!(open::open(&own, &release_key, &again.inner, &again.ciphertext).is_err());
    }

    #[test]
    fn an_envelope_with_one_byte_changed_does_not_open(
        header in header(),
        value in "[ -~]{0,200}",
        place: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let (root_key, storage_key) = (RootKey::generate(), StorageKey::generate());
        let plain = SecretValue::from_json(ValueEncoding::Text, Zeroizing::new(value)).unwrap();
        let sealed = seal::seal(header, &plain, &root_key).unwrap();
        let release_key = seal::release_key(&root_key, &sealed.digest).unwrap();
        let stored = sealed.inner.store_with(&storage_key).unwrap();
        let Ciphertext { commitment, nonce, bytes } = sealed.ciphertext;
        let mut row = [stored.0.as_slice(), &commitment.0, &nonce.0, &bytes].concat();
        let place = place.index(row.len());
        row[place] ^= change;
        let (stored, rest) = row.split_first_chunk::<48>().unwrap();
        let (commitment, rest) = rest.split_first_chunk::<32>().unwrap();
        let (nonce, bytes) = rest.split_first_chunk::<12>().unwrap();
        let changed = Ciphertext::new(Bytes(*commitment), Bytes(*nonce), bytes.to_vec()).unwrap();
        let opened = Inner::from_stored(&storage_key, &Bytes(*stored))
            .and_then(|inner| open::open(&header, &release_key, &inner, &changed));
        prop_assert!(opened.is_err());
        // The digest covers all but the wrapped key, which is bound by its own integrity check.
        prop_assert_eq!(digest(&header, &changed) == sealed.digest, place < 48);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fingerprint_is_read_in_its_own_envelope_and_tells_equal_values_only(
        (own, other) in neighbours(),
        (value, changed) in (vec(any::<u8>(), 0..80), vec(any::<u8>(), 0..80)),
    ) {
        let plain = |bytes: &[u8]| {
            SecretValue::from_json(ValueEncoding::Base64, shared_proto::encoding::base64_value(bytes)).unwrap()
        };
        let (key, storage_key, transfer_key) =
            (FingerprintKey::generate(), StorageKey::generate(), TransferKey::generate());
        let bind = |header: &Header, bytes: &[u8]| {
            let fingerprint = ValueFingerprint::of(&key, header.environment, &plain(bytes)).unwrap();
            fingerprint.bind_with(&binding_key(&key, header).unwrap()).unwrap()
        };
        let moved = bind(&own, &value).move_with(&transfer_key).unwrap();
        let stored = BoundFingerprint::from_moved(&transfer_key, &moved).unwrap().store_with(&storage_key).unwrap();
        let kept = BoundFingerprint::from_stored(&storage_key, &stored).unwrap();
        prop_assert!(kept.is_same(&bind(&own, &value)));
        prop_assert_eq!(kept.is_same(&bind(&own, &changed)), value == changed);
        prop_assert_eq!(kept.is_same(&bind(&other, &value)), own == other);
        let read = kept.unbind_with(&binding_key(&key, &own).unwrap()).unwrap();
        let elsewhere = bind(&other, &value).unbind_with(&binding_key(&key, &other).unwrap()).unwrap();
        prop_assert_eq!(read.is_same(&elsewhere), own.environment == other.environment);
        prop_assert_eq!(kept.unbind_with(&binding_key(&key, &other).unwrap()).is_ok(), own == other);
        prop_assert!(kept.unbind_with(&binding_key(&FingerprintKey::generate(), &own).unwrap()).is_err());
        prop_assert!(BoundFingerprint::from_stored(&StorageKey::generate(), &stored).is_err());
        prop_assert!(BoundFingerprint::from_moved(&TransferKey::generate(), &moved).is_err());
    }
}
