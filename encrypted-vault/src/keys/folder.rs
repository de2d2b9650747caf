//! The vault's key folder, loaded and checked as a whole.

use std::path::Path;

use aws_lc_rs::rsa::OaepPrivateDecryptingKey;
use service_runtime::StartError;
use service_runtime::files::create_private_directory;
use service_runtime::key_folder::{
    IDENTITY, IDENTITY_DOCUMENT, IDENTITY_NEXT_DOCUMENT, KeyFolder, PINS, refused, write_key,
};
use service_runtime::key_slots::{IDENTITY_NEXT, IDENTITY_RETIRED, RsaSlot};
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner, Pins};
use shared_proto::jwk::{Curve, PublicJwk, Thumbprint};
use shared_proto::secret::StorageKey;
use shared_proto::{Malformed, Rejected};

use super::StorageKeys;

/// Every long-lived key of a running vault.
pub struct LoadedKeys {
    /// This vault.
    pub id: VaultId,
    /// Identity key.
    pub identity: IdentityKey,
    /// The next identity key.
    pub next_identity: Option<Thumbprint>,
    /// The pinned manager.
    pub pins: Pins,
    /// Issuer of the pinned manager.
    pub issuer: Issuer,
    /// Transport keys: the one in use, and the previous one while it is accepted.
    pub transport: Vec<TransportKey>,
    /// Whether a next transport key exists.
    pub transport_waits: bool,
    /// Storage keys.
    pub storage: StorageKeys,
    earlier_pins: Vec<(Thumbprint, [u8; 32])>,
}

/// A transport key.
pub struct TransportKey {
    /// The private half, which unwraps transfer keys.
    pub private: OaepPrivateDecryptingKey,
    /// The public half.
    pub public: PublicJwk,
    /// Its thumbprint.
    pub kid: Thumbprint,
    /// When it came into use (Unix seconds).
    pub since: u64,
}

impl LoadedKeys {
    /// Loads and checks everything in the folder at `path`, after finishing interrupted steps.
    ///
    /// # Errors
    /// A file is missing, foreign, readable by others, malformed or weak, or two files do not belong together.
    pub fn load(path: &Path, mode: Mode) -> Result<Self, StartError> {
        let folder = KeyFolder::at(path);
        folder.finish_document()?;
        folder.finish_rsa(TRANSPORT)?;
        folder.check_entries(&KNOWN, &NAMES_OF_THE_MANAGER, "manager")?;
        let identity = folder.identity_slots(mode)?;
        let Owner::Vault(id) = identity.document.id else {
            let fix = "restore the vault's own";
            return Err(refused(&folder.file(IDENTITY_DOCUMENT), "it is the identity of a manager", fix));
        };
        let pins = folder.pins(mode)?;
        let Owner::Manager(manager) = pins.id() else {
            return Err(refused(&folder.file(PINS), "it pins a vault", "put the manager's identity.json there"));
        };
        let earlier_pins = folder.retired_pins(&pins)?.iter().map(ed25519).collect::<Result<_, Malformed>>();
        let slots = folder.rsa_slots(TRANSPORT)?;
        let transport = std::iter::once(slots.active).chain(slots.previous).map(|slot| TransportKey::new(&slot));
        Ok(Self {
            id,
            next_identity: identity.next.map(|next| next.key.kid()),
            identity: identity.active,
            issuer: Issuer { mode: pins.mode(), manager },
            earlier_pins: earlier_pins
                .map_err(|error| refused(&folder.file(PINS), error.0, "remove the retired pin that is not one"))?,
            pins,
            transport: transport
                .collect::<Result<_, Rejected>>()
                .map_err(|Rejected| refused(&folder.file("transport.pem"), "it cannot decrypt", "make a new one"))?,
            transport_waits: slots.next.is_some(),
            storage: StorageKeys::load(&folder.file(STORAGE_KEYS))?,
        })
    }

    /// The transport key that the manager chose.
    pub fn transport(&self, kid: &Thumbprint) -> Option<&TransportKey> {
        self.transport.iter().find(|key| key.kid == *kid)
    }

    /// The manager's key with this kid for events, which can be older than the pins. Only the order of events is
    /// trusted, and it comes with a command that a pinned key signed.
    pub fn event_key(&self, kid: &Thumbprint) -> Option<&[u8; 32]> {
        let earlier = || self.earlier_pins.iter().find(|(known, _)| known == kid).map(|(_, key)| key);
        self.pins.key(kid).or_else(earlier)
    }
}

impl TransportKey {
    fn new(slot: &RsaSlot) -> Result<Self, Rejected> {
        let public = slot.key.public().clone();
        Ok(Self { private: slot.key.decrypting_key()?, kid: public.thumbprint(), public, since: slot.since })
    }
}

/// The id of the vault that owns this key folder.
///
/// # Errors
/// Its identity is missing, open to others, malformed or of the other mode.
pub fn own_id(path: &Path, mode: Mode) -> Result<VaultId, StartError> {
    let folder = KeyFolder::at(path);
    match folder.identity_slots(mode)?.document.id {
        Owner::Vault(id) => Ok(id),
        Owner::Manager(_) => Err(refused(&folder.file(IDENTITY_DOCUMENT), "it names a manager", "restore the vault's")),
    }
}

/// Looks for keys of a vault, before anything is made.
///
/// # Errors
/// There are some.
pub fn refuse_existing(path: &Path) -> Result<(), StartError> {
    let folder = KeyFolder::at(path);
    let mut found = [IDENTITY, IDENTITY_DOCUMENT, "storage-keys/1.key"].into_iter().map(|name| folder.file(name));
    match found.find(|path| std::fs::symlink_metadata(path).is_ok()) {
        None => Ok(()),
        Some(path) => Err(StartError::new(format!(
            "{} exists and is not overwritten; a vault is made once. Move key and data folder away to make another.",
            path.display()
        ))),
    }
}

/// `encrypted-vault init`: makes every key of a new vault. A transport key that the operator has placed stays. Returns
/// the identity document and the transport key's thumbprint.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn create(path: &Path, mode: Mode) -> Result<(IdentityDocument, Thumbprint), StartError> {
    create_private_directory(path)?;
    let folder = KeyFolder::at(path);
    let document = folder.create_identity(Owner::Vault(VaultId::generate()), mode)?;
    create_private_directory(&folder.file(STORAGE_KEYS))?;
    // EXPOSE: the storage key goes into its file.
    write_key(&folder.file(STORAGE_KEYS).join("1.key"), StorageKey::generate().expose())?;
    let transport = folder.create_rsa(TRANSPORT, TRANSPORT_BITS)?;
    Ok((document, transport))
}

fn ed25519(document: &IdentityDocument) -> Result<(Thumbprint, [u8; 32]), Malformed> {
    Ok((document.key.thumbprint(), *document.key.okp(Curve::Ed25519)?))
}

/// RSA key that transfer keys are encrypted to: `transport.pem`, PKCS#8.
pub const TRANSPORT: &str = "transport";
/// The size of the transport key, which must protect recorded traffic for years.
const TRANSPORT_BITS: usize = 3_072;
/// Folder of storage keys.
pub const STORAGE_KEYS: &str = "storage-keys";

const KNOWN: [&str; 11] = [
    "transport.pem",
    "transport.pub.pem",
    "transport-next.pem",
    "transport-previous.pem",
    IDENTITY,
    IDENTITY_DOCUMENT,
    IDENTITY_NEXT,
    IDENTITY_NEXT_DOCUMENT,
    IDENTITY_RETIRED,
    STORAGE_KEYS,
    PINS,
];

/// Prefixes of the names of the manager's key files.
const NAMES_OF_THE_MANAGER: [&str; 3] = ["token-signing", "root-key", "credential-hmac"];
