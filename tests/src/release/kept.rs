//! An installation as text: its databases, its key folders, and what is known of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::populated::{Known, builder};
use crate::database::Engine;
use crate::installation::Installation;
use crate::keys::{make_folder, write_private};
use crate::loot::copy_tree;
use crate::service::Service;
use crate::{repository, target_dir};

/// Files by their place below a folder, in hexadecimal.
type Files = BTreeMap<String, String>;

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The folder of a release.
pub fn kept_at(release: &str) -> PathBuf {
    repository().join("tests/releases").join(release)
}

/// Writes databases and keys of a stopped installation, and what is known of it. Files of the other engine stay.
pub fn keep(installation: &Installation, known: &Known, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for service in [&installation.manager, &installation.vault] {
        dump(service, &database_file(folder, service));
    }
    let suffix = suffix();
    let keys: BTreeMap<&str, Files> =
        [&installation.manager, &installation.vault].map(|service| (service.name(), files(&service.keys()))).into();
    fs::write(folder.join(format!("keys-{suffix}.json")), pretty(&keys)).unwrap();
    fs::write(folder.join(format!("known-{suffix}.json")), pretty(known)).unwrap();
}

/// Lays a kept release down for the programs of today, at the time when it was kept. Nothing runs yet.
pub fn lay_down(folder: &Path) -> (Installation, Known) {
    let suffix = suffix();
    let read = |name: &str| fs::read(folder.join(format!("{name}-{suffix}.json"))).unwrap();
    let known: Known = serde_json::from_slice(&read("known")).unwrap();
    let keys: BTreeMap<String, Files> = serde_json::from_slice(&read("keys")).unwrap();
    let mut installation = builder().make();
    write_private(&installation.credential, known.administrator.as_bytes());
    let passed = i64::try_from(now() - known.kept_at).unwrap();
    for service in [&mut installation.manager, &mut installation.vault] {
        fs::remove_dir_all(service.keys()).unwrap();
        make_folder(&service.keys());
        for (path, content) in &keys[service.name()] {
            let path = service.keys().join(path);
            make_folder(path.parent().unwrap());
            write_private(&path, &hex::decode(content).unwrap());
        }
        load(service, &database_file(folder, service));
        service.uses_socket = true;
        service.load_shims();
        service.shift_clock(-passed);
    }
    (installation, known)
}

fn suffix() -> &'static str {
    match Engine::of_tests() {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    }
}

fn database_file(folder: &Path, service: &Service) -> PathBuf {
    folder.join(format!("{}-{}.sql", service.name(), suffix()))
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

/// All files below a folder.
fn files(folder: &Path) -> Files {
    let copy = tempfile::tempdir().unwrap();
    copy_tree(folder, &copy.path().join("all"));
    let (mut found, mut folders) = (Files::new(), vec![copy.path().join("all")]);
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(copy.path().join("all")).unwrap().to_str().unwrap().to_owned();
                found.insert(name, hex::encode(fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// The statements that make a database on SQLite, with the two numbers that say whose it is.
const DUMP: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db, open(sys.argv[2], 'w') as out:
    for name in ('application_id', 'user_version'):
        out.write(f'PRAGMA {name} = {db.execute(\"PRAGMA \" + name).fetchone()[0]};\\n')
    out.writelines(line + '\\n' for line in db.iterdump())
";
const LOAD: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db, open(sys.argv[2]) as text:
    db.executescript(text.read())
    db.execute('PRAGMA journal_mode = WAL')
";

fn dump(service: &Service, file: &Path) {
    match &service.database {
        Some(database) => database.dump_statements(file),
        None => python(DUMP, &service.sqlite_file(), file),
    }
}

fn load(service: &Service, file: &Path) {
    if let Some(database) = &service.database {
        return database.load_statements(file);
    }
    fs::remove_dir_all(service.data()).unwrap();
    make_folder(&service.data());
    write_private(&service.sqlite_file(), b"");
    python(LOAD, &service.sqlite_file(), file);
}

fn python(program: &str, database: &Path, file: &Path) {
    let python =
        std::env::var_os("SPLITVAULT_PYTHON").map_or_else(|| target_dir().join("venv/bin/python3"), PathBuf::from);
    let output = Command::new(python).args(["-c", program]).args([database, file]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
