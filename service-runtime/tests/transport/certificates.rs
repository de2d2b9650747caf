//! A CA and certificates of every kind.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use service_runtime::tls::ServerFiles;
use tempfile::TempDir;

pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A private CA.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Since when, until when.
#[derive(Clone, Copy)]
pub(crate) struct Validity(pub(crate) SystemTime, pub(crate) SystemTime);

impl Validity {
    pub(crate) fn now() -> Self {
        Self(SystemTime::now() - DAY, SystemTime::now() + 30 * DAY)
    }

    pub(crate) fn over() -> Self {
        Self(SystemTime::now() - 30 * DAY, SystemTime::now() - DAY)
    }

    pub(crate) fn to_come() -> Self {
        Self(SystemTime::now() + DAY, SystemTime::now() + 30 * DAY)
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "a private CA");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn server(&self, name: &str, validity: Validity) -> Pair {
        self.issue(name, validity, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub(crate) fn client(&self, name: &str, validity: Validity) -> Pair {
        self.issue(name, validity, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, name: &str, validity: Validity, purpose: ExtendedKeyUsagePurpose) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (validity.0.into(), validity.1.into());
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A folder with private files.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, or puts it in the place of another.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path("new"));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    /// Certificate and key of a listener, and the CA of a client with this name.
    pub(crate) fn listener(&self, pair: &Pair, client: Option<(&Authority, &str)>) -> ServerFiles {
        ServerFiles {
            certificate: self.write("listener.pem", &pair.certificate),
            key: self.write("listener.key", &pair.key),
            client_ca: client.map(|(authority, _)| self.write("client-ca.pem", &authority.pem())),
            client_name: client.map(|(_, name)| name.to_owned()),
        }
    }
}

pub(crate) fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}
