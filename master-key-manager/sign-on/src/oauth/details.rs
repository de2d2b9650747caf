//! `authorization_details` (RFC 9396) of our type: which secrets a token is to open.
//!
//! ```json
//! [{"type": "splitvault_secrets", "actions": ["read"], "life_seconds": 300, "secrets": [
//!     {"key_id": "sec_…", "version": 3},
//!     {"environment": "production", "path": "shop/database", "stage": "previous"}]}]
//! ```
//!
//! An entry is the body of `POST /api/tokens` with a `type`. `actions` and `life_seconds` may be missing; of several
//! lives the shortest counts. Without version and stage the current version is meant. Several entries are as good as
//! one, and all together name 1 to 64 secrets. Unknown members are refused (RFC 9396 section 5).

use manager_api::tokens::{GrantedSecret, SecretRequest, WantedSecret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared_proto::Malformed;

use super::error::{OauthError, OauthErrorCode};
use crate::json;

/// The `type` of our details.
pub const DETAIL_TYPE: &str = "splitvault_secrets";
/// The most secrets of a token.
pub const MAX_SECRETS: usize = 64;

/// The secrets that were granted, for the answer (RFC 9396 section 7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantedDetail {
    /// [`DETAIL_TYPE`].
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `["read"]`.
    pub actions: [&'static str; 1],
    /// The secrets, each with the version that the token opens.
    pub secrets: Vec<GrantedSecret>,
}

impl GrantedDetail {
    /// The details of these versions.
    pub fn new(secrets: Vec<GrantedSecret>) -> Self {
        Self { kind: DETAIL_TYPE, actions: [READ], secrets }
    }
}

/// The wanted secrets of a request, and the shortest of the lives that it names.
pub(super) fn parse(text: &str) -> Result<(Vec<WantedSecret>, Option<u64>), OauthError> {
    // Duplicate members are found first; the typed reader does not look into what it skips.
    let value = json::value(text.as_bytes()).map_err(|_| refused("They are not JSON, or a member comes twice."))?;
    let Value::Array(entries) = value else { return Err(refused("They are not an array.")) };
    if entries.is_empty() || entries.len() > MAX_SECRETS {
        return Err(refused("They have 1 to 64 entries."));
    }
    let (mut wanted, mut life) = (Vec::new(), None::<u64>);
    for entry in entries {
        if entry.get("type").and_then(Value::as_str) != Some(DETAIL_TYPE) || !entry.is_object() {
            return Err(refused("The type of an entry is not splitvault_secrets."));
        }
        let entry: Entry = serde_json::from_value(entry)
            .map_err(|_| refused("An entry has a member that is missing, unknown or malformed."))?;
        if entry.actions.is_some_and(|actions| actions != [READ]) {
            return Err(refused("The only action is read."));
        }
        if entry.secrets.is_empty() || wanted.len() + entry.secrets.len() > MAX_SECRETS {
            return Err(refused("They name 1 to 64 secrets."));
        }
        life = life.into_iter().chain(entry.life_seconds).min();
        for secret in entry.secrets {
            wanted.push(secret.try_into().map_err(|Malformed(reason)| refused(reason))?);
        }
    }
    Ok((wanted, life))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "type")]
    _kind: String,
    actions: Option<Vec<String>>,
    life_seconds: Option<u64>,
    secrets: Vec<SecretRequest>,
}

const fn refused(description: &'static str) -> OauthError {
    OauthError::new(OauthErrorCode::InvalidAuthorizationDetails, description)
}

const READ: &str = "read";

#[cfg(test)]
mod tests {
    use manager_api::name::{EnvironmentName, SecretPath};
    use manager_api::tokens::{SecretTarget, Stage, WantedVersion};
    use proptest::prelude::*;
    use serde_json::json;
    use shared_proto::id::{SecretId, Version};

    use super::*;

    fn id() -> SecretId {
        SecretId::from_bytes([1; 16])
    }

    fn entry(secrets: &Value) -> Value {
        json!({"type": DETAIL_TYPE, "secrets": secrets})
    }

    fn is_refused(value: &Value) -> bool {
        parse(&value.to_string()).is_err_and(|error| error.code == OauthErrorCode::InvalidAuthorizationDetails)
    }

    #[test]
    fn secrets_are_wanted_by_id_or_name_and_version_or_stage() {
        let text = json!([
            entry(&json!([{"key_id": id(), "version": 3}])),
            {"type": DETAIL_TYPE, "actions": ["read"], "life_seconds": 600, "secrets": [
                {"environment": "production", "path": "shop/database", "stage": "previous"}, {"key_id": id()}]},
            {"type": DETAIL_TYPE, "life_seconds": 300, "secrets": [{"key_id": id(), "stage": "pending"}]},
        ]);
        let (wanted, life) = parse(&text.to_string()).unwrap();
        assert_eq!(life, Some(300));
        assert_eq!(wanted.len(), 4);
        assert_eq!(
            wanted[0],
            WantedSecret { target: SecretTarget::Id(id()), version: WantedVersion::Number(Version::new(3).unwrap()) }
        );
        let named = SecretTarget::Path(
            EnvironmentName::parse("production").unwrap(),
            SecretPath::parse("shop/database").unwrap(),
        );
        assert_eq!(wanted[1], WantedSecret { target: named, version: WantedVersion::Stage(Stage::Previous) });
        assert_eq!(wanted[2].version, WantedVersion::Stage(Stage::Current));
    }

    #[test]
    fn anything_else_is_refused() {
        let good = json!({"key_id": id()});
        assert!(!is_refused(&json!([entry(&json!([good]))])));
        let secrets = [
            json!([]),
            json!([{}]),
            json!([1]),
            json!({}),
            json!([{"key_id": "sec_x"}]),
            json!([{"environment": "production"}]),
            json!([{"path": "a"}]),
            json!([{"key_id": id(), "path": "a"}]),
            json!([{"key_id": id(), "environment": "a", "path": "a"}]),
            json!([{"key_id": id(), "version": 1, "stage": "current"}]),
            json!([{"key_id": id(), "version": 0}]),
            json!([{"key_id": id(), "stage": "Current"}]),
            json!([{"key_id": id(), "x": 1}]),
            json!([{"environment": "Production", "path": "a"}]),
            json!([{"environment": "a", "path": "a//b"}]),
            json!(vec![good.clone(); 65]),
        ];
        for secrets in secrets {
            assert!(is_refused(&json!([entry(&secrets)])), "{secrets}");
        }
        let mut other_action = entry(&json!([good]));
        other_action["actions"] = json!(["read", "write"]);
        let mut other_type = entry(&json!([good]));
        other_type["type"] = json!("payment_initiation");
        let mut unknown = entry(&json!([good]));
        unknown["locations"] = json!(["https://vault.example"]);
        for entries in [
            json!([]),
            json!({}),
            json!([1]),
            json!([[]]),
            json!([other_action]),
            json!([other_type]),
            json!([unknown]),
            entry(&json!([good])),
            json!([entry(&json!(vec![good.clone(); 40])), entry(&json!(vec![good.clone(); 25]))]),
            json!(vec![entry(&json!([good])); 65]),
        ] {
            assert!(is_refused(&entries), "{entries}");
        }
        let once = json!([entry(&json!([good]))]).to_string();
        for (member, twice) in
            [("\"type\":", r#""type":"other","type":"#), ("\"key_id\":", r#""key_id":"x","key_id":"#)]
        {
            assert!(once.contains(member) && parse(&once).is_ok());
            assert!(parse(&once.replace(member, twice)).is_err(), "{twice}");
        }
        assert!(parse("").is_err());
        assert!(!is_refused(&json!([entry(&json!(vec![good; 64]))])));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, inner in r#"[\[\]{}",:a-z_0-9]{0,60}"#) {
            let _ = parse(&text);
            let _ = parse(&format!("[{{\"type\":\"splitvault_secrets\",{inner}}}]"));
        }
    }
}
