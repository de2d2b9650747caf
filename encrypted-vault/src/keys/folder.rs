//! Everything in the vault's key folder, loaded and checked as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
use service_runtime::files::{check_private_directory, create_private_directory};
use service_runtime::key_folder::{
    IDENTITY, IDENTITY_DOCUMENT, KeyFolder, PINS, entries, read_key, refused, write_key,
};
use service_runtime::process::StartError;
use shared_proto::Rejected;
use shared_proto::envelope::{Inner, StoredKey};
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner, Pins};
use shared_proto::jwk::{PublicJwk, Thumbprint};
use shared_proto::secret::StorageKey;

/// Every long-lived key of a running vault.
pub struct LoadedKeys {
    /// This vault.
    pub id: VaultId,
    /// Identity key.
    pub identity: IdentityKey,
    /// The pinned manager.
    pub pins: Pins,
    /// Issuer of the pinned manager.
    pub issuer: Issuer,
    /// Transport key, for unwrapping transfer keys.
    pub transport: OaepPrivateDecryptingKey,
    /// Its public half.
    pub transport_public: PublicJwk,
    /// Its thumbprint.
    pub transport_kid: Thumbprint,
    /// Storage keys.
    pub storage: StorageKeys,
}

impl LoadedKeys {
    /// Loads and checks everything in the folder at `path`.
    ///
    /// # Errors
    /// A file is missing, foreign, readable by others, malformed or weak, or two files do not belong together.
    pub fn load(path: &Path, mode: Mode) -> Result<Self, StartError> {
        let folder = KeyFolder::at(path);
        folder.check_entries(&KNOWN, &NAMES_OF_THE_MANAGER, "manager")?;
        let (identity, document) = folder.identity(mode)?;
        let Owner::Vault(id) = document.id else {
            let fix = "restore the vault's own";
            return Err(refused(&folder.file(IDENTITY_DOCUMENT), "it is the identity of a manager", fix));
        };
        let pins = folder.pins(mode)?;
        let Owner::Manager(manager) = pins.id() else {
            return Err(refused(&folder.file(PINS), "it pins a vault", "put the manager's identity.json there"));
        };
        let transport = folder.rsa(TRANSPORT)?;
        let decrypting = transport.decrypting_key();
        Ok(Self {
            id,
            identity,
            issuer: Issuer { mode: pins.mode(), manager },
            pins,
            transport: decrypting
                .map_err(|Rejected| refused(&folder.file("transport.pem"), "it cannot decrypt", "make a new one"))?,
            transport_kid: transport.public().thumbprint(),
            transport_public: transport.public().clone(),
            storage: StorageKeys::load(&folder.file(STORAGE_KEYS))?,
        })
    }
}

/// `encrypted-vault init`: everything of a new vault except its RSA key, which `scripts/generate-keys.sh` makes.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn create(path: &Path, mode: Mode) -> Result<IdentityDocument, StartError> {
    create_private_directory(path)?;
    let folder = KeyFolder::at(path);
    let document = folder.create_identity(Owner::Vault(VaultId::generate()), mode)?;
    create_private_directory(&folder.file(STORAGE_KEYS))?;
    // EXPOSE: the storage key goes into its file.
    write_key(&folder.file(STORAGE_KEYS).join("1.key"), StorageKey::generate().expose())?;
    Ok(document)
}

/// The storage keys by number; the highest one wraps new rows.
pub struct StorageKeys {
    keys: BTreeMap<u32, StorageKey>,
}

impl StorageKeys {
    fn load(dir: &Path) -> Result<Self, StartError> {
        check_private_directory(dir)?;
        let mut keys = BTreeMap::new();
        for name in entries(dir)? {
            let path = dir.join(&name);
            let number = name.strip_suffix(".key").and_then(|stem| stem.parse::<u32>().ok());
            // `01.key` would silently take the place of `1.key`.
            let Some(number) = number.filter(|number| *number > 0 && name == format!("{number}.key")) else {
                return Err(refused(&path, "storage keys are named <number>.key", "move it away"));
            };
            keys.insert(number, StorageKey::from_bytes(read_key(&path)?));
        }
        if keys.is_empty() {
            return Err(refused(dir, "there is no storage key", "restore it from the backup"));
        }
        Ok(Self { keys })
    }

    /// The form at rest of a wrapped key, and the number of the storage key that wraps it.
    pub fn store(&self, inner: &Inner) -> Result<(u32, StoredKey), Rejected> {
        let (number, key) = self.keys.last_key_value().ok_or(Rejected)?;
        Ok((*number, inner.store_with(key)?))
    }

    /// The inverse of [`Self::store`].
    pub fn load_inner(&self, number: u32, stored: &StoredKey) -> Result<Inner, Rejected> {
        Inner::from_stored(self.keys.get(&number).ok_or(Rejected)?, stored)
    }
}

/// RSA key that transfer keys are encrypted to: `transport.pem`, PKCS#8.
const TRANSPORT: &str = "transport";
/// Folder of storage keys.
const STORAGE_KEYS: &str = "storage-keys";

const KNOWN: [&str; 6] = ["transport.pem", "transport.pub.pem", IDENTITY, IDENTITY_DOCUMENT, STORAGE_KEYS, PINS];

/// What the names of the manager's key files begin with.
const NAMES_OF_THE_MANAGER: [&str; 3] = ["token-signing", "root-key", "credential-hmac"];
