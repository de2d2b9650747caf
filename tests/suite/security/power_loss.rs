//! Power cuts at any moment, under load: what was not fsynced is gone, wholly or in part, and so is all memory. Judged by
//! the same checker as kills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use system_tests::history::{Rule, inspect};
use system_tests::power::{Disk, Forgotten};
use system_tests::{Builder, Engine, Installation, Service, Workload, only_on};

use super::crash_run::{expect_every_promise_kept, rotate_a_key, seed, setting, with_short_lived_keys};

/// Why a test knows SQLite only.
const FILES: &str = "what PostgreSQL keeps is durable by its own means, which kills of the server try";

#[tokio::test]
async fn power_cut_at_any_moment_loses_nothing_that_was_acknowledged() {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    let (cuts, seed) = (setting("SPLITVAULT_POWER_CUTS").unwrap_or(10), seed());
    let (mut installation, vault, manager) = watched(with_short_lived_keys()).await;
    let (mut random, mut rotations) = (Rng::with_seed(seed), 0);
    let mut workload = Workload::start(&installation, seed);
    for cut in 1..=cuts {
        rotations += u32::from(rotate_a_key(&installation, &mut random));
        workload.answers(random.u64(5..150)).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..20_000))).await;
        let (hit_vault, hit_manager) = [(true, false), (false, true), (true, true)][random.usize(..3)];
        let mut undone = 0;
        if hit_vault {
            undone += installation.cut_vault(&vault, some_or_all(&mut random));
        }
        if hit_manager {
            undone += installation.cut_manager(&manager, some_or_all(&mut random));
        }
        println!("cut {cut}: vault {hit_vault}, manager {hit_manager}, {undone} changes were not durable");
        if hit_vault {
            installation.vault.start().await;
        }
        if hit_manager {
            installation.manager.start().await;
        }
        installation.ready().await;
        if cut % 10 == 0 || cut == cuts {
            expect_every_promise_kept(&installation, &mut workload, &format!("seed {seed}, cut {cut}")).await;
            workload.resume(seed.wrapping_add(cut));
        }
    }
    println!("{cuts} power cuts, {rotations} rotations of keys");
}

/// What a command says it has done is durable when it returns.
#[tokio::test]
async fn commands_that_have_returned_leave_nothing_that_a_power_cut_could_take() {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    let mut installation = Installation::builder().make();
    let disks = [Disk::of(&mut installation.vault), Disk::of(&mut installation.manager)];
    let place = installation.folder().to_owned();
    let [file, other, credential] = ["vault.backup", "manager.backup", "credential"].map(|name| place.join(name));
    let [file, other, credential] = [&file, &other, &credential].map(|path| path.to_str().unwrap());
    let vault: [&[&str]; 5] = [
        &["init"],
        &["backup", file],
        &["restore", file],
        &["rotate-keys", "storage-key", "--wait", "0"],
        &["rotate-keys", "transport", "--wait", "0"],
    ];
    let manager: [&[&str]; 6] = [
        &["init", "--credential-file", credential],
        &["rotate-keys", "root-key", "dev", "--wait", "0"],
        &["rotate-keys", "token-signing", "--wait", "0"],
        &["backup", other],
        &["restore", other],
        &["admin", "reset", "--credential-file", &format!("{credential}.new")],
    ];
    for (service, disk, commands) in
        [(&installation.vault, &disks[0], &vault[..]), (&installation.manager, &disks[1], &manager[..])]
    {
        uninitialise(service);
        for command in commands {
            service.run_well(command);
            let before = what_matters(service);
            disk.cut(service, Forgotten::Unsynced);
            let (after, names) =
                (what_matters(service), |tree: &BTreeMap<PathBuf, Vec<u8>>| format!("{:?}", tree.keys()));
            assert_eq!(names(&after), names(&before), "{command:?}");
            assert!(after == before, "{command:?} left content behind that was not fsynced");
            // It would be played into the restored database.
            let old_wal = std::fs::read_dir(service.data()).unwrap().any(|entry| is_wal(&entry.unwrap().path()));
            assert!(command[0] != "restore" || !old_wal, "the old write-ahead log is back");
        }
    }
}

/// If one call of the services went past the shim, it could not put everything back.
#[tokio::test]
async fn every_change_that_the_services_make_is_seen_and_can_be_taken_back() {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    let mut installation = Installation::builder().make();
    let before = [tree(&installation.vault), tree(&installation.manager)];
    let disks = [Disk::of(&mut installation.vault), Disk::of(&mut installation.manager)];
    installation.start().await;
    let mut workload = Workload::start(&installation, seed());
    workload.answers(200).await;
    workload.stop().await;
    installation.restart_vault().await;
    installation.restart_manager().await;
    installation.cut_vault(&disks[0], Forgotten::Everything);
    installation.cut_manager(&disks[1], Forgotten::Everything);
    let after = [tree(&installation.vault), tree(&installation.manager)];
    assert_eq!(after, before);
}

/// The checker must see that a database which is not fsynced loses what it acknowledged.
#[tokio::test]
async fn control_database_that_is_not_fsynced_loses_acknowledged_writes() {
    if !only_on(Engine::Sqlite, FILES) {
        return;
    }
    for (vault, manager) in [("synchronous_off", ""), ("", "synchronous_off")] {
        let (mut installation, vault_disk, manager_disk) =
            watched(Installation::builder().sabotaged(vault, manager)).await;
        let mut workload = Workload::start(&installation, seed());
        workload.answers(100).await;
        let history = workload.stop().await;
        if vault.is_empty() {
            installation.cut_manager(&manager_disk, Forgotten::Unsynced);
            installation.manager.start().await;
        } else {
            installation.cut_vault(&vault_disk, Forgotten::Unsynced);
            installation.vault.start().await;
        }
        let found = history.judge(&inspect(&installation, &history).await);
        assert!(found.iter().any(|violation| violation.rule == Rule::Kept), "{vault}{manager}: {found:?}");
    }
}

/// What `audit.sync = "os"` says of itself: it survives a crash of the service, not of the machine.
#[tokio::test]
async fn control_audit_log_that_is_left_to_the_kernel_loses_lines() {
    let builder = Installation::builder().vault_table("[audit]\nsync = \"os\"");
    let (mut installation, vault, _manager) = watched(builder).await;
    let mut workload = Workload::start(&installation, seed());
    workload.answers(100).await;
    installation.vault.kill();
    installation.vault.start().await;
    expect_every_promise_kept(&installation, &mut workload, "killed").await;

    workload.resume(1);
    workload.answers(100).await;
    let history = workload.stop().await;
    installation.cut_vault(&vault, Forgotten::Unsynced);
    installation.vault.start().await;
    let found = history.judge(&inspect(&installation, &history).await);
    assert!(!found.is_empty() && found.iter().all(|violation| violation.rule == Rule::Audited), "{found:?}");
}

async fn watched(builder: Builder) -> (Installation, Disk, Disk) {
    let mut installation = builder.make();
    let (vault, manager) = (Disk::of(&mut installation.vault), Disk::of(&mut installation.manager));
    installation.start().await;
    (installation, vault, manager)
}

fn some_or_all(random: &mut Rng) -> Forgotten<'_> {
    if random.usize(..3) == 0 { Forgotten::Unsynced } else { Forgotten::PartOfUnsynced(random) }
}

/// Takes back what `init` did, apart from the RSA key and the pins, which it finds.
fn uninitialise(service: &Service) {
    std::fs::remove_dir_all(service.data()).unwrap();
    for entry in std::fs::read_dir(service.keys()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "pins" {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.is_file() && !name.starts_with("transport") && !name.starts_with("token-signing") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Files without which something is lost. SQLite removes a write-ahead log when the database has everything that it
/// holds, so it does no harm when it comes back.
fn what_matters(service: &Service) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(service);
    files.retain(|path, _| !is_wal(path) && !path.ends_with("lock"));
    files
}

/// Every durable file of a service, with its content.
fn tree(service: &Service) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(&service.data(), &mut found);
    collect(&service.keys(), &mut found);
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.is_file() && !path.to_string_lossy().ends_with("-shm") {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

fn is_wal(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-wal")
}
