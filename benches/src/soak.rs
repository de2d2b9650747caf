//! A steady mixed load, and whether memory stays flat under it.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::http::{Connection, delete};
use crate::process::resident_mib;
use crate::report::Report;
use crate::services::{Services, member};

/// How long.
#[derive(Args)]
pub(crate) struct Soak {
    /// Minutes.
    #[arg(long)]
    minutes: u32,
    /// Rounds per second. A round stores a secret with a token, reads it ten times, mints a short-lived token, reads
    /// with it, and revokes it in one round of ten.
    #[arg(long, default_value_t = 50)]
    rounds_per_second: u32,
}

/// The first part of the time does not count: caches fill, threads start, freed memory is found again.
const WARM_UP: f64 = 1.0 / 3.0;
/// Shorter than the warm-up of a soak of minutes, so that as many tokens expire as are minted.
const LIFE_SECONDS: u64 = 60;
const READS: usize = 10;
const WORKERS: u32 = 4;

impl Soak {
    /// Loads, prints memory each minute, and reports the slopes.
    pub(crate) async fn measure(&self, services: &'static Services, report: &mut Report) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(u64::from(self.minutes) * 60);
        let pause = Duration::from_secs_f64(f64::from(WORKERS) / f64::from(self.rounds_per_second.max(1)));
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(tokio::task::spawn_local(work(services, end, pause)));
        }
        println!("{:>8} {:>12} {:>12}", "minute", "manager MiB", "vault MiB");
        let mut seen: Vec<(f64, Vec<f64>)> = Vec::new();
        for minute in 0..=self.minutes {
            let memory: Vec<f64> = services.pids.iter().map(|pid| resident_mib(*pid)).collect();
            println!("{minute:>8} {:>12.2} {:>12.2}", memory.first().unwrap_or(&0.0), memory.get(1).unwrap_or(&0.0));
            seen.push((f64::from(minute) / 60.0, memory));
            tokio::time::sleep(Duration::from_secs(if minute < self.minutes { 60 } else { 0 })).await;
        }
        let mut rounds = 0;
        for worker in workers {
            rounds += worker.await??;
        }
        report.number("rounds of the steady load", f64::from(rounds), "")?;
        let warm = f64::from(self.minutes) / 60.0 * WARM_UP;
        for (index, name) in ["manager", "vault"].iter().enumerate() {
            let points = seen.iter().filter(|(hour, _)| *hour >= warm);
            let points: Vec<(f64, f64)> =
                points.filter_map(|(hour, memory)| Some((*hour, *memory.get(index)?))).collect();
            report.number(&format!("growth of the {name} after the warm-up"), slope(&points), "MiB/h")?;
        }
        Ok(())
    }
}

async fn work(services: &Services, end: Instant, pause: Duration) -> Result<u32, Failure> {
    let mut manager = Connection::open(&services.manager).await?;
    let mut vault = Connection::open(&services.vault).await?;
    let (mut rounds, mut next) = (0_u32, Instant::now());
    while Instant::now() < end {
        let stored = manager.expect(&services.store(true), 201).await?;
        let (key_id, token) = (member(stored, "key_id")?, member(stored, "access_token")?);
        let read = services.read(&key_id, &token);
        for _ in 0..READS {
            read_once(&mut vault, &read).await?;
        }
        let minted = manager.expect(&services.mint(std::slice::from_ref(&key_id), LIFE_SECONDS), 201).await?;
        let (token, jti) = (member(minted, "access_token")?, member(minted, "jti")?);
        read_once(&mut vault, &services.read(&key_id, &token)).await?;
        if rounds.is_multiple_of(10) {
            let revoke = delete(&services.manager, &format!("/api/tokens/{jti}"), &services.credential);
            manager.expect(&revoke, 200).await?;
        }
        rounds += 1;
        next += pause;
        tokio::time::sleep_until(next.into()).await;
    }
    Ok(rounds)
}

/// As clients do: a token that was minted between a revocation's number and its push is asked for again.
async fn read_once(vault: &mut Connection, read: &[u8]) -> Result<(), Failure> {
    loop {
        match vault.exchange(read).await? {
            (200, _) => return Ok(()),
            (503, body) if body.contains("revocations_behind") => {}
            (status, body) => return Err(format!("status {status} instead of 200: {body}").into()),
        }
    }
}

/// Of the straight line with the least squares through the points.
#[expect(clippy::cast_precision_loss, reason = "a handful of points")]
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|(x, _)| x).sum::<f64>() / count, points.iter().map(|(_, y)| y).sum::<f64>() / count);
    let over: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let under: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}
