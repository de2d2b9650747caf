//! Earlier pins. While an identity changes two are accepted; afterwards the old one is set aside and accepted no more.

use shared_proto::identity::{IdentityDocument, Mode, Pins};
use shared_proto::jwk::Thumbprint;

use super::{cannot, in_place_since};
use crate::files::{create_private_directory, sync_parent};
use crate::key_folder::{KeyFolder, PINS, RETIRED, entries, read_document, refused};
use crate::process::StartError;

impl KeyFolder {
    /// Documents of identities of the pinned service that are accepted no more.
    ///
    /// # Errors
    /// One is not readable, or of another service.
    pub fn retired_pins(&self, pins: &Pins) -> Result<Vec<IdentityDocument>, StartError> {
        let folder = self.file(PINS).join(RETIRED);
        let names = if folder.exists() { entries(&folder)? } else { Vec::new() };
        let read = |name: String| {
            let path = folder.join(name);
            let document = read_document(&path)?;
            if (document.id, document.mode) == (pins.id(), pins.mode()) {
                Ok(document)
            } else {
                Err(refused(&path, "it is of another service than the pins", "move it away"))
            }
        };
        names.into_iter().map(read).collect()
    }

    /// The kids of the pinned identities, and since when each is pinned (Unix seconds).
    ///
    /// # Errors
    /// A pin cannot be read.
    pub fn pinned_since(&self) -> Result<Vec<(Thumbprint, u64)>, StartError> {
        let folder = self.file(PINS);
        let names = entries(&folder)?.into_iter().filter(|name| name != RETIRED);
        names
            .map(|name| {
                let path = folder.join(name);
                Ok((read_document(&path)?.key.thumbprint(), in_place_since(&path)?))
            })
            .collect()
    }

    /// Accepts one of two pinned identities no more.
    ///
    /// # Errors
    /// It is not pinned or the only one, or the folder cannot be changed.
    pub fn unpin(&self, kid: &Thumbprint, mode: Mode) -> Result<(), StartError> {
        let folder = self.file(PINS);
        let pins = self.pins(mode)?;
        if pins.key(kid).is_none() {
            return Err(StartError::new(format!(
                "No pinned identity has this kid; {} are pinned: see rotate-keys status.",
                pins.kids().count()
            )));
        }
        if pins.kids().count() < 2 {
            return Err(refused(&folder, "it is the only pin", "pin the other service's next identity first"));
        }
        let retired = folder.join(RETIRED);
        create_private_directory(&retired)?;
        for name in entries(&folder)?.into_iter().filter(|name| name != RETIRED) {
            let path = folder.join(&name);
            if read_document(&path)?.key.thumbprint() == *kid {
                let place = retired.join(format!("{}.json", shared_proto::encoding::b64(&kid.0)));
                std::fs::rename(&path, &place)
                    .and_then(|()| sync_parent(&place))
                    .and_then(|()| sync_parent(&path))
                    .map_err(|error| cannot(&path, "moved", &error))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::VaultId;
    use shared_proto::identity::{IdentityKey, Owner};

    use super::*;
    use crate::files::create_private;

    #[test]
    fn one_of_two_pins_is_set_aside_and_the_last_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(&dir.path().join("keys"));
        create_private_directory(&folder.file("")).unwrap();
        create_private_directory(&folder.file(PINS)).unwrap();
        let id = Owner::Vault(VaultId::generate());
        let documents: Vec<_> = ["old", "new"]
            .map(|name| {
                let key = IdentityKey::generate().unwrap().0.public().clone();
                let document = IdentityDocument { id, mode: Mode::Production, key };
                let json = serde_json::to_vec(&document).unwrap();
                create_private(&folder.file(PINS).join(format!("{name}.json")), &json).unwrap();
                document
            })
            .into();
        let [old, new] = [documents[0].key.thumbprint(), documents[1].key.thumbprint()];
        folder.unpin(&old, Mode::Production).unwrap();
        let pins = folder.pins(Mode::Production).unwrap();
        assert_eq!(pins.kids().collect::<Vec<_>>(), [&new]);
        assert_eq!(folder.retired_pins(&pins).unwrap(), documents[..1]);
        assert!(folder.unpin(&old, Mode::Production).unwrap_err().sentence.contains("No pinned identity"));
        assert!(folder.unpin(&new, Mode::Production).unwrap_err().sentence.contains("only pin"));
    }
}
