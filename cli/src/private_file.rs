//! Files that only their user reads, and one that others may read and not write.
//!
//! Guarantees: such a file has its mode from the first moment, is whole at every moment (it is written beside, made durable,
//! and put in the place of the old one), and is neither read nor written through a symbolic link.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::shared_proto::encoding::{b64, random};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The longest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The age from which a file beside another one has no writer any more.
const LEFT: Duration = Duration::from_mins(1);

/// Makes a folder that only its user enters, with those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::of_system(&format!("The folder {} cannot be made", folder.display()), &error))
}

/// Puts a file that only its user reads in the place of another one, or where none is.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(file, bytes, 0o600)
}

/// Puts a file of this mode in the place of another one, or where none is.
pub(crate) fn put(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        Failure::of_system(&format!("{} cannot be written", file.display()), error).next("Nothing was changed.")
    };
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&error)),
        Ok(found) if found.is_symlink() => {
            return Err(Failure::failed(format!(
                "{} is a symbolic link; nothing is written through it.",
                file.display()
            ))
            .next("Remove the link, or name the file that it leads to."));
        }
        Ok(found) if !found.is_file() => {
            return Err(Failure::failed(format!("{} is not a file.", file.display())).next("Name a file."));
        }
        Ok(_) => {}
    }
    let beside = Beside(beside(file));
    beside.write(bytes, mode).map_err(|error| failed(&error))?;
    fs::rename(&beside.0, file).map_err(|error| failed(&error))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))?;
    sweep(folder, file);
    Ok(())
}

/// Tells whether [`beside`] may have made this part of a name.
fn is_mark(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Removes what killed writers of a file have left, and no file with another name. One that is at work has not been for a minute.
fn sweep(folder: &Path, file: &Path) {
    let beginning = format!(".{}.", file.file_name().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let middle = name.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(".new"));
        let is_beside = middle.is_some_and(is_mark);
        let age = entry.metadata().and_then(|found| found.modified()).map(|at| at.elapsed().unwrap_or_default());
        if is_beside && age.is_ok_and(|age| age > LEFT) {
            // It is in nobody's way if it stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads a file that nobody else can read; nothing if there is none.
pub(crate) fn read(file: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let failed = |error: &io::Error| Failure::of_system(&format!("{} cannot be read", file.display()), error);
    let refused = |reason: &str, next: String| Failure::failed(format!("{} {reason}", file.display())).next(next);
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut opened = match OpenOptions::new().read(true).custom_flags(flags).open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused("is a symbolic link; it is not followed.", "Put the file itself there.".to_owned()));
        }
        Err(error) => return Err(failed(&error)),
    };
    let found = opened.metadata().map_err(|error| failed(&error))?;
    if !found.is_file() {
        return Err(refused("is not a file.", "Move it away.".to_owned()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("belongs to another user.", "Use a configuration folder of your own.".to_owned()));
    }
    if found.mode() & 0o077 != 0 {
        let next = format!("Others may have seen it: renew what is in it, and run chmod 600 {}", file.display());
        return Err(refused("can be read or written by others.", next));
    }
    if found.len() > MAX_BYTES {
        return Err(refused("is too long.", "Move it away.".to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1));
    opened.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(Some(bytes))
}

/// A file that is removed unless it has got its place.
struct Beside(PathBuf);

impl Beside {
    fn write(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&self.0)?;
        new.write_all(bytes)?;
        new.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // When it has its place, it is not here any more.
        let _ = fs::remove_file(&self.0);
    }
}

fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.{}.new", b64(&random::<9>())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        TempDir::with_prefix("splitvault-cli-").unwrap()
    }

    #[test]
    fn file_is_private_and_the_only_one_left() {
        let folder = folder();
        let file = folder.path().join("a/b");
        make_folder(file.parent().unwrap()).unwrap();
        for bytes in [b"one".as_slice(), b"two"] {
            replace(&file, bytes).unwrap();
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(&**read(&file).unwrap().unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_and_what_another_one_writes_is_not() {
        let folder = folder();
        let file = folder.path().join("file");
        let [left, fresh] = [beside(&file), beside(&file)];
        let others = [".file.staging.new", ".file.AAAA.new", ".file.long-staging1x.new", ".file.a.b.c.d.e.f.new"];
        let others = others.map(|name| folder.path().join(name));
        let hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
        for beside in [&left, &fresh].into_iter().chain(&others) {
            fs::write(beside, "x").unwrap();
            if *beside != fresh {
                File::options().write(true).open(beside).unwrap().set_modified(hour_ago).unwrap();
            }
        }
        replace(&file, b"new").unwrap();
        assert!(!left.exists() && fresh.exists() && file.exists());
        assert!(others.iter().all(|other| other.exists()));
    }

    #[test]
    fn symbolic_link_is_neither_read_nor_written_through() {
        let folder = folder();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        symlink(&target, &link).unwrap();
        for failure in [replace(&link, b"new").unwrap_err(), read(&link).err().unwrap()] {
            assert!(format!("{failure:?}").contains("is a symbolic link"), "{failure:?}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }

    #[test]
    fn file_that_others_can_read_is_refused() {
        let folder = folder();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(format!("{:?}", read(&file).err().unwrap()).contains("by others"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&file).unwrap().is_some());
        assert!(read(&folder.path().join("missing")).unwrap().is_none());
    }
}
