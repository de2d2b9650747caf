//! Root keys: one for each environment and epoch, each independent randomness.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use service_runtime::StartError;
use service_runtime::files::check_private_directory;
use service_runtime::key_folder::{entries, read_key, write_key};
use shared_proto::id::EnvironmentId;
use shared_proto::secret::RootKey;

use crate::store::Environment;

/// The root keys of all environments.
pub struct RootKeys(HashMap<EnvironmentId, BTreeMap<u32, RootKey>>);

impl RootKeys {
    /// Reads `<environment id>.<epoch>.key` of a folder.
    ///
    /// # Errors
    /// A file is not named or formed like a root key, is open to others, or an environment has none.
    pub fn load(folder: &Path, environments: &[Environment]) -> Result<Self, StartError> {
        check_private_directory(folder)?;
        let mut keys: HashMap<EnvironmentId, BTreeMap<u32, RootKey>> = HashMap::new();
        for name in entries(folder)? {
            let path = folder.join(&name);
            let Some((environment, epoch)) = parse_name(&name) else {
                return Err(StartError::new(format!(
                    "{} is not named like a root key (<environment id>.<epoch>.key); move it away.",
                    path.display()
                )));
            };
            keys.entry(environment).or_default().insert(epoch, RootKey::from_bytes(read_key(&path)?));
        }
        for environment in environments {
            if !keys.contains_key(&environment.id) {
                return Err(StartError::new(format!(
                    "The environment {} ({}) has no root key in {}; restore it from the backup, for nothing of it can \
                     be read without.",
                    environment.name,
                    environment.id,
                    folder.display()
                )));
            }
        }
        Ok(Self(keys))
    }

    /// The key that new versions of an environment are sealed with, and its epoch.
    pub fn newest(&self, environment: EnvironmentId) -> Option<(u32, &RootKey)> {
        self.0.get(&environment)?.last_key_value().map(|(epoch, key)| (*epoch, key))
    }

    /// The key of an epoch.
    pub fn of(&self, environment: EnvironmentId, epoch: u32) -> Option<&RootKey> {
        self.0.get(&environment)?.get(&epoch)
    }

    /// The file of a root key.
    pub fn file(folder: &Path, environment: EnvironmentId, epoch: u32) -> PathBuf {
        folder.join(format!("{environment}.{epoch}.key"))
    }

    /// Makes a new root key and its file.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(folder: &Path, environment: EnvironmentId, epoch: u32) -> Result<(), StartError> {
        let key = RootKey::generate();
        // EXPOSE: the key goes into its file.
        write_key(&Self::file(folder, environment, epoch), key.expose())
    }
}

fn parse_name(name: &str) -> Option<(EnvironmentId, u32)> {
    let (environment, epoch) = name.strip_suffix(".key")?.split_once('.')?;
    let number: u32 = epoch.parse().ok()?;
    // One spelling of each name: no leading zeros or signs.
    if number == 0 || number.to_string() != epoch {
        return None;
    }
    Some((environment.parse().ok()?, number))
}
