//! Structured kinds: JSON objects with known fields (`manager_api::fields`).

use manager_api::fields::{self, FieldForm, essential_fields, fields_of};
use manager_api::kind::SecretKind;
use zeroize::Zeroizing;

use crate::{Refused, json};

/// Checks the fields of a value and lists those that it has.
pub(crate) fn check(kind: SecretKind, value: &[u8]) -> Result<Vec<&'static str>, Refused> {
    json::check(value)?;
    let members = fields::members(value)?;
    let mut present = Vec::new();
    for known in fields_of(kind) {
        let Some(member) = members.get(known.name) else { continue };
        let written = member.get();
        let in_form = match known.form {
            FieldForm::Text => serde_json::from_str::<Zeroizing<String>>(written).is_ok_and(|text| !text.is_empty()),
            FieldForm::Port => fields::port(written).is_some_and(|port| port > 0),
        };
        if !in_form {
            return Err(Refused::new("a field is a text that is not empty, and a port a number from 1 to 65535"));
        }
        present.push(known.name);
    }
    if present.len() != members.len() {
        return Err(Refused::new("the value has a field that its kind does not have; docs/secret-kinds.md lists them"));
    }
    if !essential_fields(kind).iter().any(|name| present.contains(name)) {
        return Err(Refused::new("the value has none of the fields that are secret; docs/secret-kinds.md lists them"));
    }
    Ok(present)
}

/// A field of a value: of a structured kind, or a member of a `json` object.
///
/// # Errors
///
/// As [`manager_api::fields::field`].
pub fn field(kind: SecretKind, value: &[u8], name: &str) -> Result<Zeroizing<String>, Refused> {
    Ok(fields::field(kind, value, name)?)
}

/// A value with another text in one field, and checked as a whole. The rest stays as it is, byte for byte.
///
/// # Errors
///
/// As [`manager_api::fields::with_field`], or the result is not what its kind says.
pub fn with_field(kind: SecretKind, value: &[u8], name: &str, text: &str) -> Result<Zeroizing<String>, Refused> {
    let changed = fields::with_field(kind, value, name, text)?;
    crate::check(kind, changed.as_bytes(), 0)?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_with_known_fields_is_taken() {
        for (kind, value, fields) in [
            (SecretKind::Database, r#"{"host":"db","port":5432,"user":"app","password":"p"}"#, 4),
            (SecretKind::Database, r#"{"url":"postgres://app:p@db/x"}"#, 1),
            (SecretKind::Vpn, r#"{"config":"[Interface]\n"}"#, 1),
            (SecretKind::OauthClient, r#"{"client_id":"a","client_secret":"b","scope":"c d"}"#, 3),
            (SecretKind::Webhook, r#"{"secret":"whsec"}"#, 1),
        ] {
            assert_eq!(check(kind, value.as_bytes()).map(|present| present.len()), Ok(fields), "{value}");
        }
    }

    #[test]
    fn object_out_of_form_is_refused_without_a_word_of_it() {
        for bad in [
            "postgres://app:hunter2@db/x",
            "[]",
            "{}",
            r#"{"host":"db"}"#,
            r#"{"password":"hunter2","hunter2":"x"}"#,
            r#"{"password":"hunter2","password":"hunter2"}"#,
            r#"{"password":""}"#,
            r#"{"password":7}"#,
            r#"{"password":null}"#,
            r#"{"password":"a","port":"5432"}"#,
            r#"{"password":"a","port":0}"#,
            r#"{"password":"a","port":65536}"#,
            r#"{"password":"a","port":5e3}"#,
        ] {
            let refused = check(SecretKind::Database, bad.as_bytes()).expect_err(bad);
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn rotation_exchanges_one_field_and_checks_the_whole() {
        let value = br#"{"user":"app", "password":"old"}"#;
        let changed = with_field(SecretKind::Database, value, "password", "new\"").unwrap();
        assert_eq!(*changed, r#"{"user":"app", "password":"new\""}"#);
        assert_eq!(*field(SecretKind::Database, changed.as_bytes(), "password").unwrap(), "new\"");
        assert!(with_field(SecretKind::Database, b"{\"user\":\"app\"}", "host", "db").is_err());
        assert!(with_field(SecretKind::Database, value, "colour", "red").is_err());
    }
}
