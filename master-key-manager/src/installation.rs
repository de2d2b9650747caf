//! Opening of the installation that `init` made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use service_runtime::StartError;
use service_runtime::key_folder::{IDENTITY_DOCUMENT, KeyFolder, refused};
use service_runtime::process::DirectoryLock;
use service_runtime::sql::StoreFault;
use shared_proto::id::ManagerId;
use shared_proto::identity::Owner;

use crate::access::{AnchorFile, Registry};
use crate::config::Config;
use crate::keys::{SignOnKeys, credential_hasher};
use manager_store::sql::SqlStore;
use manager_store::{
    Environment, EnvironmentStore as _, Installation, InstallationStore as _, ManagerStore as _, RegistryStore,
};

/// Opens the database of a configuration; `init` must have made it.
///
/// # Errors
/// It is missing, of another manager or mode, or cannot be opened.
pub fn open_store(config: &Config) -> Result<SqlStore, StartError> {
    let key = credential_hasher(&KeyFolder::at(&config.get().key_dir))?.rows();
    let store = match config.location().file() {
        Some(_) => SqlStore::open(config.location(), false),
        // Before the lease of another manager's database is touched.
        None => SqlStore::open_of(config.location(), own_id(config)?, config.mode()),
    };
    store.map(|store| store.with_key(key))
}

/// The exclusive use of an installation: of its data directory, and of its key folder, whose anchor no two processes may
/// raise in turn.
#[derive(Debug)]
pub struct InstallationLock {
    _data: DirectoryLock,
    _keys: Option<DirectoryLock>,
}

impl InstallationLock {
    /// Takes the locks, data directory first.
    ///
    /// # Errors
    /// Another process has one of them, or a directory cannot be opened.
    pub fn acquire(config: &Config) -> Result<Self, StartError> {
        let raw = config.get();
        let data = DirectoryLock::acquire(&raw.data_dir)?;
        let same = raw.data_dir.canonicalize().ok() == raw.key_dir.canonicalize().ok();
        let keys = if same { None } else { Some(DirectoryLock::acquire(&raw.key_dir)?) };
        Ok(Self { _data: data, _keys: keys })
    }
}

/// Reads the installation that `init` wrote, with its environments, and compares the mode.
///
/// # Errors
/// Those of [`check_installation`], or its environments are not what the manager wrote. Those of an earlier release are
/// not before an operator has vouched for them, which [`open_registry`] asks for.
pub async fn read_installation(
    config: &Config,
    store: &SqlStore,
) -> Result<(Installation, Vec<Environment>), StartError> {
    let installation = check_installation(config, store).await?;
    let environments = store.environments().await.map_err(|fault| match store.unfit_row() {
        Some(row) => StartError::new(format!(
            "The database {} holds a row that this manager did not write ({row}); keep it as evidence, and restore a \
             backup of it.",
            config.location()
        )),
        None => unreadable(config, fault),
    })?;
    Ok((installation, environments))
}

/// Reads the installation that `init` wrote, and compares the mode.
///
/// # Errors
/// The database is empty, cannot be read, or is of the other mode.
pub async fn check_installation(config: &Config, store: &SqlStore) -> Result<Installation, StartError> {
    let shown = config.location();
    let found = store.installation().await.map_err(|fault| unreadable(config, fault))?;
    let Some(installation) = found else {
        return Err(StartError::new(format!("The database {shown} holds no installation; restore a backup of it.")));
    };
    if installation.mode != config.mode() {
        return Err(StartError::new(format!(
            "The configuration says {} mode and the database {shown} is of {} mode; the two never mix: use the other \
             configuration, or make a new installation.",
            config.mode(),
            installation.mode
        )));
    }
    Ok(installation)
}

fn unreadable(config: &Config, fault: StoreFault) -> StartError {
    let fix = match fault {
        StoreFault::Corrupt => "restore a backup of it",
        StoreFault::Unavailable | StoreFault::OutcomeUnknown => "the line before says why",
    };
    StartError::new(format!("The database {} cannot be read ({fault}); {fix}.", config.location()))
}

/// Replaces the database, which no process may use, with a backup of this manager. Returns the path at which the
/// replaced one is kept.
///
/// # Errors
/// The key folder has no identity of a manager; or the backup is damaged, or of another service, manager, mode or newer
/// program. The database is untouched then.
pub fn restore(config: &Config, backup: &Path) -> Result<Option<PathBuf>, StartError> {
    let database = config.location().file_for("pg_restore")?;
    SqlStore::restore(backup, database, own_id(config)?, config.mode())
}

/// Copies the database, which no process may use, to that of another configuration of this manager.
///
/// # Errors
/// The key folder has no identity of a manager, or those of [`service_runtime::sql::migrate_store`].
pub fn migrate_store(from: &Config, to: &Config) -> Result<(), StartError> {
    SqlStore::migrate(from.moved(), to.moved(), own_id(from)?)
}

/// The id of the manager whose keys are in the key folder.
fn own_id(config: &Config) -> Result<ManagerId, StartError> {
    let folder = KeyFolder::at(&config.get().key_dir);
    let Owner::Manager(id) = folder.identity_slots(config.mode())?.document.id else {
        let fix = "restore the manager's";
        return Err(refused(&folder.file(IDENTITY_DOCUMENT), "it names a vault", fix));
    };
    Ok(id)
}

/// Reads and verifies principals and policy. A key folder of an earlier release gets its sign-on key, while there is no
/// person.
///
/// # Errors
/// Those of [`Registry::open`], or that key cannot be written.
pub async fn open_registry(config: &Config, store: Arc<dyn RegistryStore>) -> Result<Registry, StartError> {
    let raw = config.get();
    let key = credential_hasher(&KeyFolder::at(&raw.key_dir))?.registry();
    let anchor = AnchorFile::in_folder(&raw.key_dir);
    let registry = Registry::open(store, key, anchor, raw.mode.is_development()).await?;
    SignOnKeys::make_if_unused(&KeyFolder::at(&raw.key_dir), registry.has_people())?;
    Ok(registry)
}
