//! Where the keys lie, and the checks that the folder as a whole must pass.

use std::path::{Path, PathBuf};

use service_runtime::StartError;
use service_runtime::files::{check_private_directory, read_private};
use shared_proto::encoding::from_b64_secret;
use shared_proto::identity::{IdentityKey, Pins};
use zeroize::Zeroizing;

use super::identity::{check_document, read_identity, read_pins};
use super::{RootKeys, TokenSigner, names};
use crate::identity::CredentialHasher;
use crate::store::Installation;

/// A key folder.
#[derive(Clone, Debug)]
pub struct KeyFolder(PathBuf);

/// Every key of a running manager.
pub struct LoadedKeys {
    /// Signs access tokens.
    pub token_signer: TokenSigner,
    /// Signs commands, events and key statements.
    pub identity: IdentityKey,
    /// Root keys by environment and epoch.
    pub roots: RootKeys,
    /// Hashes service credentials.
    pub credentials: CredentialHasher,
    /// The vault's identity.
    pub pins: Pins,
}

impl KeyFolder {
    /// The folder at `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Loads and checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong, with its repair.
    pub fn load(&self, installation: &Installation) -> Result<LoadedKeys, StartError> {
        self.check_entries()?;
        let token_signer =
            TokenSigner::load(&self.file(names::TOKEN_SIGNING), &self.file(names::TOKEN_SIGNING_PUBLIC))?;
        let identity = read_identity(&self.file(names::IDENTITY))?;
        check_document(&self.file(names::IDENTITY_DOCUMENT), &identity, installation)?;
        Ok(LoadedKeys {
            token_signer,
            identity,
            roots: RootKeys::load(&self.file(names::ROOT_KEYS), &installation.environments)?,
            credentials: self.credential_hasher()?,
            pins: read_pins(&self.file(names::PINS), installation.mode)?,
        })
    }

    /// The key of credential hashes alone, for `admin reset`.
    ///
    /// # Errors
    /// The file is missing, open to others or not a key.
    pub fn credential_hasher(&self) -> Result<CredentialHasher, StartError> {
        // EXPOSE: the key goes into the HMAC.
        read_key_file(&self.file(names::CREDENTIAL_HMAC)).map(|key| CredentialHasher::new(&key))
    }

    fn check_entries(&self) -> Result<(), StartError> {
        check_private_directory(&self.0)?;
        let known = [
            names::TOKEN_SIGNING,
            names::TOKEN_SIGNING_PUBLIC,
            names::IDENTITY,
            names::IDENTITY_DOCUMENT,
            names::CREDENTIAL_HMAC,
            names::ROOT_KEYS,
            names::PINS,
        ];
        for name in entries(&self.0)? {
            let shown = self.file(&name);
            let shown = shown.display();
            if VAULT_NAMES.iter().any(|vault| name.starts_with(vault)) {
                return Err(StartError::new(format!(
                    "{shown} belongs to the vault, and the manager must never hold a key of the vault; move it to the \
                     vault's key folder and, if this machine is not the vault's, replace that key."
                )));
            }
            if !known.contains(&name.as_str()) {
                return Err(StartError::new(format!(
                    "{shown} is not a file of the manager's key folder; move it away."
                )));
            }
        }
        Ok(())
    }
}

/// The names in a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>, StartError> {
    let cannot =
        |error: std::io::Error| StartError::new(format!("The folder {} cannot be listed ({error}).", folder.display()));
    let mut names = std::fs::read_dir(folder)
        .map_err(cannot)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    names.sort_unstable();
    Ok(names)
}

/// Reads a file of `b64` of 32 bytes and a newline.
pub(super) fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, StartError> {
    let bytes = read_private(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    from_b64_secret::<32>(text.strip_suffix('\n').unwrap_or(text)).map_err(|_| {
        StartError::new(format!(
            "{} is not a key (base64url of 32 bytes and a newline); restore it from the backup.",
            path.display()
        ))
    })
}

/// What the names of the vault's key files begin with.
const VAULT_NAMES: [&str; 3] = ["transport", "storage-key", "seal-"];
