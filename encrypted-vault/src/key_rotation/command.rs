//! `encrypted-vault rotate-keys`: changes the key folder, waits for the running vault, and reports.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Subcommand;
use service_runtime::StartError;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::files::destroy_private;
use service_runtime::key_folder::{KeyFolder, refused};
use service_runtime::key_report::KeyReport;
use service_runtime::key_slots::{KeyState, NumberedKey, confirm, create_numbered, load_numbered, path_of};
use service_runtime::process::DirectoryLock;
use shared_proto::encoding::Bytes;
use shared_proto::encoding::{b64, from_b64_exact};
use shared_proto::secret::StorageKey;

use super::report::{replaced, report, rows_under};
use crate::config::Config;
use crate::keys::{STORAGE_KEYS, TRANSPORT};

/// What is rotated.
#[derive(Subcommand)]
pub enum Rotate {
    /// The RSA key that transfer keys are encrypted to.
    Transport,
    /// The key that wraps rows at rest.
    StorageKey,
    /// The key that the manager pins.
    Identity,
    /// The backup of a new key is made: use it.
    ConfirmBackup {
        /// Which kind of key.
        kind: Numbered,
    },
    /// Destroy a key that nothing is under, without waiting for the end of its retention time.
    Destroy {
        /// Which kind of key.
        kind: Numbered,
        /// Its number.
        number: u32,
    },
    /// Accept one of two pinned identities of the manager no more.
    Unpin {
        /// Its kid. One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
    /// Print the keys.
    Status,
}

/// The kinds of key that have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Numbered {
    /// The storage key.
    StorageKey,
}

/// Does a step of a rotation, and waits up to `seconds` until the running vault has done its part.
///
/// # Errors
/// The step is refused, or the folder or the database cannot be read.
pub fn rotate_keys(config: &Config, what: &Rotate, seconds: u64) -> Result<KeyReport, StartError> {
    let folder = KeyFolder::at(&config.key_dir);
    // Two commands at once must not take each other for a state of the folder.
    let _one_at_a_time = lock(&config.key_dir)?;
    let mut done = Vec::new();
    match what {
        Rotate::Transport => {
            let kid = begin_transport(&folder)?;
            done.push(format!("Made the transport key {kid}."));
            let taken = || Ok(!folder.file("transport-next.pem").exists());
            done.push(wait(config, seconds, "taken it into use", taken)?);
        }
        Rotate::StorageKey => {
            let (number, state) = make_storage_key(config, &folder)?;
            done.push(format!("Made the storage key {number}."));
            if state == KeyState::Active {
                done.push(wait(config, seconds, REWRAPPED, || Ok(replaced(&folder)?.is_empty()))?);
            }
        }
        Rotate::Identity => {
            let document =
                folder.create_next_identity(config.mode, "the manager, which has to pin identity-next.json")?;
            done.push(format!("Made the identity key {}.", b64(&document.key.thumbprint().0)));
        }
        Rotate::ConfirmBackup { kind: Numbered::StorageKey } => {
            let number = confirm_storage_key(&folder)?;
            done.push(format!("New rows are under the storage key {number}."));
            done.push(wait(config, seconds, REWRAPPED, || Ok(replaced(&folder)?.is_empty()))?);
        }
        Rotate::Destroy { kind: Numbered::StorageKey, number } => {
            destroy(config, &folder, *number)?;
            done.push(format!("Destroyed the storage key {number}."));
        }
        Rotate::Unpin { kid } => {
            let bare =
                from_b64_exact(kid).map_err(|_| StartError::new("That is not a kid; see rotate-keys status."))?;
            folder.unpin(&Bytes(bare), config.mode)?;
            done.push(format!("The identity {kid} of the manager is not accepted any more."));
        }
        Rotate::Status => {}
    }
    let mut report = report(config, &folder, SystemClock.now())?;
    report.done = done;
    Ok(report)
}

fn begin_transport(folder: &KeyFolder) -> Result<String, StartError> {
    let slots = folder.rsa_slots(TRANSPORT)?;
    if slots.previous.is_some() {
        let path = folder.file("transport-previous.pem");
        return Err(refused(&path, "the key before is still accepted", "rotate again when it is destroyed"));
    }
    Ok(b64(&folder.create_next_rsa(TRANSPORT, TRANSPORT_BITS, "the vault; start it")?.0))
}

fn make_storage_key(config: &Config, folder: &KeyFolder) -> Result<(u32, KeyState), StartError> {
    let dir = folder.file(STORAGE_KEYS);
    let keys = load_numbered(&dir)?;
    let waits = |reason: &str, fix: &str| Err(refused(&dir, &format!("a rotation is under way: {reason}"), fix));
    if keys.iter().any(|key| key.state == KeyState::Unconfirmed) {
        return waits("a new key waits for its backup", "run rotate-keys confirm-backup storage-key");
    }
    if !replaced(folder)?.is_empty() {
        return waits("rows are under the key before", "let the running vault end it");
    }
    let number = keys.iter().map(|key| key.number).max().unwrap_or(0).saturating_add(1);
    let state = if config.mode.is_development() { KeyState::Active } else { KeyState::Unconfirmed };
    // EXPOSE: the storage key goes into its file.
    create_numbered(&dir, ("", number), state, StorageKey::generate().expose())?;
    Ok((number, state))
}

fn confirm_storage_key(folder: &KeyFolder) -> Result<u32, StartError> {
    let dir = folder.file(STORAGE_KEYS);
    let made = load_numbered(&dir)?.into_iter().find(|key| key.state == KeyState::Unconfirmed);
    let Some(NumberedKey { number, .. }) = made else {
        return Err(refused(&dir, "no new key waits for its backup", "run rotate-keys storage-key first"));
    };
    confirm(&dir, "", number)?;
    Ok(number)
}

fn destroy(config: &Config, folder: &KeyFolder, number: u32) -> Result<(), StartError> {
    let dir = folder.file(STORAGE_KEYS);
    let Some(key) = load_numbered(&dir)?.into_iter().find(|key| key.number == number) else {
        return Err(refused(&dir, &format!("there is no storage key {number}"), "see rotate-keys status"));
    };
    let path = path_of(&dir, "", number, key.state);
    if key.state == KeyState::Active {
        return Err(refused(&path, "it is in use", "rotate it; the running vault retires it when nothing is under it"));
    }
    let under = rows_under(config)?.get(&number).copied().unwrap_or(0);
    if under > 0 {
        return Err(refused(&path, &format!("{under} wrapped keys are under it"), "let the running vault move them"));
    }
    destroy_private(&path)
        .map_err(|error| StartError::new(format!("{} cannot be destroyed ({error}).", path.display())))
}

/// Looks until the condition holds, the time is over, or no vault runs; says which.
fn wait(
    config: &Config,
    seconds: u64,
    what: &str,
    holds: impl Fn() -> Result<bool, StartError>,
) -> Result<String, StartError> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if holds()? {
            return Ok(format!("The running vault has {what}."));
        }
        if DirectoryLock::acquire(&config.data_dir).is_ok() {
            return Ok("No vault is running here; it goes on when it starts.".to_owned());
        }
        if Instant::now() >= deadline {
            return Ok(format!("The running vault has not {what} yet; see rotate-keys status."));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Held on the folder itself: a lock file would be an entry that no key folder has.
fn lock(folder: &Path) -> Result<File, StartError> {
    let cannot = |error: std::io::Error| StartError::new(format!("{} cannot be locked ({error}).", folder.display()));
    let file = File::open(folder).map_err(cannot)?;
    file.lock().map_err(cannot)?;
    Ok(file)
}

const REWRAPPED: &str = "moved all rows to it";
/// It withstands recordings for years.
const TRANSPORT_BITS: usize = 3072;
