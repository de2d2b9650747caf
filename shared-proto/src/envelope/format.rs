//! The parts of an envelope at rest and in transit, its digest, and the frame that hides a value's length.

use zeroize::Zeroizing;

use super::Header;
use crate::Malformed;
#[cfg(any(feature = "open", all(test, feature = "seal")))]
use crate::Rejected;
use crate::encoding::{Bytes, lp, sha256};
use crate::secret::{MAX_VALUE_BYTES, SecretValue, ValueEncoding};

/// Length of the GCM nonce in bytes.
pub const NONCE_BYTES: usize = 12;
/// Length of the key commitment in bytes.
pub const COMMITMENT_BYTES: usize = 32;

/// SHA-256 over all parts of an envelope that never change.
pub type EnvelopeDigest = Bytes<32>;

/// Commitment of a ciphertext to its data key, which does not reveal the key. GCM alone does not commit to its key.
pub type KeyCommitment = Bytes<COMMITMENT_BYTES>;

/// The encrypted frame, with everything except keys that is needed to open it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    /// Commitment to the data key.
    pub commitment: KeyCommitment,
    /// GCM nonce.
    pub nonce: Bytes<NONCE_BYTES>,
    /// Encrypted frame with its tag.
    pub bytes: Vec<u8>,
}

impl Ciphertext {
    /// Checks that the length is one that a frame can have.
    pub fn new(commitment: KeyCommitment, nonce: Bytes<NONCE_BYTES>, bytes: Vec<u8>) -> Result<Self, Malformed> {
        let frame = bytes.len().checked_sub(TAG_BYTES).ok_or(Malformed("a ciphertext has at least a tag"))?;
        if frame < SMALLEST_BUCKET || frame > padded_length(PREFIX_BYTES + MAX_VALUE_BYTES) || bucket_of(frame) != frame
        {
            return Err(Malformed("a ciphertext has the length of a padded frame"));
        }
        Ok(Self { commitment, nonce, bytes })
    }
}

/// `SHA-256(LP("splitvault/1/envelope", H, commit, nonce, SHA-256(ct)))`.
pub fn digest(header: &Header, ciphertext: &Ciphertext) -> EnvelopeDigest {
    Bytes(sha256(&lp(&[
        b"splitvault/1/envelope",
        &header.to_bytes(),
        &ciphertext.commitment.0,
        &ciphertext.nonce.0,
        &sha256(&ciphertext.bytes),
    ])))
}

/// kind ‖ u32 length ‖ value ‖ zeros.
#[cfg(any(feature = "seal", test))]
pub(super) fn frame(value: &SecretValue) -> Zeroizing<Vec<u8>> {
    // EXPOSE: the frame is the plaintext of the envelope.
    let bytes = value.expose();
    let total = padded_length(PREFIX_BYTES + bytes.len());
    // Room for the tag, so that encrypting in place does not move the plaintext.
    let mut out = Zeroizing::new(Vec::with_capacity(total + TAG_BYTES));
    out.push(kind_of(value.encoding()));
    // A value is at most 1 MiB, so its length fits.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
    out.resize(total, 0);
    out
}

/// The byte of a value's kind, which is a part of the value.
#[cfg(any(feature = "seal", test))]
pub(super) fn kind_of(encoding: ValueEncoding) -> u8 {
    match encoding {
        ValueEncoding::Text => 0,
        ValueEncoding::Base64 => 1,
    }
}

/// The inverse of [`frame`]. Refuses every frame that it would not have made.
#[cfg(any(feature = "open", all(test, feature = "seal")))]
pub(super) fn unframe(frame: &[u8]) -> Result<SecretValue, Rejected> {
    let (kind, rest) = frame.split_first().ok_or(Rejected)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Rejected)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Rejected)?;
    if length > MAX_VALUE_BYTES || padded_length(PREFIX_BYTES + length) != frame.len() {
        return Err(Rejected);
    }
    let (value, padding) = rest.split_at_checked(length).ok_or(Rejected)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Rejected);
    }
    let encoding = match kind {
        0 => ValueEncoding::Text,
        1 => ValueEncoding::Base64,
        _ => return Err(Rejected),
    };
    SecretValue::from_frame(encoding, Zeroizing::new(value.to_vec()))
}

/// The next multiple of `max(64, p / 8)`, `p` the largest power of two not above `size`.
fn padded_length(size: usize) -> usize {
    let power = 1_usize << size.max(1).ilog2();
    size.next_multiple_of(SMALLEST_BUCKET.max(power / 8))
}

// The frame lengths are the fixed points of padding, whatever the value's length was. A value just below a power of two
// may be padded up to exactly that power, which is its own bucket.
fn bucket_of(frame: usize) -> usize {
    padded_length(frame)
}

const PREFIX_BYTES: usize = 5;
const SMALLEST_BUCKET: usize = 64;
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_follows_the_rule() {
        for (size, padded) in
            [(5, 64), (64, 64), (65, 128), (512, 512), (513, 576), (1023, 1024), (1024, 1024), (1025, 1152)]
        {
            assert_eq!(padded_length(size), padded, "{size}");
        }
        assert_eq!(padded_length(PREFIX_BYTES + MAX_VALUE_BYTES), 1_179_648);
    }

    #[test]
    fn a_frame_with_anything_else_than_zeros_behind_the_value_is_refused() {
        let value = SecretValue::from_frame(ValueEncoding::Text, Zeroizing::new(b"hunter2".to_vec())).unwrap();
        let good = frame(&value);
        assert_eq!(unframe(&good).unwrap().expose(), b"hunter2");
        let broken = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = good.to_vec();
            change(&mut frame);
            unframe(&frame).is_err()
        };
        assert!(broken(&|f| f[63] = 1), "padding");
        assert!(broken(&|f| f[0] = 2), "kind");
        assert!(broken(&|f| f[5] = 0xff), "text that is not UTF-8");
        assert!(broken(&|f| f[4] = 60), "length beyond the frame");
        assert!(broken(&|f| f.resize(128, 0)), "a larger bucket than needed");
        assert!(broken(&|f| f.truncate(32)), "truncated");
    }

    fn contents() -> impl Strategy<Value = (ValueEncoding, Vec<u8>)> {
        let text = any::<String>().prop_map(|text| (ValueEncoding::Text, text.into_bytes()));
        // Long enough for every rule of the size classes up to 8 KiB.
        let bytes = vec(any::<u8>(), 0..9000).prop_map(|bytes| (ValueEncoding::Base64, bytes));
        prop_oneof![text, bytes]
    }

    fn value_of(encoding: ValueEncoding, bytes: &[u8]) -> SecretValue {
        SecretValue::from_frame(encoding, Zeroizing::new(bytes.to_vec())).unwrap()
    }

    proptest! {
        #[test]
        fn a_frame_reads_back_from_the_smallest_bucket_that_holds_it((encoding, bytes) in contents()) {
            let framed = frame(&value_of(encoding, &bytes));
            let again = unframe(&framed).unwrap();
            prop_assert_eq!((again.encoding(), again.expose()), (encoding, bytes.as_slice()));
            let needed = PREFIX_BYTES + bytes.len();
            prop_assert!(framed.len() >= needed && bucket_of(framed.len()) == framed.len());
            prop_assert!((needed..framed.len()).all(|shorter| padded_length(shorter) == framed.len()));
        }

        #[test]
        fn of_all_frames_only_that_of_its_value_is_read(start in vec(any::<u8>(), 0..200), length in 0..300_usize) {
            let mut any_frame = start;
            any_frame.resize(length, 0);
            if let Some(kind) = any_frame.first_mut() {
                *kind %= 3;
            }
            // Mostly a length that could be right.
            if let Some(high) = any_frame.get_mut(1..4) {
                high.fill(0);
            }
            if let Ok(value) = unframe(&any_frame) {
                prop_assert_eq!(frame(&value).to_vec(), any_frame);
            }
        }

        #[test]
        fn a_frame_with_one_byte_changed_is_refused_or_is_the_frame_of_another_value(
            text in "[ -~]{0,80}", place: prop::sample::Index, change in 1..=u8::MAX
        ) {
            let good = frame(&value_of(ValueEncoding::Text, text.as_bytes()));
            let mut changed = good.to_vec();
            let place = place.index(changed.len());
            changed[place] ^= change;
            if let Ok(other) = unframe(&changed) {
                prop_assert_eq!(frame(&other).to_vec(), changed);
            }
        }
    }
}
