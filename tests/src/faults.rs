//! Faults below a service: a disk that fails, a clock that is wrong, files that may not be opened.
//!
//! The first two are shims in C, in `tests/faults`, loaded with `LD_PRELOAD`; what goes wrong is chosen by a file while
//! the service runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::repository;
use crate::service::Service;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No space is left.
    Full,
    /// Nothing can be written, made or removed.
    ReadOnly,
    /// Writes fail.
    WriteError,
    /// Writes succeed, and fsync says that they were lost.
    FsyncError,
    /// Reads fail.
    ReadError,
}

impl DiskFault {
    /// Every fault.
    pub const ALL: [Self; 5] = [Self::Full, Self::ReadOnly, Self::WriteError, Self::FsyncError, Self::ReadError];

    fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::WriteError => "write-error",
            Self::FsyncError => "fsync-error",
            Self::ReadError => "read-error",
        }
    }
}

impl Service {
    /// Loads the shims; counts from the next start.
    pub fn load_shims(&mut self) {
        let libraries = ["faulty_disk", "wrong_clock"].map(|name| build(name, &self.folder));
        self.set_variable("LD_PRELOAD", &PathBuf::from(libraries.join(":")));
        let (disk, below, clock) = (self.disk_file(), self.data(), self.clock_file());
        self.set_variable("FAULT_FILE", &disk);
        self.set_variable("FAULT_BELOW", &below);
        self.set_variable("CLOCK_OFFSET_FILE", &clock);
    }

    /// Says what is wrong with the disk of its data directory from now on.
    pub fn break_disk(&self, fault: Option<DiskFault>) {
        replace(&self.disk_file(), fault.map_or("", DiskFault::word));
    }

    /// Puts its wall clock off by so many seconds from now on.
    pub fn shift_clock(&self, seconds: i64) {
        replace(&self.clock_file(), &seconds.to_string());
    }

    /// Takes every descriptor away that it does not use now. Those that it closes afterwards are free again.
    pub fn take_free_descriptors(&self) {
        let names = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let open: BTreeSet<u64> =
            names.map(|name| name.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        // The kernel gives the lowest number that is free, if it is below the limit.
        self.limit_descriptors((0..u64::MAX).find(|number| !open.contains(number)).unwrap());
    }

    /// Sets the lowest number that no new descriptor may have.
    pub fn limit_descriptors(&self, limit: u64) {
        let new = Rlimit { current: Some(limit), maximum: rustix::process::getrlimit(Resource::Nofile).maximum };
        prlimit(Some(self.process_id()), Resource::Nofile, new).unwrap();
    }

    fn disk_file(&self) -> PathBuf {
        self.folder.join("disk-fault")
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.join("clock-offset")
    }
}

/// The service never sees half of it.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// Builds a library of tests/faults for `LD_PRELOAD`.
pub fn build(name: &str, folder: &Path) -> String {
    let library = folder.join(format!("{name}.so"));
    let source = repository().join(format!("tests/faults/{name}.c"));
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(command.status().expect("a C compiler is installed").success());
    library.to_str().unwrap().to_owned()
}
