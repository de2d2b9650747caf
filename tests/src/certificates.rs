//! Certificates of right and wrong kinds for the TLS of an installation.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::keys::write_private;

/// A private CA.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be asked.
    Server,
    /// To ask.
    Client,
}

impl Authority {
    /// A new one.
    #[expect(clippy::new_without_default, reason = "it makes a key")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "a private CA");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its certificate.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        write_private(&file, self.0.pem().as_bytes());
        file
    }

    /// Writes `<name>.pem` and `<name>.key`: a certificate for a host, valid from and to so many days from now.
    pub fn issue(&self, folder: &Path, name: &str, host: &str, purpose: Purpose, days: (i64, i64)) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (in_days(days.0).into(), in_days(days.1).into());
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        write_private(&folder.join(format!("{name}.key")), key.serialize_pem().as_bytes());
        write_private(&folder.join(format!("{name}.pem")), certificate.as_bytes());
    }
}

fn in_days(days: i64) -> SystemTime {
    let distance = Duration::from_hours(24) * u32::try_from(days.unsigned_abs()).unwrap();
    if days < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}
