//! The mark: the highest event number that this vault acknowledged, kept apart from the database.
//!
//! A restored database is older than the mark. So the vault notices a restore, and a restore cannot undo a revocation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service_runtime::files::{read_private, replace_private};
use shared_proto::chain::ChainHead;
use shared_proto::event::EventHash;

use crate::keys::RuntimeDirectory;

/// A number with the hash of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Event number, 0 before the first.
    pub applied: u64,
    /// Hash of that event.
    pub event_hash: EventHash,
}

impl From<ChainHead> for Mark {
    fn from(head: ChainHead) -> Self {
        Self { applied: head.number, event_hash: head.hash }
    }
}

/// The file in the runtime directory.
#[derive(Clone, Debug)]
pub struct MarkFile(PathBuf);

impl MarkFile {
    /// The mark of this runtime directory.
    pub fn new(directory: &RuntimeDirectory) -> Self {
        Self(directory.path().join("mark.json"))
    }

    /// The mark; `None` when it is missing or unreadable.
    pub fn read(&self) -> Option<Mark> {
        serde_json::from_slice(&read_private(&self.0).ok()?).ok()
    }

    /// Whether the file is missing.
    pub fn is_missing(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        std::fs::symlink_metadata(&self.0).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
    }

    /// Raises the mark.
    ///
    /// # Errors
    /// It cannot be written. The old one stays.
    pub fn write(&self, mark: Mark) -> std::io::Result<()> {
        replace_private(&self.0, &serde_json::to_vec(&mark)?)
    }

    /// Removes the mark: nothing is trusted at the next start.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
