//! Certificates and requests for a key that was made.

use manager_api::generate::{CertificateRequest, SelfSigned, Subject, SubjectName};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType, SerialNumber,
};
use time::OffsetDateTime;

use super::key_pair::KeyPair;
use crate::Refused;
use crate::random::Random;

/// A certificate signing request in PEM (RFC 2986).
pub(super) fn request(wanted: &CertificateRequest, pair: &KeyPair) -> Result<String, Refused> {
    let params = params(&wanted.subject, &wanted.names)?;
    params.serialize_request(&signer(pair)?).and_then(|request| request.pem()).map_err(|_| FAILED)
}

/// A self-signed certificate in PEM, and its end. It begins an hour ago, for clocks that are late.
pub(super) fn self_signed(
    wanted: &SelfSigned,
    pair: &KeyPair,
    random: &mut dyn Random,
    now: u64,
) -> Result<(String, u64), Refused> {
    let mut params = params(&wanted.subject, &wanted.names)?;
    let end = now + u64::from(wanted.days.get()) * 86_400;
    params.not_before = time(now.saturating_sub(3600))?;
    params.not_after = time(end)?;
    let mut serial = [0; 16];
    random.fill(&mut serial)?;
    params.serial_number = Some(SerialNumber::from_slice(&positive(serial)));
    // It is the end of its chain and the certificate of a server at once, so it issues nothing below itself.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&signer(pair)?).map_err(|_| FAILED)?;
    Ok((certificate.pem(), end))
}

fn params(subject: &Subject, names: &[SubjectName]) -> Result<CertificateParams, Refused> {
    let mut name = DistinguishedName::new();
    let country = subject.country.as_ref().map(|country| (DnType::CountryName, country.as_str()));
    let texts = [
        (DnType::StateOrProvinceName, &subject.state),
        (DnType::LocalityName, &subject.locality),
        (DnType::OrganizationName, &subject.organization),
        (DnType::OrganizationalUnitName, &subject.organizational_unit),
        (DnType::CommonName, &subject.common_name),
    ];
    let texts = texts.into_iter().filter_map(|(part, text)| text.as_ref().map(|text| (part, text.as_str())));
    let parts: Vec<(DnType, &str)> = country.into_iter().chain(texts).collect();
    if parts.is_empty() && names.is_empty() {
        return Err(Refused::new("a certificate has a subject, names, or both"));
    }
    for (part, text) in parts {
        name.push(part, text);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.subject_alt_names = names.iter().map(alternative).collect::<Result<_, _>>()?;
    Ok(params)
}

fn alternative(name: &SubjectName) -> Result<SanType, Refused> {
    let ascii = |text: &str| Ia5String::try_from(text).map_err(|_| FAILED);
    Ok(match name {
        SubjectName::Dns(name) => SanType::DnsName(ascii(name.as_str())?),
        SubjectName::Email(address) => SanType::Rfc822Name(ascii(address.as_str())?),
        SubjectName::Uri(uri) => SanType::URI(ascii(uri.as_str())?),
        SubjectName::Ip(address) => SanType::IpAddress(address.as_str().parse().map_err(|_| FAILED)?),
    })
}

fn signer(pair: &KeyPair) -> Result<rcgen::KeyPair, Refused> {
    rcgen::KeyPair::try_from(pair.pkcs8.as_slice()).map_err(|_| FAILED)
}

fn time(seconds: u64) -> Result<OffsetDateTime, Refused> {
    let seconds = i64::try_from(seconds).map_err(|_| FAILED)?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| FAILED)
}

/// A number above 0 of 127 bits: DER would take a first bit of 1 for a sign.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    serial
}

const FAILED: Refused = Refused::new("the certificate was not made; try other names");
