//! Certificates, keys and CAs on disk: PEM, private to their owner.
//!
//! Certificates are public, but an attacker with write access to a CA file chooses the trusted peer. So all of these
//! files must belong to the service's user and be closed to others, like key files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use x509_cert::{Certificate, der::Decode as _};

use crate::{StartError, files::read_private};

/// A value made from files, and the end of their validity.
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    pub(super) expiries: Vec<Expiry>,
}

impl<T> Loaded<T> {
    /// A value that was made without files.
    pub fn without_files(value: T) -> Self {
        Self { value, expiries: Vec::new() }
    }

    /// The same files, made into something else.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn try_map<U>(self, make: impl FnOnce(T) -> Result<U, StartError>) -> Result<Loaded<U>, StartError> {
        Ok(Loaded { value: make(self.value)?, expiries: self.expiries })
    }
}

/// The end of a file's validity.
pub(super) struct Expiry {
    pub(super) file: PathBuf,
    pub(super) not_after: SystemTime,
    /// The time in the form that people write.
    pub(super) text: String,
}

/// A chain of certificates, the service's own first. Its validity ends with that of the first certificate to end.
pub(super) fn certificates(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Expiry), StartError> {
    let chain = pem_certificates(path)?;
    let expiry = expiries(path, &chain)?.into_iter().min_by_key(|expiry| expiry.not_after);
    expiry.map(|expiry| (chain, expiry)).ok_or_else(|| no_certificate(path))
}

/// The trusted CAs. While a CA is changed there are two, and the file's validity ends with that of the last to end.
pub(super) fn authorities(path: &Path) -> Result<(Arc<RootCertStore>, Expiry), StartError> {
    let all = pem_certificates(path)?;
    let expiry = expiries(path, &all)?.into_iter().max_by_key(|expiry| expiry.not_after);
    let mut roots = RootCertStore::empty();
    for authority in all {
        roots.add(authority).map_err(|_| no_certificate(path))?;
    }
    expiry.map(|expiry| (Arc::new(roots), expiry)).ok_or_else(|| no_certificate(path))
}

/// A private key in PKCS#8, SEC1 or PKCS#1.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, StartError> {
    let pem = read_private(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| StartError::new(format!("{} holds no private key in PEM form.", path.display())))
}

fn pem_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let pem = read_private(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    all.map_err(|_| no_certificate(path))
}

fn expiries(path: &Path, certificates: &[CertificateDer<'static>]) -> Result<Vec<Expiry>, StartError> {
    let ends = certificates.iter().map(|der| {
        let parsed = Certificate::from_der(der).map_err(|_| no_certificate(path))?;
        let not_after = parsed.tbs_certificate.validity.not_after;
        Ok(Expiry {
            file: path.to_owned(),
            not_after: SystemTime::UNIX_EPOCH + not_after.to_unix_duration(),
            text: not_after.to_string(),
        })
    });
    ends.collect()
}

fn no_certificate(path: &Path) -> StartError {
    StartError::new(format!("{} does not hold certificates in PEM form.", path.display()))
}

impl Expiry {
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.not_after <= now
    }

    /// Logs once that it is loaded, or (later, and `again`) only that it ends soon.
    pub(super) fn tell(&self, now: SystemTime, again: bool) {
        let (file, expires) = (self.file.display(), &self.text);
        if self.is_over(now) {
            tracing::error!(%file, expires, "certificate has expired: peers refuse it");
        } else if self.is_over(now + WARNED_BEFORE) {
            tracing::warn!(%file, expires, "certificate expires within 14 days; renew it");
        } else if !again {
            tracing::info!(%file, expires, "certificate loaded");
        }
    }
}

/// Two weeks: somebody is on holiday for one.
const WARNED_BEFORE: Duration = Duration::from_hours(14 * 24);
