//! The pins and their change. While an identity changes, two are accepted. Afterwards the old one is set aside and no
//! longer accepted.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use shared_proto::encoding::{b64, from_json};
use shared_proto::identity::{IdentityDocument, Mode, Owner, Pins};
use shared_proto::jwk::Thumbprint;

use super::{cannot, in_place_since};
use crate::StartError;
use crate::files::{check_private_directory, create_private_directory, create_private_whole, sync_parent};
use crate::key_folder::{KeyFolder, PINS, RETIRED, entries, read_document, refused};

impl KeyFolder {
    /// Pins the identity document in `file`, which may lie anywhere (`-`: standard input), and returns its thumbprint. With
    /// `expected` it must be that one. Pinning it again changes nothing.
    ///
    /// # Errors
    /// The file is no identity document of the other kind of service in this mode, has another thumbprint, does not
    /// belong to the service that is pinned, would be the third pin, or the folder cannot be changed.
    pub fn pin(
        &self,
        file: &Path,
        expected: Option<&Thumbprint>,
        mode: Mode,
        is_other: impl Fn(&Owner) -> bool,
    ) -> Result<Thumbprint, StartError> {
        const COPY: &str = "copy identity.json from the other service's key folder again";
        let folder = self.file(PINS);
        check_private_directory(&folder)?;
        let document = read_document_of_anybody(file)?;
        let kid = document.key.thumbprint();
        if !is_other(&document.id) {
            return Err(refused(
                file,
                &format!("it is the identity of {}, not of the other service", document.id),
                COPY,
            ));
        }
        if document.mode != mode {
            let reason = format!("it was made in {} mode and this service runs in {mode} mode", document.mode);
            return Err(refused(file, &reason, "pin a service of the same mode"));
        }
        if expected.is_some_and(|expected| *expected != kid) {
            let reason = format!("its fingerprint is {}, not the expected one", b64(&kid.0));
            return Err(refused(file, &reason, "do not pin it; find out where it comes from"));
        }
        let mut documents: Vec<_> = entries(&folder)?
            .into_iter()
            .filter(|name| name != RETIRED)
            .map(|name| read_document(&folder.join(name)))
            .collect::<Result<_, _>>()?;
        if documents.contains(&document) {
            return Ok(kid);
        }
        let json = serde_json::to_vec(&document).map_err(|_| StartError::new("The pin cannot be written."))?;
        documents.push(document);
        Pins::new(&documents).map_err(|error| refused(file, error.0, "remove the pin that is over with `unpin`"))?;
        create_private_whole(&folder.join(format!("{}.json", b64(&kid.0))), &json)?;
        Ok(kid)
    }

    /// Documents of identities of the pinned service that are no longer accepted.
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

    /// The kids of the pinned identities, each with the time at which it was pinned (Unix seconds).
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

    /// Stops accepting one of two pinned identities.
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
                let place = retired.join(format!("{}.json", b64(&kid.0)));
                std::fs::rename(&path, &place)
                    .and_then(|()| sync_parent(&place))
                    .and_then(|()| sync_parent(&path))
                    .map_err(|error| cannot(&path, "moved", &error))?;
            }
        }
        Ok(())
    }
}

/// Reads a public document that was carried here: its file may be readable by others.
fn read_document_of_anybody(file: &Path) -> Result<IdentityDocument, StartError> {
    let mut text = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(MAX_DOCUMENT_BYTES).read_to_end(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(MAX_DOCUMENT_BYTES).read_to_end(&mut text))
    };
    read.map_err(|error| StartError::new(format!("{} cannot be read ({error}).", file.display())))?;
    from_json(&text).map_err(|_| {
        refused(file, "it is not an identity document", "copy identity.json from the other service's key folder again")
    })
}

/// An identity document has some 200 bytes.
const MAX_DOCUMENT_BYTES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use shared_proto::id::{ManagerId, VaultId};
    use shared_proto::identity::{IdentityKey, Owner};

    use super::*;
    use crate::files::create_private;

    fn empty_folder() -> (tempfile::TempDir, KeyFolder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(&dir.path().join("keys"));
        create_private_directory(&folder.file("")).unwrap();
        create_private_directory(&folder.file(PINS)).unwrap();
        (dir, folder)
    }

    fn document(id: Owner, mode: Mode) -> IdentityDocument {
        IdentityDocument { id, mode, key: IdentityKey::generate().unwrap().0.public().clone() }
    }

    #[test]
    fn only_the_expected_identity_of_the_other_service_is_pinned_and_never_a_third_one() {
        let (dir, folder) = empty_folder();
        let carried = dir.path().join("carried.json");
        let pin = |document: &IdentityDocument, expected: Option<&Thumbprint>| {
            std::fs::write(&carried, serde_json::to_vec(document).unwrap()).unwrap();
            folder.pin(&carried, expected, Mode::Production, |owner| matches!(owner, Owner::Vault(_)))
        };
        let id = Owner::Vault(VaultId::generate());
        let [first, second, third] = [(); 3].map(|()| document(id, Mode::Production));
        let kid = first.key.thumbprint();
        let says = |result: Result<Thumbprint, StartError>, part: &str| {
            let sentence = result.unwrap_err().sentence;
            assert!(sentence.contains(part), "{sentence}");
        };
        says(pin(&document(Owner::Manager(ManagerId::generate()), Mode::Production), None), "not of the other service");
        says(pin(&document(id, Mode::Development), None), "development mode");
        says(pin(&first, Some(&second.key.thumbprint())), "not the expected one");
        std::fs::write(&carried, "{}").unwrap();
        says(folder.pin(&carried, None, Mode::Production, |_| true), "not an identity document");
        assert!(folder.pins(Mode::Production).is_err(), "a refused document was pinned");
        assert_eq!(pin(&first, Some(&kid)).unwrap(), kid);
        assert_eq!(pin(&first, None).unwrap(), kid);
        says(pin(&document(Owner::Vault(VaultId::generate()), Mode::Production), None), "not of one service");
        pin(&second, None).unwrap();
        says(pin(&third, None), "more than two");
        assert_eq!(folder.pins(Mode::Production).unwrap().kids().count(), 2);
    }

    #[test]
    fn one_of_two_pins_is_set_aside_and_the_last_one_stays() {
        let (_dir, folder) = empty_folder();
        let id = Owner::Vault(VaultId::generate());
        let documents: Vec<_> = ["old", "new"]
            .map(|name| {
                let document = document(id, Mode::Production);
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
