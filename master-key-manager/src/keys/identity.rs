//! The manager's identity, and the vault's as it was pinned by an operator.

use std::path::Path;

use service_runtime::StartError;
use service_runtime::files::{check_private_directory, read_private};
use shared_proto::encoding::{b64, from_json};
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode, Owner, Pins};
use shared_proto::jwk::PublicJwk;

use super::folder::entries;
use crate::store::Installation;

/// How a public key is shown to people: its kid.
pub fn fingerprint(key: &PublicJwk) -> String {
    b64(&key.thumbprint().0)
}

pub(super) fn read_identity(path: &Path) -> Result<IdentityKey, StartError> {
    let bytes = read_private(path)?;
    let pem = std::str::from_utf8(&bytes).unwrap_or_default();
    IdentityKey::from_pem(pem).map_err(|error| {
        StartError::new(format!("{} is not usable: {error}; restore it from the backup.", path.display()))
    })
}

/// The document must say what the key and the database say: it is what the vault pinned.
pub(super) fn check_document(path: &Path, key: &IdentityKey, installation: &Installation) -> Result<(), StartError> {
    let document = read_document(path)?;
    let wrong = |what: &str| {
        Err(StartError::new(format!("{} {what}; restore key folder and database of one backup.", path.display())))
    };
    if document.key != *key.public() {
        return wrong("is not of the key in identity.pem");
    }
    if document.id != Owner::Manager(installation.manager) {
        return wrong("names another manager than the database");
    }
    if document.mode != installation.mode {
        return wrong(&format!("says {}, the database says {}", document.mode, installation.mode));
    }
    Ok(())
}

/// Reads the pinned identity documents of the vault.
///
/// # Errors
/// There is none, there are more than two, or one is not of a vault in this mode.
pub fn read_pins(folder: &Path, mode: Mode) -> Result<Pins, StartError> {
    check_private_directory(folder)?;
    let shown = folder.display();
    let mut documents = Vec::new();
    for name in entries(folder)? {
        let path = folder.join(&name);
        if path.extension().is_none_or(|extension| extension != "json") {
            return Err(StartError::new(format!("{} is not a pin (*.json); move it away.", path.display())));
        }
        documents.push(read_document(&path)?);
    }
    let pins = Pins::new(&documents).map_err(|error| {
        StartError::new(format!(
            "{shown}: {error}; put one copy of the vault's identity.json there, two while it changes."
        ))
    })?;
    match pins.id() {
        Owner::Vault(_) => {}
        Owner::Manager(_) => {
            return Err(StartError::new(format!("{shown} pins a manager; put the vault's identity.json there.")));
        }
    }
    if pins.mode() != mode {
        return Err(StartError::new(format!(
            "The vault pinned in {shown} is in {} mode and this manager in {mode} mode; pin a vault of the same mode.",
            pins.mode()
        )));
    }
    Ok(pins)
}

fn read_document(path: &Path) -> Result<IdentityDocument, StartError> {
    from_json(&read_private(path)?).map_err(|_| {
        StartError::new(format!("{} is not an identity document; copy it again from its service.", path.display()))
    })
}
