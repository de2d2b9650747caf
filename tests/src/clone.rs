//! A second manager: a copy of the first one's disk, as a snapshot of a machine makes it, or a second copy on the same
//! database.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::installation::Installation;
use crate::service::Service;

impl Installation {
    /// Copies the disk of the manager, which must not run, to a second one with a port of its own.
    pub fn clone_manager(&self) -> Service {
        let mut clone = self.manager_elsewhere("clone");
        clone.database = self.manager.database.as_ref().map(|database| Arc::new(database.copy()));
        clone
    }

    /// Copies keys and files of the manager to a second one with a port of its own, on the same PostgreSQL database.
    pub fn second_manager(&self) -> Service {
        let mut second = self.manager_elsewhere("second");
        second.database.clone_from(&self.manager.database);
        second
    }

    fn manager_elsewhere(&self, folder: &str) -> Service {
        let root = self.folder().join(folder);
        crate::keys::make_folder(&root);
        let mut clone = Service::new(self.manager.name, &root, self.manager.binary.clone());
        clone.head.clone_from(&self.manager.head);
        clone.settings.clone_from(&self.manager.settings);
        clone.tables.clone_from(&self.manager.tables);
        copy(&self.manager.data(), &clone.data());
        copy(&self.manager.keys(), &clone.keys());
        clone
    }
}

fn copy(from: &Path, to: &Path) {
    crate::keys::make_folder(to);
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if !entry.file_type().unwrap().is_socket() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
