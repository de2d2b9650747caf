//! The manager's key folder, loaded and checked as a whole.

use std::path::Path;
use std::sync::Arc;

use service_runtime::StartError;
use service_runtime::files::sweep;
use service_runtime::key_folder::{
    IDENTITY, IDENTITY_DOCUMENT, IDENTITY_NEXT_DOCUMENT, KeyFolder, PINS, read_key, refused,
};
use service_runtime::key_slots::{IDENTITY_NEXT, IDENTITY_RETIRED, NextIdentity, RsaSlot};
use shared_proto::Rejected;
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Owner, Pins};
use shared_proto::secret::FingerprintKey;

use super::{RootKeys, SignOnKeys, TokenKey, TokenKeys, names};
use crate::access::CredentialHasher;
use manager_store::{Environment, Installation};

/// Every key of a manager.
pub struct LoadedKeys {
    /// Sign access tokens.
    pub tokens: TokenKeys,
    /// Signs commands, events and key statements.
    pub identity: Arc<IdentityKey>,
    /// When the identity key came into use (Unix seconds).
    pub identity_since: u64,
    /// The next identity key.
    pub next_identity: Option<NextIdentity>,
    /// Earlier identities of this manager: events that they signed are its own.
    pub retired_identities: Vec<IdentityDocument>,
    /// Root keys by environment and epoch.
    pub roots: RootKeys,
    /// Hashes service credentials.
    pub credentials: CredentialHasher,
    /// The keys of value fingerprints are derived from it.
    pub fingerprints: FingerprintKey,
    /// The means by which people sign on depend on it.
    pub sign_on: Arc<SignOnKeys>,
    /// The vault's identity.
    pub pins: Pins,
    /// The vault.
    pub vault: VaultId,
}

impl LoadedKeys {
    /// As [`Self::load`], after finishing the environments that were being made. For the start of the service.
    ///
    /// # Errors
    /// The first thing that is wrong, with its repair.
    pub fn at_start(
        path: &Path,
        installation: &Installation,
        environments: &[Environment],
    ) -> Result<Self, StartError> {
        RootKeys::finish(&KeyFolder::at(path).file(names::ROOT_KEYS), environments)?;
        Self::load(path, installation, environments)
    }

    /// Loads and checks everything in the folder at `path`, after finishing what a crash cut short. For the service.
    ///
    /// # Errors
    /// The first thing that is wrong, with its repair.
    pub fn load(path: &Path, installation: &Installation, environments: &[Environment]) -> Result<Self, StartError> {
        let folder = KeyFolder::at(path);
        for place in [folder.file(""), folder.file(names::ROOT_KEYS)] {
            sweep(&place).map_err(|error| refused(&place, &error.to_string(), "repair it"))?;
        }
        folder.finish_document()?;
        folder.finish_rsa(names::TOKEN_SIGNING)?;
        Self::read(path, installation, environments)
    }

    /// Loads and checks everything in the folder at `path` and changes nothing there, for commands beside the service.
    ///
    /// # Errors
    /// The first thing that is wrong, with its repair.
    pub fn read(path: &Path, installation: &Installation, environments: &[Environment]) -> Result<Self, StartError> {
        let folder = KeyFolder::at(path);
        folder.check_entries(&KNOWN, &NAMES_OF_THE_VAULT, "vault")?;
        let slots = folder.rsa_slots(names::TOKEN_SIGNING)?;
        let token_key = |slot: &RsaSlot| {
            let path = folder.file("token-signing.pem");
            TokenKey::new(slot).map_err(|Rejected| refused(&path, "it cannot sign", "make a new one"))
        };
        let tokens = TokenKeys {
            next: slots.next.as_ref().map(token_key).transpose()?,
            active: token_key(&slots.active)?,
            previous: slots.previous.as_ref().map(token_key).transpose()?,
        };
        let identity = folder.identity_slots(installation.mode)?;
        if identity.document.id != Owner::Manager(installation.manager) {
            return Err(refused(
                &folder.file(IDENTITY_DOCUMENT),
                "it names another manager than the database",
                "restore key folder and database of one backup",
            ));
        }
        let pins = folder.pins(installation.mode)?;
        let Owner::Vault(vault) = pins.id() else {
            let fix = "put the vault's identity.json there";
            return Err(refused(&folder.file(PINS), "it pins a manager", fix));
        };
        let credentials = credential_hasher(&folder)?;
        Ok(Self {
            tokens,
            identity: Arc::new(identity.active),
            identity_since: identity.since,
            next_identity: identity.next,
            retired_identities: identity.retired,
            roots: RootKeys::load(&folder.file(names::ROOT_KEYS), environments)?,
            fingerprints: credentials.fingerprints(),
            credentials,
            sign_on: Arc::new(SignOnKeys::load(&folder)?),
            pins,
            vault,
        })
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

const KNOWN: [&str; 14] = [
    "token-signing.pem",
    "token-signing-next.pem",
    "token-signing-previous.pem",
    "token-signing.pub.pem",
    IDENTITY,
    IDENTITY_DOCUMENT,
    IDENTITY_NEXT,
    IDENTITY_NEXT_DOCUMENT,
    IDENTITY_RETIRED,
    names::CREDENTIAL_HMAC,
    names::REGISTRY_ANCHOR,
    names::SIGN_ON,
    names::ROOT_KEYS,
    PINS,
];

/// Prefixes of the names of the vault's key files.
const NAMES_OF_THE_VAULT: [&str; 3] = ["transport", "storage-key", "seal-"];
