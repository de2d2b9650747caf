//! Everything in the manager's key folder, loaded and checked as a whole.

use std::path::Path;

use service_runtime::StartError;
use service_runtime::key_folder::{IDENTITY, IDENTITY_DOCUMENT, KeyFolder, PINS, read_key, refused};
use shared_proto::identity::{IdentityKey, Owner, Pins};

use super::{RootKeys, TokenSigner, names};
use crate::identity::CredentialHasher;
use crate::store::Installation;

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

impl LoadedKeys {
    /// Loads and checks everything in the folder at `path`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its repair.
    pub fn load(path: &Path, installation: &Installation) -> Result<Self, StartError> {
        let folder = KeyFolder::at(path);
        folder.check_entries(&KNOWN, &NAMES_OF_THE_VAULT, "vault")?;
        let token_signer = TokenSigner::new(&folder.rsa(names::TOKEN_SIGNING)?)
            .map_err(|_| refused(&folder.file("token-signing.pem"), "it cannot sign", "make a new one"))?;
        let (identity, document) = folder.identity(installation.mode)?;
        if document.id != Owner::Manager(installation.manager) {
            return Err(refused(
                &folder.file(IDENTITY_DOCUMENT),
                "it names another manager than the database",
                "restore key folder and database of one backup",
            ));
        }
        let pins = folder.pins(installation.mode)?;
        match pins.id() {
            Owner::Vault(_) => {}
            Owner::Manager(_) => {
                let fix = "put the vault's identity.json there";
                return Err(refused(&folder.file(PINS), "it pins a manager", fix));
            }
        }
        let roots = RootKeys::load(&folder.file(names::ROOT_KEYS), &installation.environments)?;
        Ok(Self { token_signer, identity, roots, credentials: credential_hasher(&folder)?, pins })
    }
}

/// The key of credential hashes alone, for `init` and `admin reset`.
///
/// # Errors
/// The file is missing, open to others or not a key.
pub fn credential_hasher(folder: &KeyFolder) -> Result<CredentialHasher, StartError> {
    // EXPOSE: the key goes into the HMAC.
    read_key(&folder.file(names::CREDENTIAL_HMAC)).map(|key| CredentialHasher::new(&key))
}

const KNOWN: [&str; 7] = [
    "token-signing.pem",
    "token-signing.pub.pem",
    IDENTITY,
    IDENTITY_DOCUMENT,
    names::CREDENTIAL_HMAC,
    names::ROOT_KEYS,
    PINS,
];

/// What the names of the vault's key files begin with.
const NAMES_OF_THE_VAULT: [&str; 3] = ["transport", "storage-key", "seal-"];
