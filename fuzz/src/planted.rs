//! The defect that shows that the set-up can fail: with `SPLITVAULT_FUZZ_PLANTED` in the environment the target `base64`
//! reads with a decoder that is careless about the unused bits of what begins like a credential. scripts/fuzz.sh --control expects the fuzzer to
//! find it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use shared_proto::Malformed;

/// Like `shared_proto::encoding::from_b64`, unless the defect is planted.
///
/// # Errors
/// The text is not canonical base64url.
pub fn from_b64(text: &str) -> Result<Vec<u8>, Malformed> {
    if *PLANTED && text.starts_with("spv_") {
        return CARELESS.decode(text).map_err(|_| Malformed("not base64url"));
    }
    shared_proto::encoding::from_b64(text)
}

static PLANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("SPLITVAULT_FUZZ_PLANTED").is_some());

static CARELESS: LazyLock<GeneralPurpose> = LazyLock::new(|| {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&URL_SAFE, config)
});
