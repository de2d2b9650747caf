//! The key folder: what must be in it, what must not, and the checks at start.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
use service_runtime::files::{check_private_directory, read_private};
use service_runtime::process::StartError;
use shared_proto::encoding::from_b64_secret;
use shared_proto::envelope::{Inner, StoredKey};
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner, Pins};
use shared_proto::jwk::{PublicJwk, Thumbprint};
use shared_proto::rsa_key::RsaPrivate;
use shared_proto::secret::StorageKey;
use shared_proto::{Malformed, Rejected};

/// Everything in the key folder, checked.
pub struct KeyFolder {
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

impl KeyFolder {
    /// Loads and checks the folder.
    ///
    /// # Errors
    /// A file is missing, foreign, readable by others, malformed or weak, or two files do not belong together.
    pub fn load(dir: &Path, mode: Mode) -> Result<Self, StartError> {
        check_private_directory(dir)?;
        refuse_foreign_files(dir)?;
        let identity = IdentityKey::from_pem(&read_text(&dir.join("identity.pem"))?)
            .map_err(|Malformed(reason)| refuse(&dir.join("identity.pem"), reason))?;
        let (id, document) = own_document(dir, mode)?;
        if document.key != *identity.public() {
            return Err(refuse(&dir.join("identity.json"), "it does not belong to identity.pem"));
        }
        let pins = load_pins(&dir.join("pins"), mode)?;
        let Owner::Manager(manager) = pins.id() else {
            return Err(refuse(&dir.join("pins"), "the pinned identity is not that of a manager"));
        };
        let transport = load_rsa(dir, "transport")?;
        Ok(Self {
            id,
            identity,
            issuer: Issuer { mode: pins.mode(), manager },
            pins,
            transport: transport.decrypting_key().map_err(|Rejected| unusable(&dir.join("transport.pem")))?,
            transport_kid: transport.public().thumbprint(),
            transport_public: transport.public().clone(),
            storage: StorageKeys::load(&dir.join("storage-keys"))?,
        })
    }
}

/// The storage keys by number; the highest one wraps new rows.
pub struct StorageKeys {
    keys: BTreeMap<u32, StorageKey>,
}

impl StorageKeys {
    fn load(dir: &Path) -> Result<Self, StartError> {
        check_private_directory(dir)?;
        let mut keys = BTreeMap::new();
        for name in names_in(dir)? {
            let path = dir.join(&name);
            let number = name.strip_suffix(".key").and_then(|stem| stem.parse::<u32>().ok());
            // `01.key` would silently take the place of `1.key`.
            let Some(number) = number.filter(|number| *number > 0 && name == format!("{number}.key")) else {
                return Err(refuse(&path, "storage keys are named <number>.key"));
            };
            let key = from_b64_secret(read_text(&path)?.trim_end())
                .map_err(|_| refuse(&path, "it is not the base64url text of 32 bytes"))?;
            keys.insert(number, StorageKey::from_bytes(key));
        }
        if keys.is_empty() {
            return Err(refuse(dir, "there is no storage key; run `encrypted-vault init` or restore the backup"));
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

/// This vault's own identity document.
pub(super) fn own_document(dir: &Path, mode: Mode) -> Result<(VaultId, IdentityDocument), StartError> {
    let path = dir.join("identity.json");
    let document = read_document(&path)?;
    if document.mode != mode {
        return Err(refuse(&path, "it was made in the other mode; development and production never share keys"));
    }
    match document.id {
        Owner::Vault(id) => Ok((id, document)),
        Owner::Manager(_) => Err(refuse(&path, "it is the identity of a manager")),
    }
}

/// Reads a private text file.
fn read_text(path: &Path) -> Result<zeroize::Zeroizing<String>, StartError> {
    let mut bytes = read_private(path)?;
    String::from_utf8(std::mem::take(&mut *bytes))
        .map(zeroize::Zeroizing::new)
        .map_err(|_| refuse(path, "it is not a text file"))
}

fn read_document(path: &Path) -> Result<IdentityDocument, StartError> {
    serde_json::from_str(&read_text(path)?).map_err(|_| refuse(path, "it is not an identity document"))
}

fn load_pins(dir: &Path, mode: Mode) -> Result<Pins, StartError> {
    check_private_directory(dir)?;
    let documents = names_in(dir)?.iter().map(|name| read_document(&dir.join(name))).collect::<Result<Vec<_>, _>>()?;
    let pins = Pins::new(&documents)
        .map_err(|Malformed(reason)| refuse(dir, &format!("{reason}; copy the manager's identity.json there")))?;
    if pins.mode() != mode {
        return Err(refuse(dir, "the pinned manager is in the other mode"));
    }
    Ok(pins)
}

fn load_rsa(dir: &Path, name: &str) -> Result<RsaPrivate, StartError> {
    let path = dir.join(format!("{name}.pem"));
    let key = RsaPrivate::from_pem(&read_text(&path)?)
        .map_err(|error| refuse(&path, &format!("{error}; make one with scripts/generate-keys.sh")))?;
    let public = dir.join(format!("{name}.pub.pem"));
    if public.exists() && !key.matches_public_pem(&read_text(&public)?) {
        return Err(refuse(&public, &format!("it does not belong to {name}.pem")));
    }
    Ok(key)
}

// A key of the manager in this folder would join what the design keeps apart, so nothing unknown may lie here.
fn refuse_foreign_files(dir: &Path) -> Result<(), StartError> {
    const KNOWN: &[&str] =
        &["identity.pem", "identity.json", "transport.pem", "transport.pub.pem", "storage-keys", "pins"];
    match names_in(dir)?.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
        Some(name) => Err(refuse(&dir.join(name), "it does not belong into the vault's key folder; move it out")),
        None => Ok(()),
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>, StartError> {
    let listing = std::fs::read_dir(dir).map_err(|error| refuse(dir, &error.to_string()))?;
    listing
        .map(|entry| {
            let entry = entry.map_err(|error| refuse(dir, &error.to_string()))?;
            entry.file_name().into_string().map_err(|_| refuse(dir, "it holds a file name that is not UTF-8"))
        })
        .collect()
}

fn unusable(path: &Path) -> StartError {
    refuse(path, "the key cannot be used")
}

fn refuse(path: &Path, reason: &str) -> StartError {
    StartError::new(format!("{} is refused: {reason}.", path.display()))
}
