//! What the runs of kills and of power cuts have in common.

use fastrand::Rng;
use system_tests::history::{History, inspect};
use system_tests::{Builder, Installation, Workload};

/// An installation whose replaced keys are retired and destroyed within seconds, so that crashes fall into every step.
pub(super) fn with_short_lived_keys() -> Builder {
    Installation::builder()
        .vault_table("[keys]\ntransport_overlap_seconds = 1\nbackup_retention_days = 0")
        .manager_table("[keys]\nroot_key_overlap_seconds = 1\nbackup_retention_days = 0")
}

/// Orders the rotation of one kind of key, if it is not under way. Says whether it was taken on.
pub(super) fn rotate_a_key(installation: &Installation, random: &mut Rng) -> bool {
    let (service, what): (_, &[&str]) = match random.usize(..6) {
        0 | 1 => (&installation.manager, &["root-key", "dev"]),
        2 => (&installation.manager, &["token-signing"]),
        3 | 4 => (&installation.vault, &["storage-key"]),
        _ => (&installation.vault, &["transport"]),
    };
    service.run(&[&["rotate-keys", "--wait", "0"], what].concat()).status.success()
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
