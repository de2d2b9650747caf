//! The anchor of registry in the key folder, apart from every backup of the database.

use std::path::{Path, PathBuf};

use manager_registry::Anchor;
use service_runtime::StartError;
use service_runtime::files::{read_private, replace_private};
use service_runtime::key_folder::refused;

use crate::keys::names;

/// The file.
#[derive(Clone, Debug)]
pub struct AnchorFile(PathBuf);

impl AnchorFile {
    /// The anchor in a key folder.
    pub fn in_folder(keys: &Path) -> Self {
        Self(keys.join(names::REGISTRY_ANCHOR))
    }

    /// The anchor; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Option<Anchor>, StartError> {
        match std::fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(_) | Ok(_) => {}
        }
        let bytes = read_private(&self.0)?;
        let fix = "move it away and run `master-key-manager policy confirm`";
        serde_json::from_slice(&bytes).map(Some).map_err(|_| refused(&self.0, "it is not an anchor", fix))
    }

    /// Raises the anchor. Blocks the thread.
    ///
    /// # Errors
    /// It cannot be written. The old one stays.
    pub fn write(&self, anchor: Anchor) -> std::io::Result<()> {
        replace_private(&self.0, &serde_json::to_vec(&anchor)?)
    }
}
