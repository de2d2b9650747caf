//! RSA keys in three slots: the next one, the one in use, the previous one.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use shared_proto::jwk::Thumbprint;
use shared_proto::rsa_key::RsaPrivate;

use super::{begin_age, cannot, in_place_since, under_way};
use crate::StartError;
use crate::files::{create_private_whole, destroy_by_replacing, destroy_private, sync_parent};
use crate::key_folder::{KeyFolder, refused};

/// An RSA key in its slot.
pub struct RsaSlot {
    /// The key.
    pub key: RsaPrivate,
    /// When it came into this slot (Unix seconds).
    pub since: u64,
}

/// The keys of one purpose.
pub struct RsaSlots {
    /// Made and stated, but not used yet.
    pub next: Option<RsaSlot>,
    /// In use.
    pub active: RsaSlot,
    /// Replaced. What was made with it is accepted for a while.
    pub previous: Option<RsaSlot>,
}

impl KeyFolder {
    /// Reads `<name>.pem`, `<name>-next.pem` and `<name>-previous.pem`. Changes nothing: an interrupted or running
    /// replacement counts as not begun.
    ///
    /// # Errors
    /// `<name>.pem` is missing, or one of them is open to others, not PKCS#8, weak or inconsistent.
    pub fn rsa_slots(&self, name: &str) -> Result<RsaSlots, StartError> {
        let Places { active, previous, .. } = places(self, name);
        let replaced = !is_same_file(&active, &previous);
        let slot = |stem: &str| {
            let since = in_place_since(&self.file(&format!("{stem}.pem")))?;
            Ok(RsaSlot { key: self.rsa(stem)?, since })
        };
        let if_there = |stem: String| {
            let there = self.file(&format!("{stem}.pem")).exists();
            there.then(|| slot(&stem)).transpose()
        };
        Ok(RsaSlots {
            next: if_there(format!("{name}-next"))?,
            active: slot(name)?,
            previous: if replaced { if_there(format!("{name}-previous"))? } else { None },
        })
    }

    /// Makes `<name>.pem` with a new key of `bits`, unless the operator has placed one. Returns its thumbprint.
    ///
    /// # Errors
    /// The file cannot be written, or the one that is there is open to others, not PKCS#8, weak or inconsistent.
    pub fn create_rsa(&self, name: &str, bits: usize) -> Result<Thumbprint, StartError> {
        let path = places(self, name).active;
        if !path.exists() {
            let pem =
                RsaPrivate::generate_pem(bits).map_err(|error| refused(&path, &error.to_string(), "try again"))?;
            create_private_whole(&path, pem.as_bytes())?;
        }
        Ok(self.rsa(name)?.public().thumbprint())
    }

    /// Completes an interrupted replacement. For the service that owns the folder: a command beside it would complete a
    /// running replacement.
    ///
    /// # Errors
    /// The folder cannot be changed.
    pub fn finish_rsa(&self, name: &str) -> Result<(), StartError> {
        finish_activation(self, name)
    }

    /// Makes `<name>-next.pem`.
    ///
    /// # Errors
    /// There is one that waits for `waits_for`, or it cannot be written.
    pub fn create_next_rsa(&self, name: &str, bits: usize, waits_for: &str) -> Result<Thumbprint, StartError> {
        let path = places(self, name).next;
        if path.exists() {
            return Err(under_way(&path, waits_for));
        }
        let pem = RsaPrivate::generate_pem(bits).map_err(|error| refused(&path, &error.to_string(), "try again"))?;
        create_private_whole(&path, pem.as_bytes())?;
        Ok(self.rsa(&format!("{name}-next"))?.public().thumbprint())
    }

    /// Takes the next key into use. The one in use becomes the previous one.
    ///
    /// # Errors
    /// There is no next key, there still is a previous one, or the folder cannot be changed.
    pub fn activate_next_rsa(&self, name: &str) -> Result<(), StartError> {
        let Places { next, active, previous, public } = places(self, name);
        begin_age(&next)?;
        remove_if_there(&public)?;
        std::fs::hard_link(&active, &previous).map_err(|error| cannot(&previous, "made", &error))?;
        std::fs::rename(&next, &active)
            .and_then(|()| sync_parent(&active))
            .map_err(|error| cannot(&active, "replaced", &error))
    }

    /// Takes the next key into use and destroys the one in use, because nothing that it made is accepted any more. A
    /// previous key stays.
    ///
    /// # Errors
    /// There is no next key, or the folder cannot be changed.
    pub fn replace_with_next_rsa(&self, name: &str) -> Result<(), StartError> {
        let Places { next, active, public, .. } = places(self, name);
        begin_age(&next)?;
        remove_if_there(&public)?;
        destroy_by_replacing(&active, &next).map_err(|error| cannot(&active, "replaced", &error))
    }

    /// Destroys the previous key.
    ///
    /// # Errors
    /// The folder cannot be changed.
    pub fn destroy_previous_rsa(&self, name: &str) -> Result<(), StartError> {
        let path = places(self, name).previous;
        destroy_private(&path).map_err(|error| cannot(&path, "destroyed", &error))
    }
}

/// Completes an interrupted activation, which left two names of one file. A waiting next key is taken into use.
fn finish_activation(folder: &KeyFolder, name: &str) -> Result<(), StartError> {
    let Places { next, active, previous, .. } = places(folder, name);
    if !is_same_file(&active, &previous) {
        return Ok(());
    }
    let finished = if next.exists() { std::fs::rename(&next, &active) } else { std::fs::remove_file(&previous) };
    finished.and_then(|()| sync_parent(&active)).map_err(|error| cannot(&active, "replaced", &error))
}

struct Places {
    next: PathBuf,
    active: PathBuf,
    previous: PathBuf,
    /// A copy of the public half, which `scripts/generate-keys.sh` puts beside it.
    public: PathBuf,
}

fn places(folder: &KeyFolder, name: &str) -> Places {
    let file = |suffix: &str| folder.file(&format!("{name}{suffix}"));
    Places { next: file("-next.pem"), active: file(".pem"), previous: file("-previous.pem"), public: file(".pub.pem") }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(one).is_some_and(|found| id(other) == Some(found))
}

fn remove_if_there(path: &Path) -> Result<(), StartError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(path, "removed", &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{create_private_directory, read_private};

    fn kid(slot: &RsaSlot) -> Thumbprint {
        slot.key.public().thumbprint()
    }

    fn folder() -> (tempfile::TempDir, KeyFolder) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        create_private_directory(&path).unwrap();
        let folder = KeyFolder::at(&path);
        let pem = RsaPrivate::generate_pem(2048).unwrap();
        create_private_whole(&folder.file("k.pem"), pem.as_bytes()).unwrap();
        create_private_whole(&folder.file("k.pub.pem"), b"of the first key").unwrap();
        (dir, folder)
    }

    #[test]
    fn keys_move_from_next_to_active_to_previous_and_are_destroyed() {
        let (_dir, folder) = folder();
        std::fs::remove_file(folder.file("k.pub.pem")).unwrap();
        let first = kid(&folder.rsa_slots("k").unwrap().active);
        let second = folder.create_next_rsa("k", 2048, "the vault").unwrap();
        let again = folder.create_next_rsa("k", 2048, "the vault").unwrap_err();
        assert!(again.sentence.contains("waits for the vault"), "{again}");
        folder.activate_next_rsa("k").unwrap();
        let slots = folder.rsa_slots("k").unwrap();
        assert_eq!((kid(&slots.active), slots.previous.as_ref().map(kid)), (second, Some(first)));
        assert!(slots.next.is_none());
        let third = folder.create_next_rsa("k", 2048, "the vault").unwrap();
        folder.activate_next_rsa("k").unwrap_err();
        assert_eq!(kid(&folder.rsa_slots("k").unwrap().active), second, "a previous key is never overwritten");
        folder.replace_with_next_rsa("k").unwrap();
        let slots = folder.rsa_slots("k").unwrap();
        assert_eq!((kid(&slots.active), slots.previous.as_ref().map(kid)), (third, Some(first)));
        folder.destroy_previous_rsa("k").unwrap();
        folder.destroy_previous_rsa("k").unwrap();
        assert!(folder.rsa_slots("k").unwrap().previous.is_none());
        assert_eq!(std::fs::read_dir(folder.file("")).unwrap().count(), 1);
    }

    #[test]
    fn first_key_is_made_once_and_one_that_was_placed_stays() {
        let (_dir, folder) = folder();
        std::fs::remove_file(folder.file("k.pub.pem")).unwrap();
        let placed = kid(&folder.rsa_slots("k").unwrap().active);
        assert_eq!(folder.create_rsa("k", 2048).unwrap(), placed);
        let made = folder.create_rsa("other", 2048).unwrap();
        assert_eq!(folder.create_rsa("other", 2048).unwrap(), made);
        assert_ne!(made, placed);
    }

    #[test]
    fn activation_cut_short_anywhere_is_finished_and_loses_no_key() {
        let (_dir, folder) = folder();
        std::fs::remove_file(folder.file("k.pub.pem")).unwrap();
        let first = kid(&folder.rsa_slots("k").unwrap().active);
        let second = folder.create_next_rsa("k", 2048, "").unwrap();
        std::fs::hard_link(folder.file("k.pem"), folder.file("k-previous.pem")).unwrap();
        let looked = folder.rsa_slots("k").unwrap();
        assert_eq!((kid(&looked.active), looked.next.as_ref().map(kid)), (first, Some(second)));
        assert!(looked.previous.is_none() && folder.file("k-next.pem").exists(), "a look changes nothing");
        folder.finish_rsa("k").unwrap();
        let slots = folder.rsa_slots("k").unwrap();
        assert_eq!((kid(&slots.active), slots.previous.as_ref().map(kid)), (second, Some(first)));
        let before = read_private(&folder.file("k.pem")).unwrap();
        std::fs::remove_file(folder.file("k-previous.pem")).unwrap();
        std::fs::hard_link(folder.file("k.pem"), folder.file("k-previous.pem")).unwrap();
        folder.finish_rsa("k").unwrap();
        assert!(!folder.file("k-previous.pem").exists());
        assert!(folder.rsa_slots("k").unwrap().previous.is_none(), "a key is not its own predecessor");
        assert_eq!(*read_private(&folder.file("k.pem")).unwrap(), *before);
    }

    #[test]
    fn public_copy_of_the_replaced_key_goes_with_it() {
        let (_dir, folder) = folder();
        folder.create_next_rsa("k", 2048, "").unwrap();
        assert!(folder.rsa_slots("k").is_err(), "the copy is of no key here");
        folder.activate_next_rsa("k").unwrap();
        folder.rsa_slots("k").unwrap();
    }
}
