//! The JSON bodies of answers about the audit log.

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::id::{SecretId, Version};

/// A version in an audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditedVersion {
    /// The secret.
    pub key_id: SecretId,
    /// The version.
    pub version: Version,
}

/// A line of the manager's audit log. What it does not say is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditLine {
    /// When it was decided (RFC 3339; in lines of an earlier release seconds since 1970).
    #[serde(deserialize_with = "text_or_number")]
    pub timestamp: String,
    /// The act, or the id of the route that refused.
    pub action: String,
    /// `success`, `denied` or `failed`.
    pub status: String,
    /// The code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The secret that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<SecretId>,
    /// The path of that secret then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
    /// The path that the secret had before, where it got another one. In lines of others only for who reads the whole log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_path: Option<String>,
    /// The names of the members that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// All versions that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<AuditedVersion>,
    /// The id of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The id of what it is about, when that is no secret and no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The number of things that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The principal who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The credential that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The way in which the principal was authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The lines of the policy by which it was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<String>,
    /// The id that the manager gave the request.
    #[serde(default)]
    pub request_id: String,
    /// The address of the client.
    #[serde(default)]
    pub ip_address: String,
    /// The client's `User-Agent`.
    #[serde(default)]
    pub user_agent: String,
    /// How many refusals like it have no line of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<u64>,
    /// Its number in the log. Only for who reads the whole log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The hash of the line before it. Only for who reads the whole log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<String>,
}

/// A page of audit lines, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditList {
    /// The lines that the caller may see.
    pub lines: Vec<AuditLine>,
    /// `after` of the next page, which has older lines. A page may be empty and have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_earlier_release_and_one_of_the_service_itself_are_read() {
        for (text, timestamp) in [
            (r#"{"timestamp":7,"action":"a","status":"success","key_id":null,"jti":null,"others":2}"#, "7"),
            (
                r#"{"timestamp":"2026-11-30T00:53:20Z","action":"a","status":"denied","principal":null}"#,
                "2026-11-30T00:53:20Z",
            ),
        ] {
            let line: AuditLine = serde_json::from_str(text).unwrap();
            assert_eq!((line.timestamp.as_str(), line.principal, line.key_id), (timestamp, None, None));
        }
    }
}
