//! Local emergency refusals: the vault's operator refuses a token, a subject or everything, without the manager.
//!
//! They are kept in a file beside the database, which a restore of the database does not touch. They ignore `rseq` and
//! last until they are lifted. A file that cannot be read refuses everything.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use service_runtime::StartError;
use service_runtime::files::{FoundFile, read_private, replace_private};
use service_runtime::process::DirectoryLock;
use shared_proto::encoding::{Bytes, sha256};
use shared_proto::id::{Subject, TokenId};

/// The target of a local refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRefusal {
    /// A token.
    Token(TokenId),
    /// All tokens of a subject.
    Subject(Subject),
    /// Every token.
    Everything,
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalFile {
    /// Refused token ids.
    tokens: BTreeSet<String>,
    /// Refused subjects.
    subjects: BTreeSet<String>,
    /// Whether every token is refused.
    everything: bool,
}

impl RefusalFile {
    const REFUSE_ALL: Self = Self { tokens: BTreeSet::new(), subjects: BTreeSet::new(), everything: true };

    fn hits(&self, jti: TokenId, subject: Subject) -> bool {
        let empty = self.tokens.is_empty() && self.subjects.is_empty();
        self.everything
            || (!empty && (self.tokens.contains(&jti.to_string()) || self.subjects.contains(&subject.to_string())))
    }

    fn change(&mut self, refusal: LocalRefusal, lift: bool) {
        let set = |set: &mut BTreeSet<String>, name: String| {
            if lift {
                set.remove(&name)
            } else {
                set.insert(name)
            };
        };
        match refusal {
            LocalRefusal::Token(jti) => set(&mut self.tokens, jti.to_string()),
            LocalRefusal::Subject(subject) => set(&mut self.subjects, subject.to_string()),
            LocalRefusal::Everything => self.everything = !lift,
        }
    }

    /// One line for each refusal.
    pub fn lines(&self) -> Vec<String> {
        let everything = self.everything.then(|| "everything".to_owned());
        let tokens = self.tokens.iter().map(|jti| format!("token {jti}"));
        let subjects = self.subjects.iter().map(|subject| format!("subject {subject}"));
        everything.into_iter().chain(tokens).chain(subjects).collect()
    }
}

/// The refusals in force in a running vault.
pub struct LocalRefusals {
    path: PathBuf,
    acknowledgement: PathBuf,
    // Another folder in its place says nothing of what is refused.
    folder: Option<FoundFile>,
    lost: AtomicBool,
    seen: Mutex<Option<Seen>>,
    current: RwLock<Arc<RefusalFile>>,
}

// The bytes are compared, not their time: two changes within one tick of the file system's clock must both be seen.
type Seen = Option<[u8; 32]>;

impl LocalRefusals {
    /// Loads the refusals of a data directory.
    pub fn open(data_dir: &Path) -> Self {
        let refusals = Self {
            path: path_in(data_dir),
            acknowledgement: acknowledgement_in(data_dir),
            folder: FoundFile::of(data_dir).ok(),
            lost: AtomicBool::new(false),
            seen: Mutex::new(None),
            current: RwLock::new(Arc::new(RefusalFile::REFUSE_ALL)),
        };
        refusals.reload();
        refusals
    }

    /// Whether a token is refused here.
    pub fn hits(&self, jti: TokenId, subject: Subject) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).hits(jti, subject)
    }

    /// Whether every token is refused here.
    pub fn refuse_everything(&self) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).everything
    }

    /// Adopts a changed file, and writes the acknowledgement that `refuse` waits for.
    pub fn reload(&self) {
        let lost = self.folder.as_ref().is_some_and(|folder| !folder.is_there());
        if self.lost.swap(lost, Ordering::SeqCst) != lost {
            let file = self.path.display();
            tracing::error!(%file, lost, "the folder of the local refusals changed; while it is lost, those of before count");
        }
        if lost {
            return;
        }
        let bytes = match std::fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Ok(_) | Err(_) => Some(read_private(&self.path).map(|bytes| bytes.to_vec())),
        };
        let now: Seen = bytes.as_ref().map(|bytes| sha256(bytes.as_deref().unwrap_or_default()));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == Some(now) {
            return;
        }
        let parsed = bytes.map(|bytes| bytes.and_then(|bytes| parse(&self.path, &bytes)));
        let file = parsed.unwrap_or_else(|| Ok(RefusalFile::default())).unwrap_or_else(|reason| {
            tracing::error!(%reason, "the local refusals cannot be read: every token is refused");
            RefusalFile::REFUSE_ALL
        });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(file);
        *seen = Some(now);
        if let Some(hash) = now
            && let Err(error) = replace_private(&self.acknowledgement, format!("{:?}", Bytes(hash)).as_bytes())
        {
            tracing::warn!(%error, "the acknowledgement of local refusals cannot be written");
        }
    }
}

/// `encrypted-vault refuse`: changes the file, and returns when a running vault has applied it.
///
/// # Errors
/// The file cannot be read or written, or a running vault does not adopt it within ten seconds.
pub fn refuse_command(data_dir: &Path, refusal: LocalRefusal, lift: bool) -> Result<&'static str, StartError> {
    let path = path_in(data_dir);
    // Two commands at once must not lose each other's change.
    let _one_at_a_time = lock_changes(data_dir)?;
    let mut file = read_file(&path)?;
    file.change(refusal, lift);
    let bytes = serde_json::to_vec_pretty(&file).map_err(|_| StartError::new("The refusals could not be written."))?;
    replace_private(&path, &bytes)
        .map_err(|error| StartError::new(format!("{} cannot be written ({error}).", path.display())))?;
    let wanted = format!("{:?}", Bytes(sha256(&bytes)));
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if DirectoryLock::acquire(data_dir).is_ok() {
            return Ok("No vault is running here; it will be applied before the next one listens.");
        }
        if read_private(&acknowledgement_in(data_dir)).is_ok_and(|seen| *seen == wanted.as_bytes()) {
            return Ok("Applied by the running vault.");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(StartError::new(
        "It is written, but the running vault did not take it over within ten seconds; stop the vault.",
    ))
}

/// The refusals in the file of a data directory.
///
/// # Errors
/// The file cannot be read.
pub fn read_refusals(data_dir: &Path) -> Result<RefusalFile, StartError> {
    read_file(&path_in(data_dir))
}

fn read_file(path: &Path) -> Result<RefusalFile, StartError> {
    if !path.exists() {
        return Ok(RefusalFile::default());
    }
    parse(path, &read_private(path)?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<RefusalFile, StartError> {
    serde_json::from_slice(bytes).map_err(|_| {
        StartError::new(format!("{} is malformed, so everything is refused; repair or remove it.", path.display()))
    })
}

fn lock_changes(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("refusals.lock");
    let cannot = |error: std::io::Error| StartError::new(format!("{} cannot be locked ({error}).", path.display()));
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(cannot)?;
    file.lock().map_err(cannot)?;
    Ok(file)
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("refusals.json")
}

fn acknowledgement_in(data_dir: &Path) -> PathBuf {
    data_dir.join("refusals.applied")
}
