//! Detection of changes of a key folder, without reading its files.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::key_folder::is_passed_over;

/// Compares the names and dates of a folder and its subfolders. Not for an async thread.
#[derive(Debug)]
pub struct FolderWatch {
    folder: PathBuf,
    seen: Vec<(PathBuf, [i64; 4])>,
}

impl FolderWatch {
    /// A watch that reports changes from now on. Make it before the folder is read, so that none is missed.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), seen: listing(folder)? })
    }

    /// Whether anything changed since the last call.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn changed(&mut self) -> io::Result<bool> {
        let now = listing(&self.folder)?;
        let changed = now != self.seen;
        self.seen = now;
        Ok(changed)
    }
}

fn listing(folder: &Path) -> io::Result<Vec<(PathBuf, [i64; 4])>> {
    let mut seen = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if is_passed_over(&folder, &entry.file_name().to_string_lossy()) {
                continue;
            }
            // Of a file that is gone again meanwhile, nothing is said.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            }
            let size = i64::try_from(meta.len()).unwrap_or(i64::MAX);
            // The time of the last change of the file or its names; nobody can set it.
            seen.push((entry.path(), [meta.ino().cast_signed(), size, meta.ctime(), meta.ctime_nsec()]));
        }
    }
    seen.sort_unstable();
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_changed_renamed_and_removed_files_are_seen_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let mut watch = FolderWatch::new(dir.path()).unwrap();
        assert!(!watch.changed().unwrap());
        let (one, two) = (dir.path().join("sub/one"), dir.path().join("sub/two"));
        let changes: [&dyn Fn(); 4] = [
            &|| std::fs::write(&one, "1").unwrap(),
            &|| std::fs::write(&one, "22").unwrap(),
            &|| std::fs::rename(&one, &two).unwrap(),
            &|| std::fs::remove_file(&two).unwrap(),
        ];
        for change in changes {
            change();
            assert!(watch.changed().unwrap());
            assert!(!watch.changed().unwrap());
        }
        std::fs::write(dir.path().join(".x.1.0.tmp"), "half").unwrap();
        assert!(!watch.changed().unwrap() || !watch.changed().unwrap());
    }
}
