//! A power cut: what a service had not made durable is undone.
//!
//! The shim `tests/faults/power_loss.c` records what each write, cut and change of a name replaces, and what fsync makes
//! durable. A cut takes back what is not durable, as a disk and a file system may: of the content of files any sector
//! of 512 bytes and the size each by itself, of the names in a directory any number of the last changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;

use crate::{Installation, Service, repository};

/// The disk of one service.
pub struct Disk {
    memory: PathBuf,
}

/// What a cut makes the disk forget.
pub enum Forgotten<'a> {
    /// All that was not made durable.
    Unsynced,
    /// A random part of that.
    PartOfUnsynced(&'a mut Rng),
    /// Everything since the disk was watched, also what it was told to keep: a disk that lies.
    Everything,
}

impl Disk {
    /// Watches the data directory and the key folder of a service from its next start on.
    ///
    /// # Panics
    ///
    /// When there is no C compiler.
    pub fn of(service: &mut Service) -> Self {
        let disk = Self { memory: service.folder.join("power-loss") };
        let library = service.folder.join("power_loss.so");
        let source = repository().join("tests/faults/power_loss.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source);
        assert!(compiler.arg("-ldl").status().expect("a C compiler is installed").success());
        // As the kernel names them.
        let folder = fs::canonicalize(&service.folder).unwrap();
        let below = format!("{0}/data:{0}/keys", folder.display());
        for (name, value) in [("LD_PRELOAD", &library), ("POWER_LOSS_MEMORY", &disk.memory)] {
            service.set_variable(name, value);
        }
        service.set_variable("POWER_LOSS_BELOW", Path::new(&below));
        fs::create_dir(&disk.memory).unwrap();
        disk
    }

    /// Cuts the power of a service that is not running: its disk forgets, and shared memory is gone. Says how many
    /// changes were taken back, wholly or in part.
    pub fn cut(&self, service: &Service, what: Forgotten<'_>) -> usize {
        let records = parse(&fs::read(self.memory.join("journal")).unwrap_or_default());
        let undone = self.undo(&records, what);
        for entry in fs::read_dir(service.data()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().ends_with("-shm") {
                fs::remove_file(path).unwrap();
            }
        }
        // The disk is now what it is: nothing of it can be forgotten any more.
        fs::remove_dir_all(&self.memory).unwrap();
        fs::create_dir(&self.memory).unwrap();
        undone
    }

    fn undo(&self, records: &[Record], mut what: Forgotten<'_>) -> usize {
        let pending = Pending::of(records, !matches!(what, Forgotten::Everything));
        for (file, changes) in &pending.contents {
            let path = self.memory.join(file.to_string());
            let mut content = fs::read(&path).unwrap();
            recover_events(&mut content, changes, &mut what);
            // In place: the file may have other names.
            fs::write(&path, content).unwrap();
        }
        let mut settled = BTreeSet::new();
        for (change, folders) in pending.names.iter().rev() {
            if folders.iter().all(|folder| settled.contains(folder)) {
                continue;
            }
            if what.keeps() {
                settled.extend(folders.iter().cloned());
                continue;
            }
            let names: Vec<&Path> = change.text.lines().map(Path::new).collect();
            match change.kind {
                b'r' => {
                    self.set_name(names[1], change.at);
                    self.set_name(names[0], change.file);
                }
                _ => self.set_name(names[0], change.file),
            }
        }
        pending.names.len() + pending.contents.values().map(Vec::len).sum::<usize>()
    }

    /// Makes a name stand for a file, or for nothing.
    fn set_name(&self, name: &Path, file: u64) {
        let now = fs::symlink_metadata(name).ok();
        if now.as_ref().map_or(0, MetadataExt::ino) == file {
            return;
        }
        match now {
            Some(found) if found.is_dir() => fs::remove_dir_all(name).unwrap(),
            Some(_) => fs::remove_file(name).unwrap(),
            None => {}
        }
        if file != 0 {
            fs::hard_link(self.memory.join(file.to_string()), name).unwrap();
        }
    }
}

impl Installation {
    /// Kills the vault and cuts its power: its runtime directory, which is memory, is gone too.
    pub fn cut_vault(&mut self, disk: &Disk, what: Forgotten<'_>) -> usize {
        self.vault.kill();
        let _first_start = fs::remove_dir_all(&self.runtime_dir);
        disk.cut(&self.vault, what)
    }

    /// Kills the manager and cuts its power.
    pub fn cut_manager(&mut self, disk: &Disk, what: Forgotten<'_>) -> usize {
        self.manager.kill();
        disk.cut(&self.manager, what)
    }
}

impl Forgotten<'_> {
    /// Whether this change, and so those before it, reached the disk.
    fn keeps(&mut self) -> bool {
        match self {
            Self::Unsynced | Self::Everything => false,
            Self::PartOfUnsynced(random) => random.bool(),
        }
    }
}

/// A record of the shim; its file says what the members mean.
#[derive(Clone, Debug, Default)]
struct Record {
    position: u64,
    kind: u8,
    text: String,
    file: u64,
    at: u64,
    count: u64,
    size: u64,
    bytes: Vec<u8>,
}

const HEAD: usize = 48;
const SECTOR: usize = 512;

fn parse(journal: &[u8]) -> Vec<Record> {
    let (mut records, mut rest) = (Vec::new(), journal);
    // A last record that is not whole is of a change that was not made.
    while let Some((head, behind)) = rest.split_at_checked(HEAD) {
        let number = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let text = usize::try_from(u32::from_ne_bytes(head[4..8].try_into().unwrap())).unwrap();
        let length = usize::try_from(number(32)).unwrap();
        let Some((body, next)) = behind.split_at_checked(text + length) else { break };
        records.push(Record {
            position: u64::try_from(journal.len() - rest.len()).unwrap(),
            kind: head[0],
            text: String::from_utf8_lossy(&body[..text]).into_owned(),
            file: number(8),
            at: number(16),
            count: number(24),
            size: number(40),
            bytes: body[text..].to_vec(),
        });
        rest = next;
    }
    records
}

/// Changes that are not durable, oldest first.
#[derive(Default)]
struct Pending {
    contents: BTreeMap<u64, Vec<Record>>,
    /// With the folders that must be fsynced before the change is durable.
    names: Vec<(Record, BTreeSet<PathBuf>)>,
}

impl Pending {
    fn of(records: &[Record], honoured: bool) -> Self {
        let mut pending = Self::default();
        for record in records {
            match record.kind {
                b'w' | b't' => pending.contents.entry(record.file).or_default().push(record.clone()),
                // Only what the file was when its fsync began.
                b's' if honoured => {
                    let changes = pending.contents.entry(record.file).or_default();
                    changes.retain(|change| change.position >= record.at);
                }
                b'd' if honoured => pending.names.retain_mut(|(change, folders)| {
                    if change.position < record.at {
                        folders.remove(Path::new(&record.text));
                    }
                    !folders.is_empty()
                }),
                b'n' | b'r' => {
                    let folders = record.text.lines().filter_map(|name| Path::new(name).parent());
                    pending.names.push((record.clone(), folders.map(Path::to_owned).collect()));
                }
                _ => {}
            }
        }
        pending
    }
}

/// Takes back changes of one file's content, newest first. Each sector, and the size, keeps what it has from a point of
/// its own on.
fn recover_events(content: &mut Vec<u8>, changes: &[Record], what: &mut Forgotten<'_>) {
    let position = |number: u64| usize::try_from(number).unwrap();
    let (mut size, mut size_settled, mut settled) = (content.len(), false, BTreeSet::new());
    for change in changes.iter().rev() {
        let (at, old_size) = (position(change.at), position(change.size));
        let end = at + if change.kind == b'w' { position(change.count) } else { change.bytes.len() };
        content.resize(content.len().max(end).max(old_size), 0);
        for sector in at / SECTOR..end.div_ceil(SECTOR) {
            if settled.contains(&sector) {
                continue;
            }
            if what.keeps() {
                settled.insert(sector);
                continue;
            }
            let (first, last) = (at.max(sector * SECTOR), end.min((sector + 1) * SECTOR));
            // What lay behind the end of the file is read as zeros, if the new size is kept.
            let old = change.bytes.iter().skip(first - at).copied().chain(std::iter::repeat(0));
            content.splice(first..last, old.take(last - first));
        }
        if !size_settled {
            size_settled = what.keeps();
            size = if size_settled { size } else { old_size };
        }
    }
    content.resize(size, 0);
}

#[cfg(test)]
mod tests;
