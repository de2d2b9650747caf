//! The requirements of a trust on one claim.

use manager_api::trusts::RequiredClaim;
use serde_json::Value;

use super::DefinitionError;
use crate::jwt::Claims;

/// A checked [`RequiredClaim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    claim: String,
    expected: Expected,
}

/// The text that a claim is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Exact(String),
    Prefix(String),
}

impl Condition {
    pub(super) fn new(required: &RequiredClaim) -> Result<Self, DefinitionError> {
        let claim = required.claim.clone();
        let refused = |reason| Err(DefinitionError::Claim { claim: named(&required.claim), reason });
        if claim.is_empty() || claim.len() > LONGEST_NAME || claim.chars().any(char::is_control) {
            return refused("a name has 1 to 128 bytes and no control character");
        }
        if CHECKED_ELSEWHERE.contains(&claim.trim_start_matches('/')) {
            return refused("it is always checked, and is no condition of its own");
        }
        let expected = match (&required.exact, &required.prefix) {
            (Some(value), None) => Expected::Exact(value.clone()),
            (None, Some(prefix)) => Expected::Prefix(prefix.clone()),
            _ => return refused("it has either an exact value or a prefix"),
        };
        let text = expected.text();
        if text.is_empty() || text.len() > LONGEST_VALUE || text.chars().any(char::is_control) {
            return refused("its value has 1 to 512 bytes and no control character");
        }
        if text.contains('*') {
            return refused("there are no wildcards; use a prefix that ends with / or :");
        }
        if matches!(&expected, Expected::Prefix(prefix) if !prefix.ends_with(['/', ':'])) {
            return refused("a prefix ends with / or :");
        }
        Ok(Self { claim, expected })
    }

    pub(super) fn claim(&self) -> &str {
        &self.claim
    }

    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The exact value that is required of this claim.
    pub(super) fn exact(&self, claim: &str) -> Option<&str> {
        match &self.expected {
            Expected::Exact(value) if self.claim == claim => Some(value),
            Expected::Exact(_) | Expected::Prefix(_) => None,
        }
    }

    pub(super) fn holds(&self, claims: &Claims) -> bool {
        let found = if self.claim.starts_with('/') { claims.pointer(&self.claim) } else { claims.get(&self.claim) };
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => return false,
        };
        match &self.expected {
            Expected::Exact(value) => text == *value,
            // Longer than the prefix: `folder/` itself is nothing in the folder.
            Expected::Prefix(prefix) => text.len() > prefix.len() && text.starts_with(prefix.as_str()),
        }
    }
}

impl Expected {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
        }
    }
}

/// The name of a claim in an error, cut to what a name may have.
fn named(claim: &str) -> String {
    claim.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 512;
const CHECKED_ELSEWHERE: [&str; 6] = ["iss", "aud", "exp", "iat", "nbf", "jti"];
