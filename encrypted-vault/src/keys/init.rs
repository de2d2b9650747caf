//! `encrypted-vault init`: everything of a new vault except its RSA key, which `scripts/generate-keys.sh` makes.

use std::path::Path;

use service_runtime::files::{create_private, create_private_directory};
use service_runtime::process::StartError;
use shared_proto::encoding::b64;
use shared_proto::id::VaultId;
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode, Owner};
use shared_proto::secret::StorageKey;
use zeroize::Zeroizing;

/// Makes identity and storage key. Overwrites nothing.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn init(dir: &Path, mode: Mode) -> Result<IdentityDocument, StartError> {
    create_private_directory(dir)?;
    create_private_directory(&dir.join("pins"))?;
    create_private_directory(&dir.join("storage-keys"))?;
    let (identity, pem) =
        IdentityKey::generate().map_err(|_| StartError::new("No identity key could be generated."))?;
    let document = IdentityDocument { id: Owner::Vault(VaultId::generate()), mode, key: identity.public().clone() };
    create_private(&dir.join("identity.pem"), pem.as_bytes())?;
    // EXPOSE: the storage key goes into its file.
    let storage = Zeroizing::new(format!("{}\n", *Zeroizing::new(b64(StorageKey::generate().expose()))));
    create_private(&dir.join("storage-keys/1.key"), storage.as_bytes())?;
    let json = serde_json::to_string_pretty(&document)
        .map_err(|_| StartError::new("The identity document could not be written."))?;
    create_private(&dir.join("identity.json"), format!("{json}\n").as_bytes())?;
    Ok(document)
}
