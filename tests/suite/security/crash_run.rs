//! What the runs of kills and of power cuts have in common.

use std::path::PathBuf;

use fastrand::Rng;
use shared_proto::encoding::b64;
use shared_proto::identity::IdentityDocument;
use system_tests::history::{History, inspect};
use system_tests::{Builder, Installation, Service, Workload};

/// An installation whose replaced keys are retired and destroyed within seconds, so that crashes fall into every step.
pub(super) fn with_short_lived_keys() -> Builder {
    Installation::builder()
        .vault_table("[keys]\ntransport_overlap_seconds = 1\nbackup_retention_days = 0")
        .manager_table("[keys]\nroot_key_overlap_seconds = 1\nbackup_retention_days = 0")
}

/// Orders the rotation of one kind of key, if it is not under way. Says whether it was taken on.
pub(super) fn rotate_a_key(installation: &Installation, random: &mut Rng) -> bool {
    let (service, what): (_, &[&str]) = match random.usize(..10) {
        0 | 1 => (&installation.manager, &["root-key", "dev"]),
        2 => (&installation.manager, &["token-signing"]),
        3 | 4 => (&installation.vault, &["storage-key"]),
        5 => (&installation.vault, &["transport"]),
        6 | 7 => return change_identity(&installation.vault, &installation.manager),
        _ => return change_identity(&installation.manager, &installation.vault),
    };
    service.run(&[&["rotate-keys", "--wait", "0"], what].concat()).status.success()
}

/// The next thing to be done for a new identity of a service: it is made, pinned at the other service, and when it is in
/// use the old pin is taken away. Says whether that was the last.
fn change_identity(own: &Service, other: &Service) -> bool {
    let document = |path: PathBuf| serde_json::from_slice::<IdentityDocument>(&std::fs::read(path).ok()?).ok();
    let pins = other.keys().join("pins");
    let files = std::fs::read_dir(&pins).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let pinned: Vec<_> = files.filter_map(document).collect();
    let kid = |document: &IdentityDocument| b64(&document.key.thumbprint().0);
    // The next document becomes the present one in one step, so this order misses neither.
    if let Some(next) = document(own.keys().join("identity-next.json")) {
        if !pinned.contains(&next) {
            let half = pins.join(".next.json.0.tmp");
            std::fs::copy(own.keys().join("identity-next.json"), &half).unwrap();
            std::fs::rename(half, pins.join(format!("{}.json", kid(&next)))).unwrap();
        }
        return false;
    }
    let present = document(own.keys().join("identity.json")).unwrap();
    let Some(old) = pinned.iter().find(|pin| **pin != present) else {
        own.run(&["rotate-keys", "identity"]);
        return false;
    };
    other.run(&["rotate-keys", "unpin", &kid(old)]).status.success()
}

/// Stops the clients and asks for everything that was promised to them.
///
/// # Panics
///
/// When a promise is broken.
pub(super) async fn expect_every_promise_kept(installation: &Installation, workload: &mut Workload, when: &str) {
    workload.answers(20).await;
    let history = workload.stop().await;
    let violations = history.judge(&inspect(installation, &history).await);
    assert_eq!(violations, [], "{when}");
    println!("{when}: every promise kept: {}", summary(&history));
}

/// A number from the environment; scripts/crash.sh sets them.
pub(super) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Shown, so that a run can be repeated.
pub(super) fn seed() -> u64 {
    let seed = setting("SPLITVAULT_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}");
    seed
}

fn summary(history: &History) -> String {
    let acknowledged = history.acknowledged().count();
    format!(
        "{acknowledged} acknowledged writes ({} others), {} tokens, {} revocations and destructions, {} reads",
        history.stores.len() - acknowledged,
        history.tokens.len(),
        history.withdrawals.len(),
        history.reads.len()
    )
}
