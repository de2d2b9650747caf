//! The runtime directory: memory-backed, private, never in a backup. Holds seal keys and the mark.

use std::path::{Path, PathBuf};

use service_runtime::StartError;
use service_runtime::files::create_private_directory;
use service_runtime::process::{is_memory_backed, swap_is_on};
use shared_proto::id::VaultId;

use crate::config::Config;

/// A checked runtime directory.
#[derive(Clone, Debug)]
pub struct RuntimeDirectory {
    path: PathBuf,
    // Whether it may lie on a disk.
    any_place: bool,
}

impl RuntimeDirectory {
    /// Finds, makes and checks the directory: the configured one, else `$RUNTIME_DIRECTORY`, else a folder in
    /// `$XDG_RUNTIME_DIR`, else `/dev/shm/splitvault-<uid>-<vault id>`.
    ///
    /// # Errors
    /// It is open to others or, outside development and without the danger option, on a disk or beside swap.
    pub fn open(config: &Config, id: VaultId) -> Result<Self, StartError> {
        let any_place = config.mode.is_development() || config.danger.runtime_on_disk;
        let directory = Self { path: place(config, id), any_place };
        directory.keep()?;
        if !directory.is_in_memory() {
            tracing::warn!("{}", directory.on_disk());
        }
        if swap_is_on() {
            weaker(
                config,
                config.danger.swap,
                "Swap is on, so keys in memory may reach a disk; switch it off, or set danger.swap.",
            )?;
        }
        Ok(directory)
    }

    /// Makes the directory if it is missing, and checks it.
    ///
    /// # Errors
    /// It cannot be made, is open to others, or lies on a disk without the danger option.
    pub fn keep(&self) -> Result<(), StartError> {
        create_private_directory(&self.path)?;
        if self.any_place || self.is_in_memory() { Ok(()) } else { Err(StartError::new(self.on_disk())) }
    }

    fn is_in_memory(&self) -> bool {
        is_memory_backed(&self.path).unwrap_or(false)
    }

    fn on_disk(&self) -> String {
        format!(
            "The runtime directory {} is not on tmpfs, so seal keys would outlive their destruction on a disk; set \
             runtime_dir to a tmpfs, or danger.runtime_on_disk.",
            self.path.display()
        )
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn weaker(config: &Config, allowed: bool, sentence: &str) -> Result<(), StartError> {
    if config.mode.is_development() || allowed {
        tracing::warn!("{sentence}");
        Ok(())
    } else {
        Err(StartError::new(sentence))
    }
}

fn place(config: &Config, id: VaultId) -> PathBuf {
    if let Some(dir) = &config.runtime_dir {
        return dir.clone();
    }
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(dirs) = variable("RUNTIME_DIRECTORY") {
        // systemd gives a list separated by colons.
        return PathBuf::from(dirs.split(':').next().unwrap_or_default());
    }
    if let Some(dir) = variable("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_dir()) {
        return dir.join(format!("splitvault-{id}"));
    }
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() || !config.mode.is_development() {
        let uid = rustix::process::geteuid().as_raw();
        return shared_memory.join(format!("splitvault-{uid}-{id}"));
    }
    config.data_dir.join("runtime")
}
