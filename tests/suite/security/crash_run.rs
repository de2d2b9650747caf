//! What the runs of kills and of power cuts have in common.

use system_tests::history::{History, inspect};
use system_tests::{Installation, Workload};

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
