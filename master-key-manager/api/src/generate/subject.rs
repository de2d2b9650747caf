//! The subject of a certificate that is generated with a key pair.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use shared_proto::Malformed;
use shared_proto::encoding::{present, read_from_objects_only};

use super::text::text_type;
use super::{CertificateDays, CountryCode, SubjectText};
use crate::name::EmailAddress;

/// The most names of one subject.
pub const MAX_SUBJECT_NAMES: usize = 64;

/// A certificate signing request that is wanted. It has a subject, names, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct CertificateRequest {
    /// The subject.
    #[serde(default)]
    pub subject: Subject,
    /// The names that it is known by, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "names")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub names: Vec<SubjectName>,
}

/// A self-signed certificate that is wanted. It has a subject, names, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct SelfSigned {
    /// The subject.
    #[serde(default)]
    pub subject: Subject,
    /// The names that it is known by, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "names")]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub names: Vec<SubjectName>,
    /// The days that it is valid; 90 by default.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = u16, minimum = 1, maximum = 3650, default = 90))]
    pub days: CertificateDays,
}

/// The name of a certificate's subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Subject {
    /// The common name (CN).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub common_name: Option<SubjectText>,
    /// The organization (O).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub organization: Option<SubjectText>,
    /// The unit of the organization (OU).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub organizational_unit: Option<SubjectText>,
    /// The country (C).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub country: Option<CountryCode>,
    /// The state or province (ST).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub state: Option<SubjectText>,
    /// The locality (L).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub locality: Option<SubjectText>,
}

/// A name that a certificate's subject is known by (subject alternative name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SubjectName {
    /// A host name, or all below a domain: `*.example.com`.
    Dns(DnsName),
    /// An address.
    Ip(IpName),
    /// An e-mail address.
    Email(EmailAddress),
    /// A URI, such as a SPIFFE id.
    Uri(UriName),
}

text_type! {
    /// A host name in a certificate.
    DnsName, "a host name has labels of a-z, A-Z, 0-9 and -, 253 characters at most; only the first label may be *",
    |text| {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        text.len() <= 253 && name.split('.').all(label)
    },
    r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"
}
text_type! {
    /// An address in a certificate, IPv4 or IPv6.
    IpName, "an address in a certificate is an IPv4 or IPv6 address",
    |text| text.parse::<IpAddr>().is_ok(),
    "^[0-9a-fA-F:.]{2,45}$"
}
text_type! {
    /// A URI in a certificate.
    UriName, "a URI has a scheme, and at most 512 visible characters of ASCII",
    |text| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
        (1..=512).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'+')
    },
    "^[a-z][a-z0-9+]*://[!-~]+$"
}

read_from_objects_only!(CertificateRequest, SelfSigned, Subject);

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SubjectName>, D::Error> {
    let names = Vec::deserialize(deserializer)?;
    if names.len() > MAX_SUBJECT_NAMES {
        return Err(Malformed("a certificate has at most 64 names").into_name_error());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_certificate_keep_their_form() {
        let read = |text: &str| serde_json::from_str::<SubjectName>(text).is_ok();
        for good in [
            r#"{"dns":"a.example"}"#,
            r#"{"dns":"*.example.com"}"#,
            r#"{"ip":"10.0.0.1"}"#,
            r#"{"ip":"2001:db8::1"}"#,
            r#"{"email":"a@example.com"}"#,
            r#"{"uri":"spiffe://example.org/ns/a"}"#,
        ] {
            assert!(read(good), "{good}");
        }
        for bad in [
            r#"{"dns":""}"#,
            r#"{"dns":"a..b"}"#,
            r#"{"dns":"*"}"#,
            r#"{"dns":"a.*.b"}"#,
            r#"{"dns":"-a"}"#,
            r#"{"dns":"ä.example"}"#,
            r#"{"ip":"10.0.0.256"}"#,
            r#"{"uri":"//a"}"#,
            r#"{"uri":"a b://c"}"#,
            r#"{"dns":"a","ip":"10.0.0.1"}"#,
            r#""a.example""#,
        ] {
            assert!(!read(bad), "{bad}");
        }
        let many = |count: usize| format!("{{\"names\":[{}]}}", vec![r#"{"dns":"a"}"#; count].join(","));
        assert!(serde_json::from_str::<CertificateRequest>(&many(64)).is_ok());
        assert!(serde_json::from_str::<CertificateRequest>(&many(65)).is_err());
        assert!(serde_json::from_str::<CertificateRequest>("[]").is_err());
    }
}
