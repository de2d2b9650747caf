//! kill -9 at any moment, under load, judged by the history checker.
//!
//! `scripts/crash.sh` runs more cycles of it and shows how fast the services are ready again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fastrand::Rng;
use shared_proto::encoding::from_b64;
use system_tests::history::{Rule, Target, VersionKey, Violation, inspect};
use system_tests::{Installation, Service, Workload};

use super::crash_run::{expect_every_promise_kept, rotate_a_key, seed, setting, with_short_lived_keys};

#[tokio::test]
async fn services_killed_at_any_moment_under_load_keep_every_promise() {
    let (cycles, seed) = (setting("SPLITVAULT_KILL_CYCLES").unwrap_or(10), seed());
    let mut installation = with_short_lived_keys().running().await;
    // The default: how fast a vault is ready again depends on the manager's poll.
    installation.manager.set("poll_interval_ms = 1000");
    installation.restart_manager().await;
    let (mut random, mut report) = (Rng::with_seed(seed), Report::default());
    let mut workload = Workload::start(&installation, seed);
    for cycle in 1..=cycles {
        report.rotations += u32::from(rotate_a_key(&installation, &mut random));
        workload.answers(random.u64(5..150)).await;
        one_kill(&mut installation, &mut random, &mut report).await;
        if cycle % 20 == 0 || cycle == cycles {
            workload.answers(20).await;
            expect_every_promise_kept(&installation, &mut workload, &format!("seed {seed}, cycle {cycle}")).await;
            workload.resume(seed.wrapping_add(cycle));
        }
    }
    println!("{}", report.shown());
}

/// The checker must find a write that is lost behind the services' backs, at either of them.
#[tokio::test]
async fn control_row_that_vanishes_from_either_database_is_found_as_a_lost_write() {
    for (service, table) in [("encrypted-vault", "envelopes"), ("master-key-manager", "versions")] {
        let mut installation = Installation::running().await;
        let mut workload = Workload::start(&installation, seed());
        workload.answers(100).await;
        let history = workload.stop().await;
        assert_eq!(history.judge(&inspect(&installation, &history).await), [], "before");

        let destroyed = |version: &VersionKey| {
            history.withdrawals.iter().any(|done| done.target == Target::Destruction(version.clone()))
        };
        let mut kept = history.acknowledged().map(|(version, _)| version).filter(|version| !destroyed(version));
        let lost = kept.next().expect("a write was acknowledged");
        let vault = service == installation.vault.name();
        let victim = if vault { &mut installation.vault } else { &mut installation.manager };
        victim.stop().await;
        delete_row(victim, table, lost);
        victim.start().await;
        let found = history.judge(&inspect(&installation, &history).await);
        let [Violation { rule: Rule::Kept, about }] = found.as_slice() else { panic!("{service}: {found:?}") };
        assert!(about.starts_with(&format!("{lost:?}")), "{service}: {about}");
    }
}

async fn one_kill(installation: &mut Installation, random: &mut Rng, report: &mut Report) {
    // Within one request's way through the services, not only when an answer has just been given.
    tokio::time::sleep(Duration::from_micros(random.u64(..20_000))).await;
    let (vault, manager) = match random.usize(..5) {
        0 | 1 => (true, false),
        2 | 3 => (false, true),
        _ => (true, true),
    };
    let during_start = random.usize(..4) == 0;
    for (hit, service) in [(vault, &mut installation.vault), (manager, &mut installation.manager)] {
        if hit {
            service.kill();
            report.kills += 1;
            if during_start {
                service.launch();
                tokio::time::sleep(Duration::from_micros(random.u64(..60_000))).await;
                service.kill();
                report.kills += 1;
            }
        }
    }
    let mut started = Instant::now();
    if vault {
        installation.vault.start().await;
    }
    if manager {
        started = Instant::now();
        installation.manager.start().await;
    }
    let who = match (vault, manager) {
        (true, true) => "both services",
        (true, false) => installation.vault.name(),
        _ => installation.manager.name(),
    };
    installation.ready().await;
    report.ready.entry(who).or_default().push(started.elapsed());
}

/// How fast the services were ready, from the start of the last process.
#[derive(Default)]
struct Report {
    kills: u32,
    rotations: u32,
    ready: BTreeMap<&'static str, Vec<Duration>>,
}

impl Report {
    fn shown(&self) -> String {
        let mut text = format!("{} kills, {} rotations of keys", self.kills, self.rotations);
        for (who, times) in &self.ready {
            let mut times = times.clone();
            times.sort();
            let (middle, slow, slowest) =
                (times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() - 1]);
            let over = times.iter().filter(|time| **time > Duration::from_secs(2)).count();
            write!(
                text,
                "\n{who}: {} restarts, ready after {middle:.0?} (median), {slow:.0?} (p99), {slowest:.0?} (slowest); \
                 {over} over 2 s",
                times.len(),
            )
            .unwrap();
        }
        text
    }
}

/// Deletes a version from a service's database while the service is down.
fn delete_row(service: &Service, table: &str, (key_id, version): &VersionKey) {
    let secret = hex::encode(from_b64(key_id.strip_prefix("sec_").unwrap()).unwrap());
    let statement = format!("DELETE FROM {table} WHERE secret_id = X'{secret}' AND version = {version}");
    assert_eq!(service.alter(&statement), 1);
}
