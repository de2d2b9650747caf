//! Envelopes and frames: nothing opens but what was sealed, under its header and keys; and of all frames that the holder
//! of a data key could encrypt, only the one that sealing would have made.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use libfuzzer_sys::fuzz_target;
use shared_proto::encoding::{Bytes, lp};
use shared_proto::envelope::{Ciphertext, Header, Inner, open, seal};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::secret::{DataKey, ReleaseKey, RootKey, SecretValue, StorageKey, ValueEncoding};
use zeroize::Zeroizing;

fuzz_target!(|data: &[u8]| {
    lengths(data);
    altered(data);
    frame(data);
});

const VALUE: &str = "a value that fills more than one bucket of sixty-four bytes, for the padding";

struct Sealed {
    header: [u8; 56],
    row: Vec<u8>,
    release_key: ReleaseKey,
    storage_key: StorageKey,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let (root_key, storage_key) = (RootKey::generate(), StorageKey::generate());
    let value = SecretValue::from_json(ValueEncoding::Text, Zeroizing::new(VALUE.to_owned())).unwrap();
    let header = *b"vault-id-of-16-benvironment-of-1secret-id-of-16\x00\x00\x00\x00\x00\x00\x00\x07\x01";
    let sealed = seal::seal(header_of(&header), &value, &root_key).unwrap();
    let stored = sealed.inner.store_with(&storage_key).unwrap();
    let Ciphertext { commitment, nonce, bytes } = sealed.ciphertext;
    let row = [stored.0.as_slice(), &commitment.0, &nonce.0, &bytes].concat();
    Sealed { header, row, release_key: seal::release_key(&root_key, &sealed.digest).unwrap(), storage_key }
});

/// The input is a list of changes (place, difference) to header and row.
fn altered(changes: &[u8]) {
    let Sealed { header, row, release_key, storage_key } = &*SEALED;
    let mut all = [header.as_slice(), row].concat();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % all.len();
        all[at] ^= change[2];
    }
    let (new_header, new_row) = all.split_at(header.len());
    // A version outside its range is refused by its type, and stands for the right one here.
    let unchanged = new_row == row && header_of(new_header) == header_of(header);
    let (stored, rest) = new_row.split_first_chunk::<48>().unwrap();
    let (commitment, rest) = rest.split_first_chunk::<32>().unwrap();
    let (nonce, bytes) = rest.split_first_chunk::<12>().unwrap();
    let ciphertext = Ciphertext::new(Bytes(*commitment), Bytes(*nonce), bytes.to_vec()).unwrap();
    let opened = Inner::from_stored(storage_key, &Bytes(*stored))
        .and_then(|inner| open::open(&header_of(new_header), release_key, &inner, &ciphertext));
    assert_eq!(opened.is_ok(), unchanged, "an altered envelope opens");
    if let Ok(value) = opened {
        assert_eq!(value.expose(), VALUE.as_bytes());
    }
}

/// A ciphertext has a tag and the length of a padded frame.
fn lengths(data: &[u8]) {
    let Some(length) = data.first_chunk::<4>() else { return };
    let length = usize::try_from(u32::from_be_bytes(*length) % (1 << 21)).unwrap();
    let accepted = Ciphertext::new(Bytes([0; 32]), Bytes([0; 12]), vec![0; length]).is_ok();
    // The lengths by definition: an eighth of the power of two below, at least 64.
    let is_size_class = length.checked_sub(16).filter(|frame| *frame > 0).is_some_and(|frame| {
        let power = 1_usize << frame.ilog2();
        frame % 64.max(power / 8) == 0
    });
    assert_eq!(accepted, is_size_class && length <= 16 + 1_179_648, "{length}");
}

/// The input, padded to a length that passes, is the frame of a correctly encrypted envelope.
fn frame(data: &[u8]) {
    if data.len() > 4096 {
        return;
    }
    let size = data.len().max(1);
    let mut frame = data.to_vec();
    frame.resize(size.next_multiple_of(64.max((1 << size.ilog2()) / 8)), 0);
    let header = header_of(&SEALED.header);
    let (data_key, release_key) = ([7; 32], [8; 32]);
    let derive = |label: &[u8]| -> [u8; 32] {
        let (info, mut out) = (lp(&[label, &header.to_bytes()]), [0; 32]);
        let okm = Prk::new_less_safe(HKDF_SHA256, &data_key);
        okm.expand(&[&info], HKDF_SHA256).unwrap().fill(&mut out).unwrap();
        out
    };
    let commitment = derive(b"splitvault/1/commit");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derive(b"splitvault/1/encrypt")).unwrap());
    let mut bytes = frame.clone();
    let aad = Aad::from([header.to_bytes().as_slice(), &commitment].concat());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([9; 12]), aad, &mut bytes).unwrap();
    let Ok(ciphertext) = Ciphertext::new(Bytes(commitment), Bytes([9; 12]), bytes) else { return };
    let release_key = ReleaseKey::from_bytes(Zeroizing::new(release_key));
    let inner = Inner::wrap(&release_key, &DataKey::from_bytes(Zeroizing::new(data_key))).unwrap();
    let Ok(value) = open::open(&header, &release_key, &inner, &ciphertext) else { return };
    // kind ‖ length ‖ value ‖ zeros, in the smallest bucket that holds it.
    let kind = u8::from(value.encoding() == ValueEncoding::Base64);
    let length = u32::try_from(value.expose().len()).unwrap();
    let mut expected = [&[kind], length.to_be_bytes().as_slice(), value.expose()].concat();
    let size = expected.len();
    expected.resize(size.next_multiple_of(64.max((1 << size.ilog2()) / 8)), 0);
    assert_eq!(frame, expected, "a frame that sealing would not have made");
    assert!(kind == 1 || std::str::from_utf8(value.expose()).is_ok());
}

fn header_of(bytes: &[u8]) -> Header {
    let id = |at: usize| -> [u8; 16] { bytes[at..at + 16].try_into().unwrap() };
    let version = u64::from_be_bytes(bytes[48..56].try_into().unwrap());
    Header {
        vault: VaultId::from_bytes(id(0)),
        environment: EnvironmentId::from_bytes(id(16)),
        secret: SecretId::from_bytes(id(32)),
        version: Version::new(version).unwrap_or(Version::FIRST),
    }
}
