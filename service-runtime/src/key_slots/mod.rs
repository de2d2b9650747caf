//! The slots of keys that are rotated. The key folder is the desired state: a rotation changes files, and the running
//! service follows (docs/adr/0007-key-folder-is-the-state.md).
//!
//! Guarantees that each step is one rename, so that the next check of the folder completes an interrupted step. A key
//! file is whole or missing, and no key is overwritten while it may still be needed. The age of a key in its slot is
//! that of its file's modification time: a backup restored without times starts it again.

mod identity;
mod numbered;
mod pins;
mod rsa_slots;
mod watch;

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

pub use identity::{IDENTITY_NEXT, IDENTITY_RETIRED, IdentitySlots, NextIdentity};
pub use numbered::{KeyState, NumberedKey, confirm, create_numbered, load_numbered, path_of, retire};
pub use rsa_slots::{RsaSlot, RsaSlots};
pub use watch::FolderWatch;

use crate::StartError;
use crate::files::NO_FOLLOW;
use crate::key_folder::refused;

/// The time at which a key file came into its slot (Unix seconds).
///
/// # Errors
/// It is missing, or cannot be examined.
pub fn in_place_since(path: &Path) -> Result<u64, StartError> {
    let meta = std::fs::symlink_metadata(path).map_err(|error| cannot(path, "examined", &error))?;
    Ok(u64::try_from(meta.mtime()).unwrap_or(0))
}

/// Starts the age of a key now. Call it before the file is renamed into its new slot. In the other order a crash would
/// leave it there with too high an age, and it would end too early.
fn begin_age(path: &Path) -> Result<(), StartError> {
    File::options()
        .write(true)
        .custom_flags(NO_FOLLOW)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()).and_then(|()| file.sync_all()))
        .map_err(|error| cannot(path, "given a new date", &error))
}

fn cannot(path: &Path, verb: &str, error: &io::Error) -> StartError {
    StartError::new(format!("{} cannot be {verb} ({error}); check its folder.", path.display()))
}

fn no_randomness() -> StartError {
    StartError::new("The machine gives no randomness; nothing is safe without it.")
}

fn under_way(path: &Path, waits_for: &str) -> StartError {
    refused(path, &format!("a rotation is under way and waits for {waits_for}"), "let it end first")
}
