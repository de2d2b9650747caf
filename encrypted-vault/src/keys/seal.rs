//! Seal keys: made every 15 minutes, destroyed after 60, kept in memory and in the runtime directory only.
//!
//! A key ends when the wall clock *or* the boot clock says so, whichever is first, so that setting the clock back does
//! not keep one alive. Expired ones are also destroyed at every start. A restart of the machine ends them all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use service_runtime::StartError;
use service_runtime::clock::Clock;
use service_runtime::files::{create_private, read_private};
use shared_proto::encoding::{b64, from_b64_secret};
use shared_proto::identity::{IdentityKey, Owner};
use shared_proto::jwk::Thumbprint;
use shared_proto::release::SealKey;
use shared_proto::statement::{KeyStatement, Purpose};
use zeroize::Zeroizing;

use super::RuntimeDirectory;

/// A new key is made when the newest one is this old, in seconds.
pub const TURN_SECONDS: u64 = 15 * 60;
/// A key is destroyed at this age, in seconds.
pub const LIFE_SECONDS: u64 = 60 * 60;
/// Not-before lies this far in the past, for clocks that run behind, in seconds.
pub const SKEW_SECONDS: u64 = 60;

/// The living seal keys.
pub struct SealKeys {
    directory: RuntimeDirectory,
    boot_id: String,
    clock: Arc<dyn Clock>,
    living: RwLock<Vec<Arc<Living>>>,
}

struct Living {
    key: SealKey,
    made_at: u64,
    made_at_boot: u64,
    statement: Mutex<KeyStatement>,
    // What has ended stays so, whatever the clocks say later.
    ended: AtomicBool,
}

/// What [`SealKeys::turn`] changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Keys destroyed.
    pub destroyed: usize,
    /// Whether a key was made.
    pub made: bool,
    /// Whether no earlier key is left: nothing may be opened until the manager's newest event is known again.
    pub all_new: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealFile {
    kid: Thumbprint,
    private_key: Zeroizing<String>,
    made_at: u64,
    made_at_boot: u64,
    boot_id: String,
}

impl SealKeys {
    /// Loads the keys that are still alive, and removes the files of all others.
    ///
    /// # Errors
    /// The directory cannot be read or a dead key's file cannot be removed.
    pub fn open(
        directory: &RuntimeDirectory,
        boot_id: String,
        clock: Arc<dyn Clock>,
        (identity, owner): (&IdentityKey, Owner),
    ) -> Result<Self, StartError> {
        let keys = Self { directory: directory.clone(), boot_id, clock, living: RwLock::default() };
        let mut living = Vec::new();
        for path in keys.files()? {
            match keys.read(&path, identity, owner) {
                Some(key) => living.push(Arc::new(key)),
                None => remove(&path)?,
            }
        }
        living.sort_by_key(|key| key.made_at_boot);
        *keys.living.write().unwrap_or_else(PoisonError::into_inner) = living;
        Ok(keys)
    }

    /// Destroys keys that have expired and makes a new one when it is due. Called at start and every second.
    ///
    /// # Errors
    /// A new key cannot be written, or a dead key's file cannot be removed.
    pub fn turn(&self, identity: &IdentityKey, owner: Owner) -> Result<Turn, StartError> {
        let (now, boot) = (self.clock.now(), self.clock.boot());
        let mut outcome = Turn::default();
        let dead: Vec<Arc<Living>> = self.select(|key| !key.is_alive(now, boot));
        for key in &dead {
            key.ended.store(true, Ordering::SeqCst);
        }
        for key in dead {
            // The file first: one that cannot be removed now is tried again, because the key is still known.
            remove(&self.path_of(&key.key.kid()))?;
            self.living.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &key));
            outcome.destroyed += 1;
        }
        self.restore_files()?;
        let newest = self.newest(now);
        outcome.all_new = self.is_empty();
        if newest.is_none_or(|made_at_boot| boot.saturating_sub(made_at_boot) >= TURN_SECONDS) {
            let key = self.make(identity, owner, now, boot)?;
            self.living.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(key));
            outcome.made = true;
        }
        Ok(outcome)
    }

    /// Destroys every key, because earlier tokens must not open anything any more.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn destroy_all(&self) -> Result<(), StartError> {
        for key in self.select(|_| true) {
            key.ended.store(true, Ordering::SeqCst);
        }
        self.files()?.iter().try_for_each(|path| remove(path))?;
        self.living.write().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Runs `act` with the living keys.
    pub fn with<T>(&self, act: impl FnOnce(&[&SealKey]) -> T) -> T {
        let (now, boot) = (self.clock.now(), self.clock.boot());
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        let alive: Vec<&SealKey> = living.iter().filter(|key| key.is_alive(now, boot)).map(|key| &key.key).collect();
        act(&alive)
    }

    /// Whether this key is alive.
    pub fn is_alive(&self, kid: &Thumbprint) -> bool {
        let (now, boot) = (self.clock.now(), self.clock.boot());
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.iter().any(|key| key.key.kid() == *kid && key.is_alive(now, boot))
    }

    /// The statements of the living keys, signed again after a change of the identity key.
    pub fn statements(&self, identity: &IdentityKey, owner: Owner) -> Vec<KeyStatement> {
        let (now, boot) = (self.clock.now(), self.clock.boot());
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.iter().filter(|key| key.is_alive(now, boot)).map(|key| key.statement(identity, owner)).collect()
    }

    /// Whether a key can be used now: it is alive, and was not made by a clock that has since been set back.
    pub fn any_valid(&self) -> bool {
        let (now, boot) = (self.clock.now(), self.clock.boot());
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.iter().any(|key| key.is_alive(now, boot) && now >= key.not_before())
    }

    /// Whether there is no living key.
    pub fn is_empty(&self) -> bool {
        self.living.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Restores the directory and the files of living keys if they have vanished: the system removes `$XDG_RUNTIME_DIR`
    /// when its user logs out.
    fn restore_files(&self) -> Result<(), StartError> {
        self.directory.keep()?;
        for key in self.select(|_| true) {
            let path = self.path_of(&key.key.kid());
            if !path.exists() {
                self.write(&key.key, key.made_at, key.made_at_boot)?;
                tracing::warn!(file = %path.display(), "the file of a living seal key had vanished; it is there again");
            }
        }
        Ok(())
    }

    fn select(&self, which: impl Fn(&Living) -> bool) -> Vec<Arc<Living>> {
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.iter().filter(|key| which(key)).map(Arc::clone).collect()
    }

    // When the newest key that is valid now was made, on the boot clock.
    fn newest(&self, now: u64) -> Option<u64> {
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.iter().filter(|key| now >= key.not_before()).map(|key| key.made_at_boot).max()
    }

    fn make(&self, identity: &IdentityKey, owner: Owner, now: u64, boot: u64) -> Result<Living, StartError> {
        let key = SealKey::generate().map_err(|_| StartError::new("No seal key could be generated."))?;
        self.write(&key, now, boot)?;
        Ok(Living::new(key, now, boot, identity, owner))
    }

    fn write(&self, key: &SealKey, made_at: u64, made_at_boot: u64) -> Result<(), StartError> {
        let file = SealFile {
            kid: key.kid(),
            // EXPOSE: the private key goes into its file in the runtime directory.
            private_key: Zeroizing::new(b64(key.expose())),
            made_at,
            made_at_boot,
            boot_id: self.boot_id.clone(),
        };
        let json = serde_json::to_vec(&file).map(Zeroizing::new);
        let json = json.map_err(|_| StartError::new("The seal key could not be written."))?;
        create_private(&self.path_of(&key.kid()), &json)
    }

    fn read(&self, path: &std::path::Path, identity: &IdentityKey, owner: Owner) -> Option<Living> {
        let file: SealFile = serde_json::from_slice(&read_private(path).ok()?).ok()?;
        let key = SealKey::from_private(from_b64_secret(&file.private_key).ok()?).ok()?;
        let (now, boot) = (self.clock.now(), self.clock.boot());
        // After a restart of the machine the boot clock says nothing about the key's age.
        let good = file.kid == key.kid() && file.boot_id == self.boot_id && *path == self.path_of(&key.kid());
        let living = Living::new(key, file.made_at, file.made_at_boot, identity, owner);
        (good && living.is_alive(now, boot)).then_some(living)
    }

    fn files(&self) -> Result<Vec<PathBuf>, StartError> {
        let directory = self.directory.path();
        let cannot =
            |error: std::io::Error| StartError::new(format!("{} cannot be read ({error}).", directory.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("seal-")) {
                found.push(path);
            }
        }
        Ok(found)
    }

    fn path_of(&self, kid: &Thumbprint) -> PathBuf {
        self.directory.path().join(format!("seal-{kid:?}.json"))
    }
}

impl Living {
    fn new(key: SealKey, made_at: u64, made_at_boot: u64, identity: &IdentityKey, owner: Owner) -> Self {
        let statement = Mutex::new(state(&key, made_at, identity, owner));
        Self { key, made_at, made_at_boot, statement, ended: AtomicBool::new(false) }
    }

    fn statement(&self, identity: &IdentityKey, owner: Owner) -> KeyStatement {
        let mut statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        if statement.kid != identity.kid() {
            *statement = state(&self.key, self.made_at, identity, owner);
        }
        statement.clone()
    }

    fn not_before(&self) -> u64 {
        self.made_at.saturating_sub(SKEW_SECONDS)
    }

    fn is_alive(&self, now: u64, boot: u64) -> bool {
        !self.ended.load(Ordering::SeqCst)
            && now < self.made_at.saturating_add(LIFE_SECONDS)
            && boot < self.made_at_boot.saturating_add(LIFE_SECONDS)
    }
}

fn state(key: &SealKey, made_at: u64, identity: &IdentityKey, owner: Owner) -> KeyStatement {
    let validity = (made_at.saturating_sub(SKEW_SECONDS), made_at.saturating_add(LIFE_SECONDS));
    KeyStatement::sign(identity, owner, Purpose::Seal, key.public().clone(), validity)
}

fn remove(path: &std::path::Path) -> Result<(), StartError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StartError::new(format!("{} cannot be removed ({error}).", path.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
