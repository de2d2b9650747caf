//! The keys of a running vault: they are exchanged as a whole when the key folder changes, without a restart.
//!
//! Guarantees that every caller gets keys that were checked together. Refuses a malformed folder, and one that belongs
//! to another vault or manager. Then it logs the reason, and the previous keys stay in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use service_runtime::StartError;
use service_runtime::files::sweep;
use service_runtime::key_folder::KeyFolder;
use service_runtime::key_slots::FolderWatch;
use shared_proto::identity::Mode;

use super::LoadedKeys;
use super::folder::STORAGE_KEYS;

/// The present keys of the folder.
pub struct KeyRing {
    path: PathBuf,
    mode: Mode,
    current: ArcSwap<LoadedKeys>,
    // Held while the folder is looked at or changed.
    look: Mutex<Look>,
}

struct Look {
    watch: FolderWatch,
    /// Why the folder is refused, logged once and not every second.
    refused: Option<String>,
    /// Previous keys that are still in use by running work.
    earlier: Vec<Weak<LoadedKeys>>,
}

impl KeyRing {
    /// Reads the folder, after destroying what a crash left half-destroyed.
    ///
    /// # Errors
    /// Those of [`LoadedKeys::load`].
    pub fn open(path: &Path, mode: Mode) -> Result<Self, StartError> {
        let cannot = |error: std::io::Error| StartError::new(format!("{} cannot be read ({error}).", path.display()));
        let watch = FolderWatch::new(path).map_err(cannot)?;
        let current = ArcSwap::from_pointee(LoadedKeys::load(path, mode)?);
        sweep(path).and_then(|()| sweep(&path.join(STORAGE_KEYS))).map_err(cannot)?;
        let look = Mutex::new(Look { watch, refused: None, earlier: Vec::new() });
        Ok(Self { path: path.to_owned(), mode, current, look })
    }

    /// The present keys. A caller that uses several of them calls once, so that they fit each other.
    pub fn current(&self) -> Arc<LoadedKeys> {
        self.current.load_full()
    }

    /// The folder.
    pub fn folder(&self) -> KeyFolder {
        KeyFolder::at(&self.path)
    }

    /// The folder of storage keys.
    pub fn storage_keys(&self) -> PathBuf {
        self.path.join(STORAGE_KEYS)
    }

    /// The mode of the vault.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Adopts changes of the folder, and returns whether there were any. Reads files: not for an async thread.
    pub fn reload_if_changed(&self) -> bool {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        // A folder that cannot be listed is read, so that the reason is said.
        let changed = look.watch.changed().unwrap_or(true);
        (changed || look.refused.is_some()) && self.reload(&mut look)
    }

    /// Changes the folder and adopts the change. Writes files: not for an async thread.
    ///
    /// # Errors
    /// The folder could not be changed.
    pub fn change(&self, act: impl FnOnce(&KeyFolder) -> Result<(), StartError>) -> Result<(), StartError> {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = act(&self.folder());
        self.reload(&mut look);
        changed
    }

    /// Whether running work still uses previous keys.
    pub fn earlier_in_use(&self) -> bool {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.earlier.retain(|keys| keys.strong_count() > 0);
        !look.earlier.is_empty()
    }

    fn reload(&self, look: &mut Look) -> bool {
        let before = self.current();
        let loaded = LoadedKeys::load(&self.path, self.mode).and_then(|keys| {
            let same = keys.id == before.id && keys.issuer == before.issuer;
            let refusal = "The key folder is now that of another vault or pins another manager; a running vault stays what it is.";
            same.then_some(keys).ok_or_else(|| StartError::new(refusal))
        });
        match loaded {
            Ok(keys) => {
                self.current.store(Arc::new(keys));
                look.earlier.push(Arc::downgrade(&before));
                look.refused = None;
                tracing::info!("the key folder was read anew");
                true
            }
            Err(error) => {
                let sentence = error.to_string();
                if look.refused.as_ref() != Some(&sentence) {
                    tracing::error!(%error, "the change of the key folder is refused; the keys from before stay");
                }
                look.refused = Some(sentence);
                false
            }
        }
    }
}
