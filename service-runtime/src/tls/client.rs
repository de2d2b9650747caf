//! TLS of the client side.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde::Deserialize;

use super::{Loaded, VERSIONS, files, provider};
use crate::StartError;

/// The files of a client: the CA that it trusts, and its own certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFiles {
    /// The CA of the server, in PEM. Only this one is believed, not those of the machine. Required.
    pub ca: PathBuf,
    /// The client's own certificate, in PEM. Default none.
    pub certificate: Option<PathBuf>,
    /// Its private key in PEM, mode 0600. Required with `certificate`.
    pub key: Option<PathBuf>,
}

impl ClientFiles {
    /// With paths relative to `base`.
    #[must_use]
    pub fn beside(self, base: &Path) -> Self {
        Self {
            ca: base.join(self.ca),
            certificate: self.certificate.map(|file| base.join(file)),
            key: self.key.map(|file| base.join(file)),
        }
    }

    /// All files, for [`super::Reloading`].
    pub fn paths(&self) -> Vec<PathBuf> {
        [Some(&self.ca), self.certificate.as_ref(), self.key.as_ref()].into_iter().flatten().cloned().collect()
    }
}

/// A client that trusts no server: for addresses without TLS, on a machine that may have no CA.
///
/// # Errors
/// This build has no TLS 1.3.
pub fn client_without_trust() -> Result<ClientConfig, StartError> {
    let unusable = |_| StartError::new("This build has no TLS 1.3.");
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(unusable)?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The client of a database: it trusts the CAs of one file and shows no certificate. It also accepts the key exchange
/// P-256: PostgreSQL up to version 17 offers nothing else unless its `ssl_ecdh_curve` is changed.
///
/// # Errors
/// The file cannot be used.
pub fn database_client(ca: &Path) -> Result<ClientConfig, StartError> {
    let (roots, _expiry) = files::authorities(ca)?;
    let unusable = |_| StartError::new("This build has no TLS 1.3.");
    let mut provider = Arc::unwrap_or_clone(provider());
    provider.kx_groups.push(aws_lc_rs::kx_group::SECP256R1);
    let builder =
        ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(VERSIONS).map_err(unusable)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Reads the files of a client.
///
/// # Errors
/// They cannot be used, or only one of certificate and key is named.
pub fn client_config(from: &ClientFiles) -> Result<Loaded<ClientConfig>, StartError> {
    let (roots, expiry) = files::authorities(&from.ca)?;
    let mut expiries = vec![expiry];
    let unusable = |_| StartError::new("This build has no TLS 1.3.");
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(unusable)?;
    let builder = builder.with_root_certificates(roots);
    let mut value = match (&from.certificate, &from.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let (chain, expiry) = files::certificates(certificate)?;
            expiries.push(expiry);
            builder.with_client_auth_cert(chain, files::private_key(key)?).map_err(|error| {
                let (certificate, key) = (certificate.display(), key.display());
                StartError::new(format!("{certificate} and {key} are not a pair that TLS can use ({error})."))
            })?
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(StartError::new(
                "Only one of certificate and key of a TLS client is named; give both or none.",
            ));
        }
    };
    value.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { value, expiries })
}
