//! Paths, names and ids: an accepted text is its own canonical form, and an id is of one kind.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use manager_api::name::{EnvironmentName, IdempotencyKey, SecretPath, UserLabel};
use shared_proto::id::{
    CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, ServiceId, Subject, TokenId, VaultId, Version,
};
use shared_proto::identity::{Issuer, Owner};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = SecretPath::parse(text) {
        assert_eq!(path.as_str(), text);
        assert!((1..=512).contains(&text.len()));
        assert!(text.split('/').all(|segment| !segment.is_empty() && segment != "." && segment != ".."));
        assert!(!text.chars().any(|c| c.is_control() || c == '\\'));
        // A path is a sequence of paths: no segment hides another.
        assert!(text.split('/').all(|segment| SecretPath::parse(segment).is_ok()));
        assert_eq!(path.is_reserved(), text == "unnamed" || text.starts_with("unnamed/"));
    }
    if let Ok(name) = EnvironmentName::parse(text) {
        assert_eq!(name.as_str(), text.to_ascii_lowercase());
        assert!(SecretPath::parse(text).is_ok());
    }
    if let Ok(label) = UserLabel::parse(text) {
        assert_eq!(label.as_str(), text);
    }
    if let Ok(key) = IdempotencyKey::parse(text) {
        assert_eq!(key.as_str(), text.trim());
    }
    let kinds = [
        is_canonical::<ManagerId>(text),
        is_canonical::<VaultId>(text),
        is_canonical::<EnvironmentId>(text),
        is_canonical::<SecretId>(text),
        is_canonical::<PersonId>(text),
        is_canonical::<ServiceId>(text),
        is_canonical::<CredentialId>(text),
        is_canonical::<TokenId>(text),
        is_canonical::<Issuer>(text),
    ];
    assert!(kinds.into_iter().filter(|accepted| *accepted).count() <= 1, "an id of two kinds");
    is_canonical::<Subject>(text);
    if let Ok(owner) = serde_json::from_slice::<Owner>(data) {
        assert_eq!(serde_json::from_str::<String>(text).unwrap(), owner.to_string());
    }
    if let Ok(version) = serde_json::from_slice::<Version>(data) {
        assert_eq!(text.trim(), version.to_string());
        assert!((1..1 << 53).contains(&version.get()));
    }
});

fn is_canonical<T: FromStr + Display>(text: &str) -> bool {
    let parsed = text.parse::<T>();
    if let Ok(id) = &parsed {
        assert_eq!(id.to_string(), text);
    }
    parsed.is_ok()
}
