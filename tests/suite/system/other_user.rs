//! Commands that are run by another user than the service's, as root by habit: refused before anything is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use system_tests::{Engine, Installation, Service};

/// Every file and folder with what a command could change of it.
fn everything(path: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64)> {
    let meta = fs::symlink_metadata(path).unwrap();
    let mut found = BTreeMap::from([(path.to_owned(), (meta.ino(), meta.uid(), meta.ctime(), meta.ctime_nsec()))]);
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(everything(&entry.unwrap().path()));
        }
    }
    found
}

fn give_away(path: &Path) {
    for path in everything(path).into_keys() {
        chown(path, Some(12_345), None).unwrap();
    }
}

fn refuses(service: &Service, folder: &Path, command: &[&str]) {
    let before = everything(folder);
    let output = service.run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?} of {} works", service.name());
    assert!(said.contains("belongs to user") && said.lines().count() == 1, "{command:?}: {said}");
    assert!(everything(folder) == before, "{command:?} of {} changed a file", service.name());
}

#[tokio::test]
async fn command_on_the_files_of_another_user_is_refused_before_it_touches_anything() {
    let installation = Installation::builder().make();
    let (vault, manager) = (&installation.vault, &installation.manager);
    let backups = [vault, manager].map(|service| {
        let file = installation.folder().join(format!("{}.backup", service.name()));
        // A database on a server is not backed up with the command.
        if Engine::of_tests() == Engine::Sqlite {
            service.run_well(&["backup", file.to_str().unwrap()]);
        }
        file.to_str().unwrap().to_owned()
    });
    let copy = installation.folder().join("copy");
    let copy = copy.to_str().unwrap();
    for service in [vault, manager] {
        if rustix::process::geteuid().is_root() {
            give_away(service.data().parent().unwrap());
        } else {
            // Only root can give files away; for everybody else root's folder is another user's.
            let config = fs::read_to_string(service.config()).unwrap();
            fs::write(service.config(), config.replace("data_dir = \"data\"", "data_dir = \"/\"")).unwrap();
        }
    }
    let folder = installation.folder();
    for (service, backup) in [vault, manager].into_iter().zip(&backups) {
        for command in [&["run"][..], &["init"], &["backup", copy], &["restore", backup], &["rotate-keys", "identity"]]
        {
            refuses(service, folder, command);
        }
    }
    let token = shared_proto::id::TokenId::from_bytes([7; 16]).to_string();
    for command in [&["refuse", "token", &token][..], &["refuse", "everything"], &["refuse", "lift", "everything"]] {
        refuses(vault, folder, command);
    }
    refuses(manager, folder, &["admin", "reset", "--credential-file", copy]);
}
