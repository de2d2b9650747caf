//! `rotate-keys`: changes the key folder, waits for the running service to follow, and reports.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use service_runtime::StartError;
use service_runtime::cli::print;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::files::destroy_private;
use service_runtime::key_folder::{IDENTITY_NEXT_DOCUMENT, KeyFolder};
use service_runtime::key_slots::{KeyState, confirm, path_of};
use service_runtime::process::DirectoryLock;
use shared_proto::encoding::{Bytes, b64, from_b64_exact};
use shared_proto::jwk::{PublicJwk, Thumbprint};

use super::report::report;
use crate::config::Config;
use crate::keys::{LoadedKeys, RootKeys, credential_hasher, names};
use manager_store::sql::{read_key_facts, read_owner};
use manager_store::{Environment, KeyFacts};

/// `rotate-keys`.
#[derive(Debug, Args)]
pub struct RotateKeys {
    /// Print the report as one JSON document.
    #[arg(long, global = true)]
    json: bool,
    /// How many seconds to wait for the running service to take the next step; 0 does not wait.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say which keys there are, how old they are and what is due.
    Status,
    /// Replace the key that signs access tokens.
    TokenSigning,
    /// Make the next root key of an environment.
    RootKey {
        /// The environment's name.
        environment: String,
    },
    /// Make the next identity key of this manager.
    Identity,
    /// Say that a new key is in the backup: it is used from now on.
    ConfirmBackup {
        #[command(subcommand)]
        key: Confirmed,
    },
    /// Destroy a key that nothing is under: a retired one before its time, or a new one that is not wanted.
    Destroy {
        #[command(subcommand)]
        key: Destroyed,
    },
    /// Accept one of the two pinned identities of the vault no more.
    Unpin {
        /// Its kid, as `status` shows it. One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

#[derive(Debug, Subcommand)]
enum Confirmed {
    /// The new root key of an environment.
    RootKey {
        /// The environment's name.
        environment: String,
    },
}

#[derive(Debug, Subcommand)]
enum Destroyed {
    /// A retired or unconfirmed root key of an environment.
    RootKey {
        /// The environment's name.
        environment: String,
        /// Its epoch.
        epoch: u32,
    },
}

/// Carries the command out.
///
/// # Errors
/// One sentence: what is wrong, or what a rotation that is under way waits for.
pub fn rotate_keys(config: &Config, arguments: RotateKeys) -> Result<(), StartError> {
    let rotation = Rotation::open(config)?;
    let wait = Duration::from_secs(arguments.wait);
    let done = match arguments.what {
        What::Status => Vec::new(),
        What::TokenSigning => rotation.token_signing(wait)?,
        What::RootKey { environment } => rotation.root_key(&environment, wait)?,
        What::Identity => rotation.identity()?,
        What::ConfirmBackup { key: Confirmed::RootKey { environment } } => {
            rotation.confirm_root_key(&environment, wait)?
        }
        What::Destroy { key: Destroyed::RootKey { environment, epoch } } => {
            rotation.destroy_root_key(&environment, epoch)?
        }
        What::Unpin { kid } => rotation.unpin(&kid)?,
    };
    // As it is now: the service may have gone on meanwhile.
    let rotation = if done.is_empty() { rotation } else { Rotation::open(config)? };
    let retention = config.get().keys.backup_retention_days.saturating_mul(24 * 60 * 60);
    let mut report = report(&rotation.folder, &rotation.keys, &rotation.facts, (SystemClock.now(), retention))?;
    report.done = done;
    print(if arguments.json { report.json() } else { report.text() }.trim_end())
}

/// The folder and the database as the command finds them.
struct Rotation<'a> {
    config: &'a Config,
    folder: KeyFolder,
    keys: LoadedKeys,
    facts: KeyFacts,
}

impl<'a> Rotation<'a> {
    fn open(config: &'a Config) -> Result<Self, StartError> {
        let path = &config.get().key_dir;
        let rows = credential_hasher(&KeyFolder::at(path))?.rows();
        let (installation, environments) = read_owner(config.location(), &rows)?;
        let keys = LoadedKeys::read(path, &installation, &environments)?;
        // After the folder: the service records a retirement before it retires the file, so none is missing here.
        let facts = read_key_facts(config.location(), &rows)?;
        Ok(Self { config, folder: KeyFolder::at(path), keys, facts })
    }

    fn token_signing(&self, wait: Duration) -> Result<Vec<String>, StartError> {
        let tokens = &self.keys.tokens;
        let active = tokens.active.kid();
        if tokens.previous.is_some() && !self.facts.revoked_keys.contains(&active) {
            let left = tokens.previous_ends_at().saturating_sub(SystemClock.now());
            return Err(StartError::new(format!(
                "A rotation of token-signing is under way: the key before is accepted for {left} more seconds; wait for \
                 its end."
            )));
        }
        let bits = match tokens.active.signer.public() {
            PublicJwk::Rsa { n, .. } => n.0.len() * 8,
            PublicJwk::Okp { .. } => 2_048,
        };
        let kid = self.folder.create_next_rsa(names::TOKEN_SIGNING, bits, "the vault to acknowledge the next key")?;
        let taken = self.wait_until(wait, || {
            let now = self.folder.rsa_slots(names::TOKEN_SIGNING)?;
            Ok(now.active.key.public().thumbprint() == kid)
        })?;
        let kid = b64(&kid.0);
        Ok(vec![match taken {
            Waited::Happened => format!("Made token signing key {kid}; tokens are signed with it."),
            Waited::NotYet => format!("Made token signing key {kid}; it is used when the vault has acknowledged it."),
        }])
    }

    fn root_key(&self, environment: &str, wait: Duration) -> Result<Vec<String>, StartError> {
        let environment = self.environment(environment)?;
        let all: Vec<_> = self.keys.roots.all(environment.id).collect();
        let waits = if all.iter().any(|(_, slot)| slot.state == KeyState::Unconfirmed) {
            Some("confirm-backup")
        } else if self.keys.roots.in_use(environment.id).count() > 1 {
            Some("the retirement of the key before; see status")
        } else {
            None
        };
        if let Some(waits) = waits {
            return Err(StartError::new(format!(
                "A rotation of the root key of {} is under way and waits for {waits}.",
                environment.name
            )));
        }
        let epoch = all.last().map_or(1, |(epoch, _)| epoch.saturating_add(1));
        // Development has no backups worth the wait.
        let confirmed = self.config.mode().is_development();
        let state = if confirmed { KeyState::Active } else { KeyState::Unconfirmed };
        RootKeys::create(&self.root_folder(), environment.id, epoch, state)?;
        let made = format!("Made epoch {epoch} of the root key of {}.", environment.name);
        if confirmed { self.moved(&environment, epoch, wait).map(|moved| vec![made, moved]) } else { Ok(vec![made]) }
    }

    fn confirm_root_key(&self, environment: &str, wait: Duration) -> Result<Vec<String>, StartError> {
        let environment = self.environment(environment)?;
        let mut all = self.keys.roots.all(environment.id);
        let Some((epoch, _)) = all.find(|(_, slot)| slot.state == KeyState::Unconfirmed) else {
            return Err(StartError::new(format!("No root key of {} waits for its backup.", environment.name)));
        };
        confirm(&self.root_folder(), &environment.id.to_string(), epoch)?;
        let confirmed = format!("Epoch {epoch} of the root key of {} is used from now on.", environment.name);
        self.moved(&environment, epoch, wait).map(|moved| vec![confirmed, moved])
    }

    /// Waits until the service has moved everything to an epoch, and says how far it is.
    fn moved(&self, environment: &Environment, epoch: u32, wait: Duration) -> Result<String, StartError> {
        let below = || {
            let facts = read_key_facts(self.config.location(), &self.keys.credentials.rows())?;
            let of = |rows: &[_]| -> u64 {
                let older = rows.iter().filter(|(id, under, _)| *id == environment.id && *under < epoch);
                older.map(|(_, _, count)| count).sum()
            };
            Ok(of(&facts.under).saturating_sub(of(&facts.lacking)))
        };
        self.wait_until(wait, || below().map(|below: u64| below == 0))?;
        Ok(match below()? {
            0 => {
                format!("Every version of {} is under it; the old key is retired after its overlap.", environment.name)
            }
            below => {
                format!("{below} versions of {} are still under the old one; the service goes on.", environment.name)
            }
        })
    }

    fn destroy_root_key(&self, environment: &str, epoch: u32) -> Result<Vec<String>, StartError> {
        let environment = self.environment(environment)?;
        let slot = self.keys.roots.all(environment.id).find(|(found, _)| *found == epoch);
        let Some(state @ (KeyState::Retired | KeyState::Unconfirmed)) = slot.map(|(_, slot)| slot.state) else {
            return Err(StartError::new(format!(
                "Epoch {epoch} of the root key of {} is neither retired nor unconfirmed; what is in use is not destroyed.",
                environment.name
            )));
        };
        let path = path_of(&self.root_folder(), &environment.id.to_string(), epoch, state);
        let under = |rows: &[_]| -> u64 {
            let older = rows.iter().filter(|(id, under, _)| *id == environment.id && *under <= epoch);
            older.map(|(_, _, count)| count).sum()
        };
        let left = under(&self.facts.under).saturating_sub(under(&self.facts.lacking));
        // Nothing was ever under an unconfirmed key.
        if state == KeyState::Retired && left > 0 {
            return Err(StartError::new(format!(
                "The catalogue has {left} versions under it, so it is not destroyed; start the service, which moves them."
            )));
        }
        destroy_private(&path)
            .map_err(|error| StartError::new(format!("{} is not destroyed ({error}).", path.display())))?;
        Ok(vec![format!("Destroyed epoch {epoch} of the root key of {}.", environment.name)])
    }

    fn identity(&self) -> Result<Vec<String>, StartError> {
        let mode = self.config.mode();
        let document = self.folder.create_next_identity(mode, "the vault to accept the next key")?;
        Ok(vec![format!(
            "Made identity key {}; its document is {}.",
            b64(&document.key.thumbprint().0),
            self.folder.file(IDENTITY_NEXT_DOCUMENT).display()
        )])
    }

    fn unpin(&self, kid: &str) -> Result<Vec<String>, StartError> {
        let parsed: Thumbprint = from_b64_exact(kid)
            .map(Bytes)
            .map_err(|_| StartError::new("This is not a kid; status shows those of the pins."))?;
        self.folder.unpin(&parsed, self.config.mode())?;
        Ok(vec![format!("The vault's identity {kid} is accepted no more.")])
    }

    fn environment(&self, name: &str) -> Result<Environment, StartError> {
        let known = &self.facts.environments;
        known.iter().find(|known| known.name.as_str() == name).cloned().ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
            StartError::new(format!("There is no such environment; there are {}.", names.join(", ")))
        })
    }

    fn root_folder(&self) -> std::path::PathBuf {
        self.folder.file(names::ROOT_KEYS)
    }

    /// Looks until something has happened, as long as there is a running service that could make it happen.
    fn wait_until(
        &self,
        wait: Duration,
        mut happened: impl FnMut() -> Result<bool, StartError>,
    ) -> Result<Waited, StartError> {
        let end = Instant::now() + wait;
        loop {
            if happened()? {
                return Ok(Waited::Happened);
            }
            let runs = || DirectoryLock::acquire(&self.config.get().data_dir).is_err();
            if Instant::now() >= end || !runs() {
                return Ok(Waited::NotYet);
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// How often the command looks whether the service went on.
const LOOK: Duration = Duration::from_millis(100);

enum Waited {
    Happened,
    NotYet,
}
