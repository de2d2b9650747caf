//! The identity key, its next key, and the public documents of earlier ones.
//!
//! The document of the next key is carried to the other service and pinned there beside the one in use. The service
//! changes to it when the other service accepts it. A replaced private key is destroyed at once.

use shared_proto::encoding::b64;
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode};

use super::{begin_age, cannot, in_place_since, no_randomness, under_way};
use crate::StartError;
use crate::files::{
    create_private_directory, create_private_whole, destroy_by_replacing, replace_private, sync_parent,
};
use crate::key_folder::{
    IDENTITY, IDENTITY_DOCUMENT, IDENTITY_NEXT_DOCUMENT, KeyFolder, entries, read_document, read_text, refused,
};

/// The identity keys of a service.
pub struct IdentitySlots {
    /// In use.
    pub active: IdentityKey,
    /// Its document.
    pub document: IdentityDocument,
    /// When it came into use (Unix seconds).
    pub since: u64,
    /// Made, and used when the other service accepts it.
    pub next: Option<NextIdentity>,
    /// Documents of earlier keys: their signatures are still those of this service.
    pub retired: Vec<IdentityDocument>,
}

/// The next identity key.
pub struct NextIdentity {
    /// The key.
    pub key: IdentityKey,
    /// When it was made (Unix seconds).
    pub since: u64,
}

/// The next private identity key.
pub const IDENTITY_NEXT: &str = "identity-next.pem";
/// Folder of the documents of earlier keys.
pub const IDENTITY_RETIRED: &str = "identity-retired";

impl KeyFolder {
    /// Reads all identity files. Changes nothing.
    ///
    /// # Errors
    /// Those of [`KeyFolder::identity`], or a file of another key cannot be read or names another service.
    pub fn identity_slots(&self, mode: Mode) -> Result<IdentitySlots, StartError> {
        let (active, document) = self.identity(mode)?;
        let next = match self.identity_key(IDENTITY_NEXT)? {
            Some(key) => Some(NextIdentity { key, since: in_place_since(&self.file(IDENTITY_NEXT))? }),
            None => None,
        };
        let folder = self.file(IDENTITY_RETIRED);
        let names = if folder.exists() { entries(&folder)? } else { Vec::new() };
        let mut retired = Vec::with_capacity(names.len());
        for name in names {
            let path = folder.join(name);
            let earlier = read_document(&path)?;
            if (earlier.id, earlier.mode) != (document.id, document.mode) {
                return Err(refused(&path, "it is of another service", "move it away"));
            }
            retired.push(earlier);
        }
        Ok(IdentitySlots { active, document, since: in_place_since(&self.file(IDENTITY))?, next, retired })
    }

    /// Makes the next identity key and its document.
    ///
    /// # Errors
    /// There is one that waits for `waits_for`, or it cannot be written.
    pub fn create_next_identity(&self, mode: Mode, waits_for: &str) -> Result<IdentityDocument, StartError> {
        let path = self.file(IDENTITY_NEXT);
        if path.exists() {
            return Err(under_way(&path, waits_for));
        }
        let (_, document) = self.identity(mode)?;
        let (key, pem) = IdentityKey::generate().map_err(|_| no_randomness())?;
        let document = IdentityDocument { key: key.public().clone(), ..document };
        // The key last: a document without its key is only a file that the next attempt replaces.
        self.write_document(IDENTITY_NEXT_DOCUMENT, &document)?;
        create_private_whole(&path, pem.as_bytes())?;
        Ok(document)
    }

    /// Takes the next identity key into use. The document of the previous one is kept, and its private half destroyed.
    ///
    /// # Errors
    /// There is no next key, or the folder cannot be changed.
    pub fn activate_next_identity(&self, mode: Mode) -> Result<(), StartError> {
        let (_, document) = self.identity(mode)?;
        create_private_directory(&self.file(IDENTITY_RETIRED))?;
        let kid = b64(&document.key.thumbprint().0);
        self.write_document(&format!("{IDENTITY_RETIRED}/{kid}.json"), &document)?;
        let (active, next) = (self.file(IDENTITY), self.file(IDENTITY_NEXT));
        begin_age(&next)?;
        destroy_by_replacing(&active, &next).map_err(|error| cannot(&active, "replaced", &error))?;
        self.finish_document()
    }

    /// Completes an interrupted replacement, in which the key was replaced and its document was not. For the service
    /// that owns the folder.
    ///
    /// # Errors
    /// The folder cannot be read or changed.
    pub fn finish_document(&self) -> Result<(), StartError> {
        let (path, next) = (self.file(IDENTITY_DOCUMENT), self.file(IDENTITY_NEXT_DOCUMENT));
        if !next.exists() || self.file(IDENTITY_NEXT).exists() {
            return Ok(());
        }
        let Some(key) = self.identity_key(IDENTITY)? else { return Ok(()) };
        if read_document(&next)?.key != *key.public() {
            return Ok(());
        }
        std::fs::rename(&next, &path)
            .and_then(|()| sync_parent(&path))
            .map_err(|error| cannot(&path, "replaced", &error))
    }

    fn identity_key(&self, name: &str) -> Result<Option<IdentityKey>, StartError> {
        let path = self.file(name);
        if !path.exists() {
            return Ok(None);
        }
        let key = IdentityKey::from_pem(&read_text(&path)?);
        key.map(Some).map_err(|error| refused(&path, error.0, "restore it from the backup"))
    }

    fn write_document(&self, name: &str, document: &IdentityDocument) -> Result<(), StartError> {
        let path = self.file(name);
        serde_json::to_vec(document)
            .map_err(std::io::Error::from)
            .and_then(|json| replace_private(&path, &[json.as_slice(), b"\n"].concat()))
            .map_err(|error| cannot(&path, "written", &error))
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::VaultId;
    use shared_proto::identity::Owner;

    use super::*;

    fn folder() -> (tempfile::TempDir, KeyFolder) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        create_private_directory(&path).unwrap();
        let folder = KeyFolder::at(&path);
        folder.create_identity(Owner::Vault(VaultId::generate()), Mode::Production).unwrap();
        (dir, folder)
    }

    #[test]
    fn identity_changes_to_the_next_and_its_document_is_remembered() {
        let (_dir, folder) = folder();
        let first = folder.identity_slots(Mode::Production).unwrap();
        assert!(first.next.is_none() && first.retired.is_empty());
        let document = folder.create_next_identity(Mode::Production, "the pin").unwrap();
        assert!(folder.create_next_identity(Mode::Production, "the pin").unwrap_err().sentence.contains("the pin"));
        let waiting = folder.identity_slots(Mode::Production).unwrap();
        assert_eq!(waiting.active.kid(), first.active.kid());
        assert_eq!(waiting.next.unwrap().key.public(), &document.key);
        folder.activate_next_identity(Mode::Production).unwrap();
        let second = folder.identity_slots(Mode::Production).unwrap();
        assert_eq!((second.document, second.retired), (document, vec![first.document]));
        assert!(second.next.is_none());
        assert!(!folder.file(IDENTITY_NEXT_DOCUMENT).exists());
    }

    #[test]
    fn change_cut_short_between_key_and_document_is_finished() {
        let (_dir, folder) = folder();
        let document = folder.create_next_identity(Mode::Production, "").unwrap();
        std::fs::rename(folder.file(IDENTITY_NEXT), folder.file(IDENTITY)).unwrap();
        assert_eq!(folder.identity_slots(Mode::Production).unwrap().document, document);
        assert!(folder.file(IDENTITY_NEXT_DOCUMENT).exists(), "a look changes nothing");
        folder.finish_document().unwrap();
        assert!(!folder.file(IDENTITY_NEXT_DOCUMENT).exists());
        assert_eq!(folder.identity_slots(Mode::Production).unwrap().document, document);
    }

    #[test]
    fn document_without_its_key_is_replaced_by_the_next_attempt() {
        let (_dir, folder) = folder();
        folder.create_next_identity(Mode::Production, "").unwrap();
        std::fs::remove_file(folder.file(IDENTITY_NEXT)).unwrap();
        let before = folder.identity_slots(Mode::Production).unwrap();
        assert!(before.next.is_none());
        let document = folder.create_next_identity(Mode::Production, "").unwrap();
        let after = folder.identity_slots(Mode::Production).unwrap();
        assert_eq!(after.active.kid(), before.active.kid());
        assert_eq!(after.next.unwrap().key.public(), &document.key);
    }
}
