//! kill -9 of the PostgreSQL servers below the services, at any moment, under load, judged by the history checker.
//!
//! `scripts/crash.sh` runs more cycles of it.

use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use system_tests::history::{Rule, inspect};
use system_tests::{Engine, Installation, Workload, only_on};

use super::crash_run::{expect_every_promise_kept, rotate_a_key, seed, setting, with_short_lived_keys};

const SERVER: &str = "it kills database servers";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_servers_killed_at_any_moment_under_load_keep_every_promise() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let (cycles, seed) = (setting("SPLITVAULT_DATABASE_KILLS").unwrap_or(4), seed());
    let installation = with_short_lived_keys().apart().running().await;
    let (mut random, mut rotations, mut times) = (Rng::with_seed(seed), 0, Vec::new());
    let mut workload = Workload::start(&installation, seed);
    for cycle in 1..=cycles {
        rotations += u32::from(rotate_a_key(&installation, &mut random));
        workload.answers(random.u64(5..150)).await;
        tokio::time::sleep(Duration::from_micros(random.u64(..20_000))).await;
        let victims = match random.usize(..3) {
            0 => vec![&installation.vault],
            1 => vec![&installation.manager],
            _ => vec![&installation.vault, &installation.manager],
        };
        for service in &victims {
            tokio::task::block_in_place(|| service.postgres().server().kill());
        }
        for service in &victims {
            tokio::task::block_in_place(|| service.postgres().server().start());
        }
        let started = Instant::now();
        installation.ready().await;
        times.push(started.elapsed());
        if cycle % 20 == 0 || cycle == cycles {
            expect_every_promise_kept(&installation, &mut workload, &format!("seed {seed}, cycle {cycle}")).await;
            workload.resume(seed.wrapping_add(cycle));
        }
    }
    times.sort();
    let (middle, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{cycles} kills of database servers, {rotations} rotations of keys; ready again after {middle:.0?} (median), \
         {slowest:.0?} (slowest)"
    );
}

/// The checker must see that a database which answers before it is durable loses what it acknowledged.
#[tokio::test]
async fn control_database_that_answers_before_it_is_durable_loses_acknowledged_writes() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let danger = "[danger]\npostgres_without_durability = true";
    let mut installation = Installation::builder().vault_table(danger).manager_table(danger).apart().make();
    let database = installation.vault.postgres().clone();
    let server = database.server();
    server.tell("postgres", &format!("ALTER ROLE {} SET synchronous_commit = off", database.role()));
    installation.start().await;
    // Nobody else writes the log to the disk then.
    let writer = server.tell("postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
    kill_process(Pid::from_raw(writer.parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    let mut workload = Workload::start(&installation, seed());
    workload.answers(100).await;
    let history = workload.stop().await;
    // It would see that its database went back, and end.
    installation.vault.kill();
    server.kill();
    server.start();
    installation.vault.start().await;
    installation.ready().await;
    let found = history.judge(&inspect(&installation, &history).await);
    assert!(found.iter().any(|violation| violation.rule == Rule::Kept), "{found:?}");
}
