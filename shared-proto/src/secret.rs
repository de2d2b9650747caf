//! Types that hold secret bytes. They are mute (no `Debug`, `Display`, `Clone`, `Serialize` or `==`) and are wiped when
//! dropped. They are read by `expose()`, and each use of it states why.

use zeroize::Zeroizing;

use crate::Malformed;
#[cfg(any(feature = "open", all(test, feature = "seal")))]
use crate::Rejected;
use crate::encoding::{base64_value, from_base64_value, random};

/// The largest secret value in bytes, after decoding.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

macro_rules! secret_keys {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// A new random key.
            pub fn generate() -> Self {
                Self(Zeroizing::new(random()))
            }

            /// The key with these bytes.
            pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
                Self(bytes)
            }

            /// The bytes, for a cipher or a key file.
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }
        }
    )*};
}

secret_keys! {
    /// Data key (DEK): key of one version.
    DataKey;
    /// Root key of one environment and epoch; manager only.
    RootKey;
    /// Release key (RK): wraps the data key of one envelope.
    ReleaseKey;
    /// Transfer key (TK): carries wrapped keys between the services.
    TransferKey;
    /// Storage key (KEK): wraps rows at rest; vault only.
    StorageKey;
    /// Content key of one access token: seals its release keys.
    ContentKey;
    /// Fingerprint key (k): the keys of value fingerprints are derived from it; manager only.
    FingerprintKey;
    /// Binding key (BK): wraps the value fingerprint of one envelope.
    BindingKey;
}

/// The kind of a value, text or bytes, and its form in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ValueEncoding {
    /// UTF-8 text, as it is in JSON.
    Text,
    /// Bytes, base64 with padding in JSON.
    Base64,
}

/// The plaintext of one version: at most [`MAX_VALUE_BYTES`], and UTF-8 if it is text.
pub struct SecretValue {
    encoding: ValueEncoding,
    bytes: Zeroizing<Vec<u8>>,
}

/// Why a submitted value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// More than [`MAX_VALUE_BYTES`].
    #[error("a secret value is at most 1048576 bytes")]
    TooLarge,
    /// Not canonical base64 with padding.
    #[error("not canonical base64 with padding")]
    NotBase64,
}

impl SecretValue {
    /// The value submitted as `key_data`.
    pub fn from_json(encoding: ValueEncoding, key_data: Zeroizing<String>) -> Result<Self, ValueError> {
        let bytes = match encoding {
            ValueEncoding::Text => Zeroizing::new(into_bytes(key_data)),
            ValueEncoding::Base64 => from_base64_value(&key_data).map_err(|Malformed(_)| ValueError::NotBase64)?,
        };
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(ValueError::TooLarge);
        }
        Ok(Self { encoding, bytes })
    }

    /// The value found in an opened frame.
    #[cfg(any(feature = "open", all(test, feature = "seal")))]
    pub(crate) fn from_frame(encoding: ValueEncoding, bytes: Zeroizing<Vec<u8>>) -> Result<Self, Rejected> {
        let text_is_utf8 = encoding == ValueEncoding::Base64 || std::str::from_utf8(&bytes).is_ok();
        if text_is_utf8 && bytes.len() <= MAX_VALUE_BYTES { Ok(Self { encoding, bytes }) } else { Err(Rejected) }
    }

    /// Text or bytes.
    pub fn encoding(&self) -> ValueEncoding {
        self.encoding
    }

    /// The raw bytes.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// The JSON form, `decrypted_key`.
    pub fn expose_json(self) -> Zeroizing<String> {
        match self.encoding {
            ValueEncoding::Base64 => base64_value(&self.bytes),
            ValueEncoding::Text => match String::from_utf8(into_vec(self.bytes)) {
                Ok(text) => Zeroizing::new(text),
                // Both constructors checked that text is UTF-8.
                Err(_) => Zeroizing::new(String::new()),
            },
        }
    }
}

fn into_bytes(mut text: Zeroizing<String>) -> Vec<u8> {
    std::mem::take(&mut *text).into_bytes()
}

fn into_vec(mut bytes: Zeroizing<Vec<u8>>) -> Vec<u8> {
    std::mem::take(&mut *bytes)
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    macro_rules! mute {
        ($($name:ty),*) => {$(
            assert_not_impl_any!($name: std::fmt::Debug, std::fmt::Display, Clone, Copy, serde::Serialize, PartialEq);
        )*};
    }
    mute!(DataKey, RootKey, ReleaseKey, TransferKey, StorageKey, ContentKey, FingerprintKey, BindingKey, SecretValue);

    #[test]
    fn a_value_of_exactly_one_mebibyte_is_taken_and_one_byte_more_is_not() {
        let text = |n: usize| Zeroizing::new("x".repeat(n));
        assert!(SecretValue::from_json(ValueEncoding::Text, text(MAX_VALUE_BYTES)).is_ok());
        let refused = SecretValue::from_json(ValueEncoding::Text, text(MAX_VALUE_BYTES + 1)).err();
        assert_eq!(refused, Some(ValueError::TooLarge));
    }

    #[test]
    fn base64_values_are_canonical() {
        for text in ["AA", "AB==", "A===", "AA==\n", "-_=="] {
            let refused = SecretValue::from_json(ValueEncoding::Base64, Zeroizing::new(text.to_owned())).err();
            assert_eq!(refused, Some(ValueError::NotBase64), "{text:?}");
        }
        let value = SecretValue::from_json(ValueEncoding::Base64, Zeroizing::new("AP8=".to_owned())).unwrap();
        assert_eq!(value.expose(), [0, 255]);
        assert_eq!(*value.expose_json(), "AP8=");
    }
}
