//! Creation of a new installation: keys, database, administrator. Nothing is ever overwritten.

use std::path::Path;
use std::sync::Arc;

use manager_api::name::{AccountName, EnvironmentName};
use manager_api::policy::{Action, PatternText};
use manager_registry::{
    Author, Change, Credential, Kind, Proof, RoleAssignment, Service, Snapshot, Standing, TaggedRows, TaggedRowsId,
    Terms, is_administrator,
};
use service_runtime::StartError;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::files::{create_private, create_private_directory};
use service_runtime::key_folder::{IDENTITY, IDENTITY_DOCUMENT, KeyFolder, write_key};
use service_runtime::key_slots::KeyState;
use shared_proto::Malformed;
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::random;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, ServiceId, Subject};
use shared_proto::identity::Owner;
use shared_proto::jwk::Thumbprint;
use zeroize::Zeroizing;

use crate::access::{AnchorFile, Registry, word_for};
use crate::config::Config;
use crate::installation::{InstallationLock, check_installation, open_registry, open_store};
use crate::keys::{FIRST_EPOCH, RootKeys, credential_hasher, names};
use manager_store::sql::SqlStore;
use manager_store::{Environment, Installation, InstallationStore as _, ManagerStore as _, NewInstallation};

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
    let _lock = InstallationLock::acquire(config)?;
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
    let store = store.with_key(hasher.rows());
    let installation = Installation { mode: config.mode(), manager, anonymous: CredentialId::generate() };
    let records = first_records(&installation, hasher.hash(&credential), now)?;
    let first = Snapshot::empty().propose(records, (Author::Operator, "init", now), 0, &hasher.registry());
    let first = first.map_err(|_| StartError::new("The first principals cannot be written."))?;
    let new = NewInstallation { installation, environments: environments.clone(), registry: first.rows };
    let installed = store.install(new).await;
    store.close().await;
    installed.map_err(|fault| StartError::new(format!("The new database cannot be written ({fault}); move key and data folder away, name an empty database, and begin again.")))?;
    let anchored = AnchorFile::in_folder(&raw.key_dir).write(first.after.anchor());
    anchored.map_err(|error| StartError::new(format!("The key folder cannot be written ({error}).")))?;
    Ok(InitReport { manager, identity, token_signing, environments, credential })
}

/// Makes a new administrator credential. The old ones are disabled, and revoked when the service next runs.
///
/// # Errors
/// The service runs, or there is no installation.
pub async fn reset_administrator(config: &Config) -> Result<PlainCredential, StartError> {
    let _lock = InstallationLock::acquire(config)?;
    let store = Arc::new(open_store(config)?);
    check_installation(config, &store).await?;
    let registry = open_registry(config, store.clone()).await;
    let credential = PlainCredential::generate();
    let reset = match registry {
        Ok(registry) => replace_administrators(config, &Arc::new(registry), &credential).await,
        Err(error) => Err(error),
    };
    store.close().await;
    reset.map(|()| credential)
}

/// Disables the administrators' credentials, and makes one with this secret. The old ones' tokens are revoked when the
/// service next runs.
///
/// # Errors
/// Principals and policy cannot be read or written.
pub async fn replace_administrators(
    config: &Config,
    registry: &Arc<Registry>,
    credential: &PlainCredential,
) -> Result<(), StartError> {
    let failed = |why: &dyn std::fmt::Display| StartError::new(format!("The credential cannot be replaced ({why})."));
    let hmac = credential_hasher(&KeyFolder::at(&config.get().key_dir))?.hash(credential);
    let now = SystemClock.now();
    let state = registry.now().await.map_err(|error| failed(&error))?.state.clone();
    let facts = state.facts(false);
    let administrators: Vec<CredentialId> = state.administrators(&facts, now).collect();
    let mut changes: Vec<Change> = Vec::new();
    for known in administrators.iter().filter_map(|id| state.credential(*id)) {
        changes.push(Credential { disabled_at: Some(now), ..known.clone() }.into());
    }
    let (id, made) = administrator_of(&state, now).map_err(|Malformed(why)| failed(&why))?;
    changes.extend(made);
    let subject = Subject::Service(id);
    changes.push(Credential::new(CredentialId::generate(), subject, Proof::opaque(hmac), now).into());
    let by = (Author::Operator, "admin reset", now);
    let changed = registry.change(by, None, |_| Ok(changes.clone())).await;
    changed.map(|_numbers| ()).map_err(|refusal| failed(&refusal))
}

/// The service that administers the installation, as it is if it may, or else a new one that no line of the policy names.
fn administrator_of(state: &Snapshot, now: u64) -> Result<(ServiceId, Vec<Change>), Malformed> {
    let facts = state.facts(false);
    let may = |service: &&Service| is_administrator(&facts, service.subject(), now);
    if let Some(known) = state.services().find(may) {
        return Ok((known.service_id, Vec::new()));
    }
    let id = ServiceId::generate();
    for number in 1_u64.. {
        let name = if number == 1 {
            Service::ADMINISTRATOR.to_owned()
        } else {
            format!("{}-{number}", Service::ADMINISTRATOR)
        };
        let name = AccountName::parse(name)?;
        if state.named(Kind::Service, &name).is_none() {
            return Ok((id, vec![Service::new(id, name, now).into(), RoleAssignment::administrator(id, now)?.into()]));
        }
    }
    Err(Malformed("no name is left for an administrator"))
}

/// Shows principals and policy of the database; the service must not run. With the word that was shown with them they hold
/// from then on, though they are older than what the manager had.
///
/// # Errors
/// The service runs, they cannot be read or were altered, or the word is that of others.
pub async fn policy(config: &Config, confirm: Option<&str>) -> Result<String, StartError> {
    let raw = config.get();
    let _lock = InstallationLock::acquire(config)?;
    let store = open_store(config)?;
    check_installation(config, &store).await?;
    let key = credential_hasher(&KeyFolder::at(&raw.key_dir))?.registry();
    let anchor = AnchorFile::in_folder(&raw.key_dir);
    let report = if let Some(shown) = confirm {
        let state = Registry::confirm(&store, &key, &anchor, (shown, SystemClock.now())).await;
        state.map(|state| describe(&state))
    } else {
        Registry::look(&store, &key, &anchor).await.map(|(state, standing)| {
            let standing = match standing {
                Standing::Current if state.tagged_rows(TaggedRowsId::Versions).is_some() => {
                    "They are what this manager wrote last."
                }
                Standing::Current => {
                    "They are what this manager wrote last. The versions of its secrets are of an EARLIER RELEASE, and bear no tags. If \
                     nobody else has written to the database:"
                }
                Standing::PutBack => {
                    "They are OLDER than what this manager wrote last, or of an earlier release, in which each credential is an \
                     administrator's. If all of it shall hold:"
                }
            };
            format!("{}\n{standing}\nmaster-key-manager policy confirm {}", describe(&state), word_for(&state))
        })
    };
    store.close().await;
    report
}

fn describe(state: &Snapshot) -> String {
    let standing = |disabled_at: Option<u64>| disabled_at.map_or_else(String::new, |at| format!(", disabled at {at}"));
    let mut lines = vec![format!("entry: {}", state.number())];
    for service in state.services() {
        lines.push(format!("service {} ({}){}", service.service_id, service.name, standing(service.disabled_at)));
    }
    for person in state.people() {
        lines.push(format!("person {} ({}){}", person.person_id, person.name, standing(person.disabled_at)));
    }
    for credential in state.credentials() {
        let standing = standing(credential.disabled_at);
        lines.push(format!("credential {} of {}{standing}", credential.credential_id, credential.subject));
    }
    for group in state.groups() {
        let members: Vec<String> = group.members.iter().map(ToString::to_string).collect();
        lines.push(format!("group {} ({}): {}", group.group_id, group.name, members.join(" ")));
    }
    for line in state.assignments() {
        let reach = reach_text(line.environment, &line.pattern);
        lines.push(format!("role {} of {} in {reach}{}", line.role.as_str(), line.party, terms_text(&line.terms)));
    }
    for line in state.permissions() {
        let actions: Vec<&str> = line.actions.iter().map(Action::as_str).collect();
        let reach = reach_text(line.environment, &line.pattern);
        let (effect, terms) = (line.effect.as_str(), terms_text(&line.terms));
        let tags: Vec<String> = line.tags.iter().map(|(key, value)| format!(" if {key}={value}")).collect();
        lines.push(format!("{effect} {} to {} in {reach}{}{terms}", actions.join(","), line.party, tags.concat()));
    }
    lines.join("\n")
}

fn reach_text(environment: Option<EnvironmentId>, pattern: &PatternText) -> String {
    environment.map_or_else(|| format!("*:{}", pattern.as_str()), |id| format!("{id}:{}", pattern.as_str()))
}

fn terms_text(terms: &Terms) -> String {
    let start = terms.starts_at.map_or_else(String::new, |at| format!(" from {at}"));
    let end = terms.ends_at.map_or_else(String::new, |at| format!(" until {at}"));
    format!("{start}{end}")
}

/// The administrator with its credential, and the credential that stands for strangers.
fn first_records(installation: &Installation, hmac: [u8; 32], now: u64) -> Result<Vec<Change>, StartError> {
    let wrong = |Malformed(why): Malformed| StartError::new(why);
    let id = ServiceId::generate();
    let administrator = Service::new(id, AccountName::parse(Service::ADMINISTRATOR).map_err(wrong)?, now);
    let subject = administrator.subject();
    // The subject of anonymous submissions is that of their label; this one is never in a token.
    let nobody = Subject::Service(ServiceId::generate());
    Ok(vec![
        administrator.into(),
        RoleAssignment::administrator(id, now).map_err(wrong)?.into(),
        Credential::new(CredentialId::generate(), subject, Proof::opaque(hmac), now).into(),
        Credential::new(installation.anonymous, nobody, Proof::Stranger, now).into(),
        TaggedRows::VERSIONS.into(),
    ])
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
    write_key(&folder.file(names::SIGN_ON), &Zeroizing::new(random()))?;
    let roots = folder.file(names::ROOT_KEYS);
    create_private_directory(&roots)?;
    for environment in environments {
        RootKeys::create(&roots, environment.id, FIRST_EPOCH, KeyState::Active)?;
    }
    Ok((document.key.thumbprint(), token_signing))
}

/// Looks before anything is made, so that a refused `init` leaves nothing behind.
fn refuse_existing(config: &Config, folder: &KeyFolder) -> Result<(), StartError> {
    let files = [IDENTITY, IDENTITY_DOCUMENT, names::CREDENTIAL_HMAC, names::SIGN_ON, names::ROOT_KEYS];
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
