//! Root keys: one for each environment and epoch, each independent randomness.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use service_runtime::StartError;
use service_runtime::files::destroy_private;
use service_runtime::key_folder::refused;
use service_runtime::key_slots::{KeyState, confirm, create_numbered, load_numbered, path_of};
use shared_proto::id::EnvironmentId;
use shared_proto::secret::RootKey;

use manager_store::Environment;

/// The first epoch of a root key.
pub const FIRST_EPOCH: u32 = 1;

/// The root keys of all environments.
pub struct RootKeys(HashMap<EnvironmentId, BTreeMap<u32, RootSlot>>);

/// The root key of one epoch.
pub struct RootSlot {
    key: RootKey,
    /// Unconfirmed, active or retired.
    pub state: KeyState,
    /// When it got this state (Unix seconds).
    pub since: u64,
}

impl RootSlot {
    /// Its name in reports.
    pub fn fingerprint(&self) -> String {
        // EXPOSE: input of the derivation, which cannot fail at this length.
        shared_proto::derive::fingerprint(self.key.expose()).unwrap_or_default()
    }
}

impl RootKeys {
    /// Reads `<environment id>.<epoch>.key` and its unconfirmed and retired forms.
    ///
    /// # Errors
    /// A file is not named or formed like a root key, is open to others, or an environment has none in use.
    pub fn load(folder: &Path, environments: &[Environment]) -> Result<Self, StartError> {
        let mut keys: HashMap<EnvironmentId, BTreeMap<u32, RootSlot>> = HashMap::new();
        for found in load_numbered(folder)? {
            let Ok(environment) = found.scope.parse() else {
                let name = folder.join(format!("{}.{}.key", found.scope, found.number));
                return Err(refused(&name, "it is not named <environment id>.<epoch>.key", "move it away"));
            };
            let slot = RootSlot { key: RootKey::from_bytes(found.key), state: found.state, since: found.since };
            keys.entry(environment).or_default().insert(found.number, slot);
        }
        let keys = Self(keys);
        for environment in environments {
            if !keys.has_first(environment.id) {
                return Err(StartError::new(format!(
                    "The environment {} ({}) has no root key in {}; restore it from the backup, for nothing of it can \
                     be read without.",
                    environment.name,
                    environment.id,
                    folder.display()
                )));
            }
        }
        Ok(keys)
    }

    /// The key for new versions of an environment, and its epoch. Never one whose backup is not confirmed.
    pub fn newest(&self, environment: EnvironmentId) -> Option<(u32, &RootKey)> {
        self.in_use(environment).last().map(|(epoch, slot)| (epoch, &slot.key))
    }

    /// The key of an epoch. Never one whose backup is not confirmed.
    pub fn of(&self, environment: EnvironmentId, epoch: u32) -> Option<&RootKey> {
        let slot = self.0.get(&environment)?.get(&epoch)?;
        (slot.state != KeyState::Unconfirmed).then_some(&slot.key)
    }

    /// The keys of an environment that may have versions under them, ascending.
    pub fn in_use(&self, environment: EnvironmentId) -> impl DoubleEndedIterator<Item = (u32, &RootSlot)> {
        self.all(environment).filter(|(_, slot)| slot.state == KeyState::Active)
    }

    /// All keys of an environment, ascending by epoch.
    pub fn all(&self, environment: EnvironmentId) -> impl DoubleEndedIterator<Item = (u32, &RootSlot)> {
        self.0.get(&environment).into_iter().flatten().map(|(epoch, slot)| (*epoch, slot))
    }

    /// Finishes environments that were being made: the first key of one that has a row comes into use. That of one without a
    /// row stays as it is. It may have been in use since, if key folder and database were restored.
    ///
    /// # Errors
    /// The folder fails a check, or a file cannot be renamed.
    pub fn finish(folder: &Path, environments: &[Environment]) -> Result<(), StartError> {
        for found in load_numbered(folder)? {
            if (found.number, found.state) != (FIRST_EPOCH, KeyState::Unconfirmed) {
                continue;
            }
            if environments.iter().any(|known| known.id.to_string() == found.scope) {
                confirm(folder, &found.scope, FIRST_EPOCH)?;
            }
        }
        Ok(())
    }

    /// Destroys the first key of an environment that was not made after all.
    ///
    /// # Errors
    /// The file cannot be destroyed.
    pub fn give_up(folder: &Path, environment: EnvironmentId) -> Result<(), StartError> {
        let path = path_of(folder, &environment.to_string(), FIRST_EPOCH, KeyState::Unconfirmed);
        destroy_private(&path)
            .map_err(|error| StartError::new(format!("{} is not destroyed ({error}).", path.display())))
    }

    /// Tells whether an environment has a key that is in use, or the first one of an environment that was being made.
    pub fn has_first(&self, environment: EnvironmentId) -> bool {
        let is_made = |(epoch, slot): (u32, &RootSlot)| (epoch, slot.state) == (FIRST_EPOCH, KeyState::Unconfirmed);
        self.newest(environment).is_some() || self.all(environment).any(is_made)
    }

    /// Makes a new root key and its file.
    ///
    /// # Errors
    /// The epoch was used already, or the file cannot be written.
    pub fn create(folder: &Path, environment: EnvironmentId, epoch: u32, state: KeyState) -> Result<(), StartError> {
        let key = RootKey::generate();
        // EXPOSE: the key goes into its file.
        create_numbered(folder, (&environment.to_string(), epoch), state, key.expose())
    }
}
