//! The keys of the running service: the newest state of the key folder that passed all checks.
//!
//! Guarantees that every caller gets keys that fit each other, and that a folder that fails a check changes nothing. No
//! token is signed with a revoked key, or with one that the vault has not acknowledged.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use service_runtime::Refusal;
use service_runtime::StartError;
use service_runtime::key_folder::KeyFolder;
use service_runtime::key_slots::KeyState;
use shared_proto::id::EnvironmentId;
use shared_proto::identity::Issuer;
use shared_proto::jwk::Thumbprint;

use super::{FIRST_EPOCH, LoadedKeys, RootKeys, TokenSigner, names};
use crate::environments::Environments;
use crate::vault_client::Signing;
use manager_store::{Environment, Installation};

/// The keys in use. They change while the ring is shared.
pub struct KeyRing {
    folder: PathBuf,
    installation: Installation,
    environments: Arc<Environments>,
    loaded: ArcSwap<LoadedKeys>,
    /// Held from reading the folder until its keys are in use, so that an older state never replaces a newer one.
    reloading: Mutex<()>,
    acknowledged: ArcSwap<Vec<Thumbprint>>,
    revoked: ArcSwap<Vec<Thumbprint>>,
    signing: Arc<Signing>,
    exchange_wanted: AtomicBool,
}

impl KeyRing {
    /// A ring with these keys of the folder at `path`.
    pub fn new(path: &Path, installation: Installation, environments: Arc<Environments>, keys: LoadedKeys) -> Self {
        let issuer = Issuer { mode: installation.mode, manager: installation.manager };
        let identity = ArcSwap::new(Arc::clone(&keys.identity));
        let signing = Arc::new(Signing { identity, issuer, vault: keys.vault });
        Self {
            folder: path.to_owned(),
            installation,
            environments,
            loaded: ArcSwap::from_pointee(keys),
            reloading: Mutex::default(),
            acknowledged: ArcSwap::default(),
            revoked: ArcSwap::default(),
            signing,
            exchange_wanted: AtomicBool::new(false),
        }
    }

    /// The keys at this moment.
    pub fn now(&self) -> Arc<LoadedKeys> {
        self.loaded.load_full()
    }

    /// The key and ids for signing commands and events.
    pub fn signing(&self) -> Arc<Signing> {
        Arc::clone(&self.signing)
    }

    /// The installation that the keys belong to.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The environments that the keys are for.
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// The key folder.
    pub fn folder(&self) -> KeyFolder {
        KeyFolder::at(&self.folder)
    }

    /// The key folder's path.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The folder of root keys.
    pub fn root_folder(&self) -> PathBuf {
        self.folder.join(names::ROOT_KEYS)
    }

    /// Reads the folder again. Not for an async thread.
    ///
    /// # Errors
    /// The folder fails a check. The keys stay as they are.
    pub fn reload(&self) -> Result<(), StartError> {
        self.reload_by(|| LoadedKeys::load(&self.folder, &self.installation, &self.environments.now()))
    }

    /// Makes the first root key of an environment, which is not in use yet. Not for an async thread.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create_root_key(&self, environment: EnvironmentId) -> Result<(), StartError> {
        RootKeys::create(&self.root_folder(), environment, FIRST_EPOCH, KeyState::Unconfirmed)
    }

    /// Destroys the first root key of an environment that was not made. Not for an async thread.
    ///
    /// # Errors
    /// The file cannot be destroyed.
    pub fn give_up_root_key(&self, environment: EnvironmentId) -> Result<(), StartError> {
        RootKeys::give_up(&self.root_folder(), environment)
    }

    /// Takes the first root keys of environments into use that have a row, and reads the folder again. Not for an async
    /// thread.
    ///
    /// # Errors
    /// The folder fails a check. The keys stay as they are.
    pub fn finish_root_keys(&self, environments: &[Environment]) -> Result<(), StartError> {
        self.reload_by(|| LoadedKeys::at_start(&self.folder, &self.installation, environments))
    }

    /// Takes the keys that `load` returns into use. Two calls at once take turns, `load` included.
    ///
    /// # Errors
    /// Those of `load`, or the keys name another vault. The keys stay as they are.
    pub fn reload_by(&self, load: impl FnOnce() -> Result<LoadedKeys, StartError>) -> Result<(), StartError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = load()?;
        if keys.vault != self.signing.vault {
            return Err(StartError::new("The pinned vault is another one than at the start; stop the service first."));
        }
        self.signing.identity.store(Arc::clone(&keys.identity));
        self.loaded.store(Arc::new(keys));
        Ok(())
    }

    /// Notes the keys that the vault has acknowledged: it has signed that it received a poll that stated them.
    pub fn set_acknowledged(&self, kids: Vec<Thumbprint>) {
        self.acknowledged.store(Arc::new(kids));
    }

    /// Whether the vault knows this token signing key.
    pub fn is_acknowledged(&self, kid: &Thumbprint) -> bool {
        self.acknowledged.load().contains(kid)
    }

    /// Notes the token signing keys that were revoked.
    pub fn set_revoked(&self, kids: Vec<Thumbprint>) {
        self.revoked.store(Arc::new(kids));
    }

    /// The token signing keys that were revoked before the last sync with the vault.
    pub fn revoked(&self) -> Arc<Vec<Thumbprint>> {
        self.revoked.load_full()
    }

    /// Notes that the catalogue may have versions under older root keys again.
    pub fn want_exchange(&self) {
        self.exchange_wanted.store(true, Ordering::SeqCst);
    }

    /// Whether this was noted since the last call.
    pub fn take_exchange_wanted(&self) -> bool {
        self.exchange_wanted.swap(false, Ordering::SeqCst)
    }

    /// The key for signing a token.
    ///
    /// # Errors
    /// The vault does not know it yet.
    pub fn signer(&self) -> Result<Arc<TokenSigner>, Refusal> {
        let keys = self.loaded.load();
        let active = &keys.tokens.active;
        if !self.is_acknowledged(&active.kid()) {
            return Err(Refusal::unavailable("the vault has not acknowledged the token signing key yet"));
        }
        Ok(Arc::clone(&active.signer))
    }
}
