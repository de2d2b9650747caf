//! TLS of the server side.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
};
use serde::Deserialize;

use super::{Loaded, Reloading, VERSIONS, files, provider};
use crate::StartError;

/// `[tls]`: the files of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFiles {
    /// The certificate of this service, and those between it and its CA, in PEM. Required.
    pub certificate: PathBuf,
    /// Its private key in PEM, mode 0600. Required.
    pub key: PathBuf,
    /// The CA of the client that may send commands, in PEM. Default none: commands need no client certificate.
    pub client_ca: Option<PathBuf>,
    /// The DNS name or address in the certificate of that client. Required with `client_ca`.
    pub client_name: Option<String>,
}

impl ServerFiles {
    /// With paths relative to `base`.
    #[must_use]
    pub fn beside(mut self, base: &Path) -> Self {
        self.certificate = base.join(self.certificate);
        self.key = base.join(self.key);
        self.client_ca = self.client_ca.map(|file| base.join(file));
        self
    }

    /// Checks the settings without the files.
    ///
    /// # Errors
    /// A client is half named.
    pub fn check(&self) -> Result<(), StartError> {
        self.client().map(drop)
    }

    /// Checks the files as a start does.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn try_files(&self) -> Result<(), StartError> {
        self.load().map(drop)
    }

    fn client(&self) -> Result<Option<(&Path, ServerName<'static>)>, StartError> {
        match (&self.client_ca, &self.client_name) {
            (None, None) => Ok(None),
            (Some(authority), Some(name)) => match ServerName::try_from(name.clone()) {
                Ok(name) => Ok(Some((authority, name))),
                Err(_) => Err(StartError::new("tls.client_name is neither a DNS name nor an IP address.")),
            },
            (Some(_), None) | (None, Some(_)) => {
                Err(StartError::new("[tls] has only one of client_ca and client_name; give both or none."))
            }
        }
    }

    fn load(&self) -> Result<Loaded<ServerConfig>, StartError> {
        let (chain, expiry) = files::certificates(&self.certificate)?;
        let key = files::private_key(&self.key)?;
        let mut expiries = vec![expiry];
        let unusable = |_| StartError::new("This build has no TLS 1.3.");
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).map_err(unusable)?;
        let builder = match self.client()? {
            None => builder.with_no_client_auth(),
            Some((path, _)) => {
                let (roots, expiry) = files::authorities(path)?;
                expiries.push(expiry);
                builder.with_client_cert_verifier(verifier(path, roots)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| self.no_pair(&error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Loaded { value: config, expiries })
    }

    fn no_pair(&self, error: &rustls::Error) -> StartError {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        StartError::new(format!("{certificate} and {key} are not a pair that TLS can use ({error})."))
    }
}

/// Readers have no certificate; whose certificate is bad is refused all the same.
fn verifier(
    path: &Path,
    roots: Arc<RootCertStore>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, StartError> {
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|_| StartError::new(format!("{} holds no CA.", path.display())))
}

/// The identity that a client proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// No certificate was shown.
    Absent,
    /// Another certificate of the CA.
    Other,
    /// The certificate that the configuration names.
    Expected,
}

/// TLS of a listener.
pub struct ServerTls {
    config: Arc<Reloading<ServerConfig>>,
    client: Option<ServerName<'static>>,
}

impl ServerTls {
    /// Loads the files, and follows their changes.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn open(files: ServerFiles) -> Result<Self, StartError> {
        let client = files.client()?.map(|(_, name)| name);
        let paths = [Some(files.certificate.clone()), Some(files.key.clone()), files.client_ca.clone()];
        let config = Reloading::open(paths.into_iter().flatten().collect(), move || files.load())?;
        Ok(Self { config, client })
    }

    /// The terms of the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.current()
    }

    /// Whether commands need the certificate of a named client.
    pub fn names_a_client(&self) -> bool {
        self.client.is_some()
    }

    /// The owner of a certificate, which the handshake has verified.
    pub fn name_of(&self, chain: Option<&[CertificateDer<'_>]>) -> ClientName {
        let (Some(name), Some(own)) = (&self.client, chain.and_then(<[_]>::first)) else {
            return ClientName::Absent;
        };
        let verified = ParsedCertificate::try_from(own).and_then(|own| verify_server_name(&own, name));
        if verified.is_ok() { ClientName::Expected } else { ClientName::Other }
    }
}
