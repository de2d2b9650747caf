//! Copies of directories: what a thief takes, and what an operator puts back.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use crate::Installation;

/// What a thief may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The vault's database with its write-ahead log, and the audit log.
    VaultData,
    /// The vault's key folder.
    VaultKeys,
    /// The vault's runtime directory, with its seal keys.
    VaultRuntime,
    /// The manager's database with its write-ahead log, and the audit log.
    ManagerData,
    /// The manager's key folder.
    ManagerKeys,
    /// What the proxy recorded; needs [`crate::Builder::recorded`].
    Traffic,
}

impl Piece {
    fn name(self) -> &'static str {
        match self {
            Self::VaultData => "vault-data",
            Self::VaultKeys => "vault-keys",
            Self::VaultRuntime => "vault-runtime",
            Self::ManagerData => "manager-data",
            Self::ManagerKeys => "manager-keys",
            Self::Traffic => "traffic",
        }
    }
}

impl Installation {
    /// Copies pieces of this installation, as they lie there now, into folders of `loot` as the thief expects them.
    pub fn steal(&self, loot: &Path, pieces: &[Piece]) {
        for piece in pieces {
            let to = loot.join(piece.name());
            match piece {
                Piece::VaultData => self.vault.steal_data(&to),
                Piece::VaultKeys => copy_tree(&self.vault.keys(), &to),
                Piece::VaultRuntime => copy_tree(self.runtime_dir(), &to),
                Piece::ManagerData => self.manager.steal_data(&to),
                Piece::ManagerKeys => copy_tree(&self.manager.keys(), &to),
                Piece::Traffic => self.proxy().write_traffic(&to),
            }
        }
    }
}

/// Puts tokens into the loot.
pub fn add_tokens<'a>(loot: &Path, tokens: impl IntoIterator<Item = &'a str>) {
    let folder = loot.join("tokens");
    crate::keys::make_folder(&folder);
    for (number, token) in tokens.into_iter().enumerate() {
        fs::write(folder.join(format!("{number:04}.jwt")), token).unwrap();
    }
}

/// Copies a directory with everything in it and its modes. The target must not be there.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_socket() {
            // A name to talk to a process by. There is nothing in it.
        } else if let Err(error) = fs::copy(entry.path(), &target) {
            // A service that runs removes temporary files while it is robbed.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", entry.path().display());
        }
    }
}

/// Puts a copied directory in the place of one that is there.
pub fn put_back(copy: &Path, place: &Path) {
    fs::remove_dir_all(place).unwrap();
    copy_tree(copy, place);
}

/// Changes the mode of a file or directory.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
