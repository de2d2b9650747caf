//! The hardening of a process before it reads a key, and facts about the machine on which it runs.
//!
//! Guarantees that no core file is written, that another process of the same user cannot read this one's memory
//! through `/proc`, and that one data directory is used by one process. Refuses to start with one sentence.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};

use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    time::{ClockId, clock_gettime},
};

use crate::StartError;

/// Forbids core files and memory access by other processes of the same user.
///
/// # Errors
/// The kernel refused one of the two settings.
pub fn harden() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the limit of open files to the most that the system allows, and returns it.
pub fn open_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let counts = if raised.is_ok() { limit.maximum } else { limit.current };
    counts.unwrap_or(u64::MAX)
}

/// The exclusive use of a directory, for as long as the value lives.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock on the directory itself: a lock file could be removed, and let a second process in. The kernel drops
    /// it when the process ends, however it ends.
    ///
    /// # Errors
    /// Another process holds it, or the directory cannot be opened.
    pub fn acquire(dir: &Path) -> Result<Self, StartError> {
        let shown = dir.display();
        let cannot = |error: io::Error| {
            StartError::new(format!(
                "The directory {shown} cannot be locked ({error}); look at it, its owner and mode."
            ))
        };
        let file = File::open(dir).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StartError::new(format!(
                "The directory {shown} is in use by another process; stop that one first."
            ))),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}

/// Whether the process may open another file. Connections meet the limit of open files first. Then it stops everything
/// that needs a file: the mark, new seal keys, a new segment of the audit log.
pub fn can_open_files() -> bool {
    !matches!(rustix::io::dup(std::io::stdin()), Err(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

/// Whether any swap is on, so that memory may reach a disk. The kernel is asked, for `/proc` may be hidden.
pub fn swap_is_on() -> bool {
    rustix::system::sysinfo().totalswap > 0
}

/// Whether `path` lies on tmpfs or ramfs.
///
/// # Errors
/// The path does not exist or cannot be examined.
pub fn is_memory_backed(path: &Path) -> io::Result<bool> {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h.
    const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    let kind = rustix::fs::statfs(path)?.f_type;
    // The kernel's field is a machine word of either sign; the magic numbers are 32 bits.
    Ok(u64::try_from(kind).is_ok_and(|kind| MEMORY_FILE_SYSTEMS.contains(&kind)))
}

/// Seconds of [`boot_clock`].
pub fn boot_clock_seconds() -> u64 {
    boot_clock().as_secs()
}

/// `CLOCK_BOOTTIME`: the time since the machine started, sleep included, untouched by changes of the date.
pub fn boot_clock() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// An id of this boot of the machine, for files in `directory`. It is the kernel's id. Where `/proc/sys` is hidden, it
/// is the id of the directory itself, if that is in memory and so does not outlive the boot. On a disk it is a new one
/// for each process, so that files of an earlier process count as files of an earlier boot.
///
/// # Errors
/// The directory cannot be examined, or there is no randomness.
pub fn boot_id(directory: &Path) -> io::Result<String> {
    boot_id_from(Path::new("/proc/sys/kernel/random/boot_id"), directory)
}

fn boot_id_from(kernels: &Path, directory: &Path) -> io::Result<String> {
    if let Ok(id) = std::fs::read_to_string(kernels) {
        return Ok(id.trim().to_owned());
    }
    if is_memory_backed(directory)? {
        let meta = std::fs::metadata(directory)?;
        return Ok(format!("memory-{:x}-{:x}", meta.dev(), meta.ino()));
    }
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(io::Error::other)?;
    Ok(format!("process-{}", hex::encode(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardened_process_writes_no_core_and_is_not_dumpable() {
        harden().unwrap();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn limit_of_open_files_is_raised_to_what_the_system_allows() {
        let limit = getrlimit(Resource::Nofile);
        let lowered = limit.maximum.map_or(4_096, |maximum| maximum - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lowered), ..limit }).unwrap();
        assert_eq!(open_file_limit(), limit.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }

    #[test]
    fn second_holder_of_a_directory_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(dir.path()).unwrap();
        let refusal = DirectoryLock::acquire(dir.path()).unwrap_err();
        assert!(refusal.sentence.contains("in use by another process"), "{refusal}");
        drop(first);
        let _third = DirectoryLock::acquire(dir.path()).unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        DirectoryLock::acquire(dir.path()).unwrap_err();
    }

    #[test]
    fn machine_answers_are_plausible() {
        assert!(boot_clock_seconds() > 0);
        assert_eq!(boot_id(Path::new("/")).unwrap().len(), 36);
        assert!(!is_memory_backed(Path::new("/proc")).unwrap());
        // The other source; a machine without /proc/swaps has none.
        let table = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
        assert_eq!(swap_is_on(), table.lines().count() > 1);
    }

    #[test]
    fn boot_without_the_kernels_id_is_known_by_a_directory_in_memory_and_by_nothing_on_a_disk() {
        let (hidden, memory) = (Path::new("/proc/no/boot_id"), tempfile::tempdir_in("/dev/shm").unwrap());
        let id = |directory: &Path| boot_id_from(hidden, directory).unwrap();
        assert_eq!(id(memory.path()), id(memory.path()));
        let other = tempfile::tempdir_in("/dev/shm").unwrap();
        assert_ne!(id(memory.path()), id(other.path()), "a copy in a later boot");
        let disk = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_ne!(id(disk), id(disk));
    }
}
