//! Fields of structured kinds, and members of JSON objects by name.
//!
//! The value of a structured kind is a JSON object with known members. A reference may name a field, and a rotation may
//! exchange one. An error never repeats a value, and not the name of an unknown member either: somebody may have put a
//! value there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use shared_proto::Malformed;
use zeroize::Zeroizing;

use crate::kind::SecretKind;
use crate::reference::json::quoted;

/// The form of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldForm {
    /// A text that is not empty.
    Text,
    /// A port, 1 to 65,535, as a number.
    Port,
}

/// A field of a structured kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub form: FieldForm,
}

/// The fields of a kind; none of a kind that has no structure.
pub fn fields_of(kind: SecretKind) -> &'static [Field] {
    structure(kind).map_or(&[], |(fields, _)| fields)
}

/// The fields of a kind of which a value has at least one: without it there is nothing secret in it.
pub fn essential_fields(kind: SecretKind) -> &'static [&'static str] {
    structure(kind).map_or(&[], |(_, essential)| essential)
}

/// A field of a value of a structured kind, or a member of a `json` object that is a text, a number, `true` or `false`.
///
/// # Errors
///
/// The kind has no fields, the value is not in its form, or has no such field.
pub fn field(kind: SecretKind, value: &[u8], name: &str) -> Result<Zeroizing<String>, Malformed> {
    let (_, members) = object_of(kind, value)?;
    let member = members.get(name).ok_or(Malformed("the value has no such field"))?;
    let raw = member.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).map(Zeroizing::new).map_err(|_| NOT_AN_OBJECT),
        Some(b'{' | b'[' | b'n') | None => Err(Malformed("this field has no text")),
        Some(_) => Ok(Zeroizing::new(raw.to_owned())),
    }
}

/// A value with another text in one field; everything else stays as it is, byte for byte. A field that is missing is added.
///
/// # Errors
///
/// The kind has no such field, the value is not in its form, or the text is not in the form of the field.
pub fn with_field(kind: SecretKind, value: &[u8], name: &str, text: &str) -> Result<Zeroizing<String>, Malformed> {
    let known = fields_of(kind).iter().find(|field| field.name == name);
    let written = match known.map(|field| field.form) {
        Some(FieldForm::Port) => Zeroizing::new(port(text).ok_or(Malformed("a port is 1 to 65535"))?.to_string()),
        Some(FieldForm::Text) if text.is_empty() => return Err(Malformed("a field is not empty")),
        Some(FieldForm::Text) => quoted(text),
        None if kind == SecretKind::Json => quoted(text),
        None => return Err(Malformed("the kind has no such field")),
    };
    let (whole, members) = object_of(kind, value)?;
    let mut out = Zeroizing::new(String::with_capacity(whole.len() + written.len() + name.len() * 6 + 8));
    if let Some(place) = members.get(name).and_then(|member| place_in(whole, member.get())) {
        out.push_str(whole.get(..place.start).unwrap_or_default());
        out.push_str(&written);
        out.push_str(whole.get(place.end..).unwrap_or_default());
        return Ok(out);
    }
    let end = whole.rfind('}').ok_or(NOT_AN_OBJECT)?;
    out.push_str(whole.get(..end).unwrap_or_default().trim_end());
    out.push_str(if members.is_empty() { "" } else { "," });
    out.push_str(&quoted(name));
    out.push(':');
    out.push_str(&written);
    out.push_str(whole.get(end..).unwrap_or_default());
    Ok(out)
}

/// The members of a JSON object, each once, as they are written.
///
/// # Errors
///
/// The value is not a JSON object, or has a member twice.
pub fn members(value: &[u8]) -> Result<BTreeMap<String, &RawValue>, Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| NOT_AN_OBJECT)?;
    let Members(members) = serde_json::from_str(text).map_err(|_| NOT_AN_OBJECT)?;
    Ok(members)
}

/// A port as it is written in a text.
pub fn port(text: &str) -> Option<u16> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The fields of a kind, and those of which one is essential.
fn structure(kind: SecretKind) -> Option<(&'static [Field], &'static [&'static str])> {
    match kind {
        SecretKind::Database => Some((DATABASE, &["password", "url"])),
        SecretKind::Vpn => Some((VPN, &["password", "shared_key", "private_key", "config"])),
        SecretKind::OauthClient => Some((OAUTH_CLIENT, &["client_secret", "private_key"])),
        SecretKind::Webhook => Some((WEBHOOK, &["url", "secret"])),
        SecretKind::Password
        | SecretKind::ApiKey
        | SecretKind::ServiceToken
        | SecretKind::SshKey
        | SecretKind::Certificate
        | SecretKind::Jwt
        | SecretKind::SessionSecret
        | SecretKind::EncryptionKey
        | SecretKind::SigningKey
        | SecretKind::BackupKey
        | SecretKind::Json
        | SecretKind::Yaml
        | SecretKind::Text
        | SecretKind::Binary => None,
    }
}

type Object<'a> = (&'a str, BTreeMap<String, &'a RawValue>);

fn object_of(kind: SecretKind, value: &[u8]) -> Result<Object<'_>, Malformed> {
    if fields_of(kind).is_empty() && kind != SecretKind::Json {
        return Err(Malformed("the kind has no fields"));
    }
    let text = std::str::from_utf8(value).map_err(|_| NOT_AN_OBJECT)?;
    Ok((text, members(value)?))
}

/// The place of a part of a text in it.
fn place_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let place = start..start.checked_add(part.len())?;
    (whole.get(place.clone()) == Some(part)).then_some(place)
}

struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object without repeated members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, member)) = map.next_entry::<String, &RawValue>()? {
                    if members.insert(name, member).is_some() {
                        return Err(A::Error::custom("a member comes twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

const NOT_AN_OBJECT: Malformed = Malformed("the value is not a JSON object with each member once");

const fn text(name: &'static str) -> Field {
    Field { name, form: FieldForm::Text }
}

const fn port_field(name: &'static str) -> Field {
    Field { name, form: FieldForm::Port }
}

const DATABASE: &[Field] = &[
    text("engine"),
    text("host"),
    port_field("port"),
    text("user"),
    text("password"),
    text("name"),
    text("options"),
    text("ca"),
    text("url"),
];
const VPN: &[Field] = &[
    text("protocol"),
    text("host"),
    port_field("port"),
    text("user"),
    text("password"),
    text("shared_key"),
    text("private_key"),
    text("public_key"),
    text("certificate"),
    text("config"),
];
const OAUTH_CLIENT: &[Field] = &[
    text("client_id"),
    text("client_secret"),
    text("private_key"),
    text("issuer"),
    text("authorize_url"),
    text("token_url"),
    text("redirect_url"),
    text("scope"),
];
const WEBHOOK: &[Field] = &[text("url"), text("secret"), text("header"), text("algorithm")];

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"{ \"host\": \"db\",\n \"port\": 5432, \"password\": \"a\\u0062\\n\" }\n";

    fn read(kind: SecretKind, value: &[u8], name: &str) -> Option<String> {
        field(kind, value, name).ok().map(|text| text.as_str().to_owned())
    }

    #[test]
    fn field_is_read_by_its_name() {
        let of = |name| read(SecretKind::Database, VALUE, name);
        assert_eq!(of("password").as_deref(), Some("ab\n"));
        assert_eq!(of("port").as_deref(), Some("5432"));
        assert_eq!(of("user"), None);
        let json = br#"{"a":true,"b":{"c":1},"d":null,"e":-1.50}"#;
        let of = |name| read(SecretKind::Json, json, name);
        assert_eq!(
            (of("a").as_deref(), of("b"), of("d"), of("e").as_deref()),
            (Some("true"), None, None, Some("-1.50"))
        );
        assert_eq!(read(SecretKind::Password, VALUE, "password"), None);
        assert_eq!(read(SecretKind::Database, br#"{"password":"a","password":"b"}"#, "password"), None);
        assert_eq!(read(SecretKind::Json, b"[1]", "0"), None);
    }

    #[test]
    fn one_field_is_exchanged_and_the_rest_stays_byte_for_byte() {
        let with = |name, text| with_field(SecretKind::Database, VALUE, name, text).ok().map(|text| text.to_string());
        assert_eq!(
            with("password", "n\"ew\\").as_deref(),
            Some("{ \"host\": \"db\",\n \"port\": 5432, \"password\": \"n\\\"ew\\\\\" }\n")
        );
        assert_eq!(
            with("port", "5433").as_deref(),
            Some("{ \"host\": \"db\",\n \"port\": 5433, \"password\": \"a\\u0062\\n\" }\n")
        );
        let added = with("user", "app").unwrap();
        assert_eq!(read(SecretKind::Database, added.as_bytes(), "user").as_deref(), Some("app"));
        assert_eq!(read(SecretKind::Database, added.as_bytes(), "host").as_deref(), Some("db"));
        for (name, text) in
            [("port", "0"), ("port", "65536"), ("port", "+1"), ("port", ""), ("other", "a"), ("user", "")]
        {
            assert_eq!(with(name, text), None, "{name} {text}");
        }
        let empty = with_field(SecretKind::Json, b" {} ", "a\"", "b").ok().map(|text| text.to_string());
        assert_eq!(empty.as_deref(), Some(" {\"a\\\"\":\"b\"} "));
        assert!(with_field(SecretKind::Text, b"{}", "a", "b").is_err());
    }

    #[test]
    fn every_essential_field_is_a_field() {
        for kind in SecretKind::ALL {
            let names: Vec<&str> = fields_of(*kind).iter().map(|field| field.name).collect();
            assert!(essential_fields(*kind).iter().all(|name| names.contains(name)), "{kind}");
            assert_eq!(names.is_empty(), essential_fields(*kind).is_empty(), "{kind}");
        }
    }
}
