//! The byte encodings of the protocol: canonical base64 and the length-prefixed encoder `LP`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::Malformed;

/// `b64`: base64url without padding (RFC 4648 section 5).
pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`b64`]. Refuses padding, other alphabets and set unused bits.
pub fn from_b64(text: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed("not canonical base64url without padding"))
}

/// [`from_b64`] for exactly `N` bytes.
pub fn from_b64_exact<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    from_b64(text)?.try_into().map_err(|_| Malformed("base64url of another length"))
}

/// [`from_b64_exact`] that leaves no copy of the bytes behind.
pub fn from_b64_secret<const N: usize>(text: &str) -> Result<Zeroizing<[u8; N]>, Malformed> {
    let bytes =
        Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed("not canonical base64url without padding"))?);
    let mut out = Zeroizing::new([0; N]);
    if bytes.len() != N {
        return Err(Malformed("base64url of another length"));
    }
    out.copy_from_slice(&bytes);
    Ok(out)
}

/// Base64 with padding (RFC 4648 section 4), the form of binary values in `key_data` and `decrypted_key`.
pub fn base64_value(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

/// The inverse of [`base64_value`], canonical only.
pub fn from_base64_value(text: &str) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    STANDARD.decode(text).map(Zeroizing::new).map_err(|_| Malformed("not canonical base64 with padding"))
}

/// `LP(p1, p2, …)`: every part after its length in bytes as a big-endian `u32`. It is injective: every key derivation,
/// digest and signature of the protocol relies on that.
///
/// Parts are at most a few KiB by construction; a part of 4 GiB or more would be cut to nothing rather than made
/// ambiguous.
pub fn lp(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        let (length, part) = u32::try_from(part.len()).map_or((0, [].as_slice()), |length| (length, *part));
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

/// `N` bytes of the operating system's randomness.
///
/// # Panics
///
/// When the operating system gives none: there is no safe way to continue.
#[expect(clippy::expect_used, reason = "a process without randomness must not go on")]
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    aws_lc_rs::rand::fill(&mut out).expect("the operating system gives randomness");
    out
}

/// Reads a JSON object strictly: unknown, missing, repeated or wrongly typed members and trailing data are refused.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    // serde also reads a struct from an array, by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed("not a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|_| Malformed("not the JSON document expected here"))
}

/// Reads a JSON object into pairs, refusing a member that comes twice (serde's maps keep the last one silently).
pub fn unique_members<'de, D, V>(deserializer: D) -> Result<Vec<(String, V)>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Members<V>(std::marker::PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
        type Value = Vec<(String, V)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object without repeated members")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members: Vec<(String, V)> = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, V>()? {
                if members.iter().any(|(known, _)| *known == name) {
                    return Err(A::Error::custom("a member comes twice"));
                }
                members.push((name, value));
            }
            Ok(members)
        }
    }
    deserializer.deserialize_map(Members(std::marker::PhantomData))
}

/// Makes types with `#[serde(remote = "Self")]` read from JSON objects only. The derived reader would also accept an
/// array, member by position, and a signed document must have one text only.
#[macro_export]
macro_rules! read_from_objects_only {
    ($($name:ty),*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        <$name>::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$name>::serialize(self, serializer)
            }
        }
    )*};
}
pub use read_from_objects_only;

/// Reads a present member as its type: `null` does not count as absent. For `Option` members with a default.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Bytes of fixed length that are `b64` in JSON: hashes, nonces, wrapped keys, signatures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> std::fmt::Debug for Bytes<N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&b64(&self.0))
    }
}

impl<const N: usize> std::str::FromStr for Bytes<N> {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        from_b64_exact(text).map(Self)
    }
}

impl<const N: usize> serde::Serialize for Bytes<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        from_b64_exact(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Bytes of any length that are `b64` in JSON: ciphertexts and RSA-wrapped transfer keys.
#[derive(Clone, PartialEq, Eq)]
pub struct ByteString(pub Vec<u8>);

impl std::fmt::Debug for ByteString {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl serde::Serialize for ByteString {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64(&self.0))
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        from_b64(&text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_that_is_not_canonical_is_refused() {
        assert_eq!(from_b64("AA").unwrap(), [0]);
        for text in ["AB", "AA==", "A", "A+", "A/", " AA", "AA\n"] {
            assert!(from_b64(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn lp_is_injective(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let encode = |parts: &Vec<Vec<u8>>| lp(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            proptest::prop_assert_eq!(a == b, encode(&a) == encode(&b));
        }
    }
}
