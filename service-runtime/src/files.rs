//! Files that only their owner may read.
//!
//! Guarantees that a file that is read is a regular file of the process's user, without rights for anybody else. A file
//! that is written has mode 0600 from its first moment, whatever the umask, and is on disk when the call returns.
//! Checks examine the open descriptor, so that a file swapped in between is not read. Symbolic links are not followed.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};
use shared_proto::encoding::random;
use zeroize::Zeroizing;

use crate::StartError;

/// The largest private file that is read: far larger than any key, and far too small to exhaust memory.
pub const MAX_PRIVATE_FILE: u64 = 64 * 1024;

/// `O_NOFOLLOW`, and `O_NONBLOCK` so that opening a FIFO in a file's place does not block.
pub(crate) const NO_FOLLOW: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Reads a file that nobody else may read.
///
/// # Errors
/// It is missing, a link, not a regular file, readable by others, owned by somebody else, or larger than
/// [`MAX_PRIVATE_FILE`].
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, StartError> {
    let shown = path.display();
    let cannot = |error: io::Error| {
        let fix = match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => "put it there",
            Some(Errno::LOOP) => "put the file itself there, not a symbolic link",
            Some(Errno::ACCESS | Errno::PERM) => "give it, and its folders, to the user who runs this",
            Some(_) | None => "look at its disk and at the limit of open files",
        };
        StartError::new(format!("The file {shown} cannot be read ({error}); {fix}."))
    };
    let mut file = OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    check_open_file(path, &file)?;
    if meta.len() > MAX_PRIVATE_FILE {
        return Err(StartError::new(format!(
            "The file {shown} is larger than {MAX_PRIVATE_FILE} bytes; it cannot be what is expected there."
        )));
    }
    // Room for the whole file and one byte more: the vector never grows, so no copy is left behind unwiped.
    let room = usize::try_from(meta.len()).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let limit = u64::try_from(room).unwrap_or(MAX_PRIVATE_FILE);
    (&mut file).take(limit).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() >= room {
        return Err(StartError::new(format!("The file {shown} grew while it was read; start again.")));
    }
    Ok(bytes)
}

/// Checks that `path` is a directory of the process's user that nobody else may enter.
///
/// # Errors
/// It is missing, a link, not a directory, open to others, or owned by somebody else.
pub fn check_private_directory(path: &Path) -> Result<(), StartError> {
    let shown = path.display();
    let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        StartError::new(format!("{shown} is not a usable directory ({error}); make it, not as a symbolic link."))
    })?;
    let meta = directory
        .metadata()
        .map_err(|error| StartError::new(format!("The directory {shown} cannot be examined ({error}).")))?;
    check_owner_and_mode(path, &meta, "700")
}

/// Makes a directory with mode 0700; one that is there already and passes the check is fine.
///
/// # Errors
/// It cannot be made, or is there and fails [`check_private_directory`].
pub fn create_private_directory(path: &Path) -> Result<(), StartError> {
    let cannot = |error: io::Error| {
        StartError::new(format!("The directory {} cannot be made ({error}); check its parent.", path.display()))
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            // A umask can only have taken rights of the owner away.
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(cannot)?;
            sync_parent(path).map_err(cannot)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error)),
    }
    check_private_directory(path)
}

/// Refuses a path at which something else than a regular file is, because it is about to be replaced by one.
///
/// # Errors
/// A device, a link, a directory or the like is there.
pub fn refuse_special(path: &Path) -> Result<(), StartError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_file() => Err(StartError::new(format!(
            "{} is not a regular file and is not replaced; name another one.",
            path.display()
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Writes a new file with mode 0600, durably. Never overwrites.
///
/// # Errors
/// Something is there already, or the file cannot be written; a half-written file is removed.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    write_new(path, bytes).map_err(|error| not_created(path, &error))
}

/// [`create_private`] for folders that a running service watches: a reader or a crash never finds half of the file.
///
/// # Errors
/// Something is there already, or the file cannot be written.
pub fn create_private_whole(path: &Path, bytes: &[u8]) -> Result<(), StartError> {
    let temporary = temporary_beside(path).map_err(|error| not_created(path, &error))?;
    let made = write_new(&temporary, bytes)
        // A link, because it never replaces what is there.
        .and_then(|()| std::fs::hard_link(&temporary, path));
    let _swept_later = std::fs::remove_file(&temporary);
    made.and_then(|()| sync_parent(path)).map_err(|error| not_created(path, &error))
}

fn not_created(path: &Path, error: &io::Error) -> StartError {
    let shown = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        StartError::new(format!("{shown} exists and is not overwritten; move it away first if it is not needed."))
    } else {
        StartError::new(format!("The file {shown} cannot be written ({error}); check its directory."))
    }
}

/// Replaces the content of a file by `bytes`. A reader sees the old content or the new, even after a crash.
///
/// # Errors
/// The new file cannot be written or renamed. Then the old one is untouched.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    write_new(&temporary, bytes)?;
    let renamed = std::fs::rename(&temporary, path).and_then(|()| sync_parent(path));
    if renamed.is_err() {
        let _gone_already = std::fs::remove_file(&temporary);
    }
    renamed
}

/// Destroys a file: its name first, so that a crash leaves no half-destroyed key behind ([`sweep`] completes it), then
/// its bytes, then the file. A missing one is destroyed already. A disk may keep copies of overwritten bytes.
///
/// # Errors
/// The file cannot be renamed, overwritten or removed.
pub fn destroy_private(path: &Path) -> io::Result<()> {
    let dying = dying_name(path)?;
    match std::fs::rename(path, &dying) {
        Ok(()) => sync_parent(path).and_then(|()| erase(&dying)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Replaces the file at `path` by the file `successor`, and destroys the old bytes. A crash leaves either file at
/// `path`, and leaves the rest of the destruction to [`sweep`].
///
/// # Errors
/// A file cannot be renamed, overwritten or removed.
pub fn destroy_by_replacing(path: &Path, successor: &Path) -> io::Result<()> {
    let dying = dying_name(path)?;
    // Left by a crash before the renaming: another name of the same file.
    let _usually_none = std::fs::remove_file(&dying);
    std::fs::hard_link(path, &dying)?;
    std::fs::rename(successor, path)?;
    sync_parent(path)?;
    erase(&dying)
}

fn dying_name(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    Ok(path.with_file_name(format!(".{name}{DYING}")))
}

/// Whether a crash may have left a file of this name: one that was being written or destroyed.
pub(crate) fn is_left_behind(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(TEMPORARY) || name.ends_with(DYING))
}

/// Destroys the files that a crash left half-written or half-destroyed in a folder.
///
/// # Errors
/// The folder cannot be read, or a file not removed.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_left_behind(&name) {
            continue;
        }
        if name.ends_with(DYING) {
            erase(&entry.path())?;
        } else if is_old(&entry) {
            // By another name first: somebody who writes it after all does not put zeros in the place of the file that he replaces.
            destroy_private(&entry.path())?;
        }
    }
    Ok(())
}

/// True if nobody writes the file any more. One from the future may be being written, by a clock that was set back since: it begins
/// to age now.
fn is_old(entry: &std::fs::DirEntry) -> bool {
    let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) else { return false };
    let age = modified.elapsed();
    if age.is_err() {
        let opened = OpenOptions::new().write(true).custom_flags(NO_FOLLOW).open(entry.path());
        // What cannot be dated is looked at again by the next sweep.
        let _dated = opened.and_then(|file| file.set_modified(std::time::SystemTime::now()));
    }
    age.is_ok_and(|age| age >= LONGEST_WRITE)
}

/// Writing a file of some kilobytes takes no longer.
const LONGEST_WRITE: std::time::Duration = std::time::Duration::from_mins(1);

/// The end of the name of a file that is being written.
const TEMPORARY: &str = ".tmp";
/// The end of the name of a file that is being destroyed.
const DYING: &str = ".destroyed";

/// Overwrites and removes a file. One with another name is still in use, and only this name is removed. A missing one
/// was erased by another process: a service that sweeps its folder while a command destroys a key in it.
fn erase(path: &Path) -> io::Result<()> {
    match overwrite_and_remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn overwrite_and_remove(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(NO_FOLLOW).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.nlink() == 1 {
        io::copy(&mut io::repeat(0).take(meta.len()), &mut file)?;
        file.sync_all()?;
    }
    std::fs::remove_file(path).and_then(|()| sync_parent(path))
}

/// Makes the names in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// A name in the same directory that no other call uses.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    // Not a number of the process: in a container each has the same, and one of them may have left its file.
    Ok(path.with_file_name(format!(".{name}.{}{TEMPORARY}", hex::encode(random::<8>()))))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file
        .set_permissions(PermissionsExt::from_mode(0o600))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_parent(path));
    if written.is_err() {
        let _gone_already = std::fs::remove_file(path);
    }
    written
}

/// The checks of [`read_private`] on a file that is already open.
pub(crate) fn check_open_file(path: &Path, file: &File) -> Result<(), StartError> {
    let shown = path.display();
    let meta =
        file.metadata().map_err(|error| StartError::new(format!("The file {shown} cannot be examined ({error}).")))?;
    if !meta.is_file() {
        return Err(StartError::new(format!("{shown} is not a regular file; put the file itself there.")));
    }
    check_owner_and_mode(path, &meta, "600")
}

/// A file or folder as it was found at a path, to notice when it is missing or another one is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    path: PathBuf,
    // Device and number on it.
    id: (u64, u64),
}

impl FoundFile {
    /// The file at `path` now.
    ///
    /// # Errors
    /// Nothing is there, or it cannot be examined.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), id: (meta.dev(), meta.ino()) })
    }

    /// Whether it is still there.
    pub fn is_there(&self) -> bool {
        Self::of(&self.path).is_ok_and(|now| now.id == self.id)
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Refuses to work on the files of another user: the service could not read the files that root writes among them.
/// Missing files belong to nobody. A command that writes calls this before it touches anything.
///
/// # Errors
/// One of them belongs to another user than the one whose process this is.
pub fn refuse_files_of_others<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<(), StartError> {
    paths.into_iter().try_for_each(|path| match std::fs::symlink_metadata(&path) {
        Ok(meta) => check_owner(path.as_ref(), &meta),
        // Whoever may not look does not get any further either.
        Err(_) => Ok(()),
    })
}

fn check_owner(path: &Path, meta: &std::fs::Metadata) -> Result<(), StartError> {
    let (owner, own) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner == own {
        return Ok(());
    }
    Err(StartError::new(format!(
        "{} belongs to user {owner}, and this is run by user {own}; run it as the user of the service (sudo -u '#{owner}' …), \
         or give the file to that user.",
        path.display()
    )))
}

fn check_owner_and_mode(path: &Path, meta: &std::fs::Metadata, wanted: &str) -> Result<(), StartError> {
    let (shown, mode) = (path.display(), meta.mode() & 0o7777);
    check_owner(path, meta)?;
    if mode & 0o077 != 0 {
        return Err(StartError::new(format!(
            "{shown} has mode {mode:04o} and is open to others; run: chmod {wanted} {shown}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn group_readable_file_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_private(&path, b"k").unwrap();
        assert_eq!(**read_private(&path).unwrap(), *b"k");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set_mode(&path, mode);
            let refusal = read_private(&path).unwrap_err().sentence;
            assert!(refusal.contains(&format!("{mode:04o}")), "{refusal}");
            assert!(refusal.contains(&format!("chmod 600 {}", path.display())), "{refusal}");
        }
    }

    #[test]
    fn files_of_another_user_are_refused_and_missing_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        refuse_files_of_others([dir.path(), &dir.path().join("missing")]).unwrap();
        // Whoever is not root finds a file of another user in root's.
        let foreign = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(12_345), None).unwrap();
            dir.path()
        } else {
            Path::new("/")
        };
        let refusal = refuse_files_of_others([foreign]).unwrap_err().sentence;
        assert!(refusal.contains("belongs to user") && refusal.contains("sudo -u"), "{refusal}");
    }

    #[test]
    fn links_fifos_directories_and_large_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_private(&path, b"k").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read_private(&link).is_err());
        assert!(read_private(dir.path()).is_err());
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(read_private(&fifo).is_err());
        let large = dir.path().join("large");
        create_private(&large, &vec![0; usize::try_from(MAX_PRIVATE_FILE).unwrap() + 1]).unwrap();
        assert!(read_private(&large).is_err());
    }

    #[test]
    fn nothing_is_overwritten_and_replacing_keeps_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        create_private(&path, b"one").unwrap();
        assert!(create_private(&path, b"two").unwrap_err().sentence.contains("not overwritten"));
        assert_eq!(**read_private(&path).unwrap(), *b"one");
        replace_private(&path, b"three").unwrap();
        assert_eq!(**read_private(&path).unwrap(), *b"three");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file stayed");
    }

    #[test]
    fn destroyed_file_is_overwritten_and_gone_and_its_other_name_stays_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("key"), dir.path().join("other"));
        create_private_whole(&path, b"secret").unwrap();
        let mut opened = File::open(&path).unwrap();
        destroy_private(&path).unwrap();
        let mut left = Vec::new();
        opened.read_to_end(&mut left).unwrap();
        assert_eq!(left, [0; 6], "the bytes outlived the file");
        destroy_private(&path).unwrap();
        create_private(&path, b"shared").unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        destroy_private(&path).unwrap();
        assert_eq!(**read_private(&other).unwrap(), *b"shared");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_left_is_swept_and_what_is_being_written_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (dying, old) = (dir.path().join(".key.destroyed"), dir.path().join(".key.1.0.tmp"));
        let (young, key) = (dir.path().join(".key.2.0.tmp"), dir.path().join("key"));
        for path in [&dying, &old, &young, &key] {
            create_private(path, b"x").unwrap();
        }
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
        File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        sweep(dir.path()).unwrap();
        assert!(!dying.exists() && !old.exists() && young.exists() && key.exists());
    }

    #[test]
    fn what_is_being_written_is_not_swept_by_a_clock_that_was_set_back() {
        let dir = tempfile::tempdir().unwrap();
        let written = dir.path().join(".key.1.0.tmp");
        create_private(&written, b"x").unwrap();
        let ahead = std::time::SystemTime::now() + std::time::Duration::from_hours(2);
        File::options().write(true).open(&written).unwrap().set_modified(ahead).unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(std::fs::read(&written).unwrap(), b"x");
        let dated = std::fs::metadata(&written).unwrap().modified().unwrap();
        assert!(dated <= std::time::SystemTime::now(), "it does not stay until the former time comes");
    }

    #[test]
    fn directory_open_to_others_or_linked_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        create_private_directory(&path).unwrap();
        create_private_directory(&path).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(check_private_directory(&link).is_err());
        set_mode(&path, 0o750);
        assert!(create_private_directory(&path).unwrap_err().sentence.contains("chmod 700"));
    }
}
