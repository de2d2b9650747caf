//! Creation of a new installation: keys, database, administrator. Nothing is ever overwritten.

use std::path::Path;

use manager_api::name::EnvironmentName;
use service_runtime::StartError;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::files::{create_private, create_private_directory};
use service_runtime::key_folder::{IDENTITY, IDENTITY_DOCUMENT, KeyFolder, write_key};
use service_runtime::key_slots::KeyState;
use service_runtime::process::DirectoryLock;
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::random;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, ServiceId};
use shared_proto::identity::Owner;
use shared_proto::jwk::Thumbprint;
use zeroize::Zeroizing;

use crate::access::CredentialHasher;
use crate::config::Config;
use crate::installation::{open_store, read_installation};
use crate::keys::{FIRST_EPOCH, RootKeys, credential_hasher, names};
use manager_store::sql::SqlStore;
use manager_store::{
    Environment, IdentityStore as _, Installation, InstallationStore as _, ManagerStore as _, NewCredential,
    NewInstallation,
};

/// The report about a new installation, for the operator.
pub struct InitReport {
    /// The manager.
    pub manager: ManagerId,
    /// Thumbprint of its identity key.
    pub identity: Thumbprint,
    /// Thumbprint of its token signing key.
    pub token_signing: Thumbprint,
    /// Its environments.
    pub environments: Vec<Environment>,
    /// The administrator's credential, which is shown once.
    pub credential: PlainCredential,
}

/// The environments of a new installation.
const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "production"];
/// The size of the token signing key. It must resist forgery for weeks only, and minting bounds the manager's speed.
const TOKEN_SIGNING_BITS: usize = 2_048;

/// Makes everything but the pin. A token signing key that the operator has placed stays.
///
/// # Errors
/// A file or database exists already, or a folder cannot be used.
pub async fn init(config: &Config) -> Result<InitReport, StartError> {
    let raw = config.get();
    create_private_directory(&raw.key_dir)?;
    create_private_directory(&raw.data_dir)?;
    let _lock = DirectoryLock::acquire(&raw.data_dir)?;
    let folder = KeyFolder::at(&raw.key_dir);
    refuse_existing(config, &folder)?;
    let now = SystemClock.now();
    let environments = (1..)
        .zip(ENVIRONMENTS)
        .map(|(ordinal, name)| {
            EnvironmentName::parse(name).map(|name| Environment::new(EnvironmentId::generate(), name, ordinal, now))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StartError::new(error.0))?;
    let manager = ManagerId::generate();
    // The database first: without it no key is made, and `init` can be run again.
    let store = SqlStore::open(config.location(), true)?;
    let (identity, token_signing) = make_keys(config, &folder, manager, &environments)?;
    let credential = PlainCredential::generate();
    let hasher = credential_hasher(&folder)?;
    let installation = NewInstallation {
        installation: Installation { mode: config.mode(), manager, anonymous: CredentialId::generate() },
        environments: environments.clone(),
        administrator: ServiceId::generate(),
        credential: new_credential(&hasher, &credential),
        now,
    };
    let installed = store.install(installation).await;
    store.close().await;
    installed.map_err(|fault| StartError::new(format!("The new database cannot be written ({fault}); move key and data folder away, name an empty database, and begin again.")))?;
    Ok(InitReport { manager, identity, token_signing, environments, credential })
}

/// Makes a new administrator credential. The old ones are disabled, and revoked when the service next runs.
///
/// # Errors
/// The service runs, or there is no installation.
pub async fn reset_administrator(config: &Config) -> Result<PlainCredential, StartError> {
    let _lock = DirectoryLock::acquire(&config.get().data_dir)?;
    let store = open_store(config)?;
    read_installation(config, &store).await?;
    let hasher = credential_hasher(&KeyFolder::at(&config.get().key_dir))?;
    let credential = PlainCredential::generate();
    let reset = store.reset_administrator(new_credential(&hasher, &credential), SystemClock.now()).await;
    store.close().await;
    reset.map_err(|fault| StartError::new(format!("The credential cannot be replaced ({fault}).")))?;
    Ok(credential)
}

/// Writes a credential to a new file that only its owner can read.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_credential(path: &Path, credential: &PlainCredential) -> Result<(), StartError> {
    let text = credential.expose_text();
    let line = Zeroizing::new([text.as_bytes(), b"\n"].concat());
    create_private(path, &line)
}

fn make_keys(
    config: &Config,
    folder: &KeyFolder,
    manager: ManagerId,
    environments: &[Environment],
) -> Result<(Thumbprint, Thumbprint), StartError> {
    let token_signing = folder.create_rsa(names::TOKEN_SIGNING, TOKEN_SIGNING_BITS)?;
    let document = folder.create_identity(Owner::Manager(manager), config.mode())?;
    write_key(&folder.file(names::CREDENTIAL_HMAC), &Zeroizing::new(random()))?;
    let roots = folder.file(names::ROOT_KEYS);
    create_private_directory(&roots)?;
    for environment in environments {
        RootKeys::create(&roots, environment.id, FIRST_EPOCH, KeyState::Active)?;
    }
    Ok((document.key.thumbprint(), token_signing))
}

fn new_credential(hasher: &CredentialHasher, credential: &PlainCredential) -> NewCredential {
    NewCredential { id: CredentialId::generate(), hmac: hasher.hash(credential) }
}

/// Looks before anything is made, so that a refused `init` leaves nothing behind.
fn refuse_existing(config: &Config, folder: &KeyFolder) -> Result<(), StartError> {
    let files = [IDENTITY, IDENTITY_DOCUMENT, names::CREDENTIAL_HMAC, names::ROOT_KEYS];
    let mut all: Vec<_> = files.iter().map(|name| folder.file(name)).collect();
    all.push(config.audit_log());
    for path in all {
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(StartError::new(format!(
                "{} exists and is not overwritten; an installation is made once. Move key and data folder away to make \
                 another.",
                path.display()
            )));
        }
    }
    // On a server tables without an installation are what an `init` left that came no further.
    let is_file = config.location().file().is_some();
    if config.location().is_made()? && (is_file || SqlStore::is_installed(config.location())?) {
        return Err(StartError::new(format!(
            "The database {} exists and is not overwritten; an installation is made once.",
            config.location()
        )));
    }
    Ok(())
}
