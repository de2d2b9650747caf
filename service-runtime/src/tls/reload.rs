//! A value made from files, which is made again when the files change.

use std::{
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use super::Loaded;
use crate::{
    StartError,
    signals::{self, Looks},
};
use arc_swap::ArcSwap;

type Load<T> = Box<dyn Fn() -> Result<Loaded<T>, StartError> + Send + Sync>;

/// A value made from files that may be replaced while the process runs.
pub struct Reloading<T> {
    current: ArcSwap<T>,
    files: Vec<PathBuf>,
    load: Load<T>,
}

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Loads the value, logs the end of the certificates' validity, and checks the files from now on, for as long as
    /// the value lives. Call it on the runtime of the process.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn open(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<Loaded<T>, StartError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, StartError> {
        let seen = Seen::of(&files);
        let first = load()?;
        first.expiries.iter().for_each(|expiry| expiry.tell(SystemTime::now(), false));
        let this = Arc::new(Self { current: ArcSwap::from_pointee(first.value), files, load: Box::new(load) });
        if !this.files.is_empty() {
            tokio::spawn(watch(Arc::downgrade(&this), seen));
        }
        Ok(this)
    }

    /// The present value.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    fn reload(&self) {
        let now = SystemTime::now();
        let loaded = (self.load)().and_then(|loaded| match loaded.expiries.iter().find(|expiry| expiry.is_over(now)) {
            Some(over) => Err(StartError::new(format!("{} expired at {}.", over.file.display(), over.text))),
            None => Ok(loaded),
        });
        match loaded {
            Ok(loaded) => {
                loaded.expiries.iter().for_each(|expiry| expiry.tell(now, false));
                self.current.store(Arc::new(loaded.value));
                tracing::info!("certificates reloaded");
            }
            Err(refusal) => tracing::error!(%refusal, "new certificates refused; the old ones go on"),
        }
    }

    fn warn(&self) {
        if let Ok(loaded) = (self.load)() {
            loaded.expiries.iter().for_each(|expiry| expiry.tell(SystemTime::now(), true));
        }
    }
}

async fn watch<T: Send + Sync + 'static>(this: Weak<Reloading<T>>, loaded: Seen) {
    let mut looks = Looks::every(LOOK);
    let mut look = Look { before: loaded.clone(), loaded, number: 0 };
    loop {
        let asked = looks.next().await == signals::Look::Asked;
        let Some(this) = this.upgrade() else { return };
        // A file system that hangs must not hold a thread that serves.
        let Ok(looked) = tokio::task::spawn_blocking(move || look.again(&this, asked)).await else { return };
        look = looked;
    }
}

/// The state of the files at the last check.
struct Look {
    loaded: Seen,
    before: Seen,
    number: u32,
}

impl Look {
    fn again<T: Send + Sync + 'static>(mut self, files: &Reloading<T>, asked: bool) -> Self {
        let now = Seen::of(&files.files);
        // Certificate and key are two files: they are read when both stand still, or when the operator says so.
        if now != self.loaded && (asked || now == self.before) {
            files.reload();
            self.loaded = now.clone();
        }
        self.before = now;
        self.number = self.number.wrapping_add(1);
        if self.number.is_multiple_of(WARN_EVERY) {
            files.warn();
        }
        self
    }
}

/// The file system's facts about files, which every replacement changes.
#[derive(Clone, PartialEq, Eq)]
struct Seen(Vec<Option<[i64; 4]>>);

impl Seen {
    fn of(files: &[PathBuf]) -> Self {
        let one = |path: &PathBuf| {
            let meta = std::fs::symlink_metadata(path).ok()?;
            Some([meta.ino().cast_signed(), meta.mtime(), meta.mtime_nsec(), meta.size().cast_signed()])
        };
        Self(files.iter().map(one).collect())
    }
}

const LOOK: Duration = Duration::from_secs(1);
/// Twice a day.
const WARN_EVERY: u32 = 12 * 60 * 60;
