//! Many secrets: filling the vault through its public way in, and reading them at random.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::load::{drive, drive_paced};
use crate::report::Report;
use crate::services::{Services, member};
use crate::throughput::send;

/// How many secrets, and what is read of them.
#[derive(Args)]
pub(crate) struct Fill {
    /// Secrets that shall be there.
    #[arg(long)]
    secrets: usize,
    /// File with the ids of those that are there.
    #[arg(long)]
    ids: PathBuf,
    /// Connections of the writes.
    #[arg(long, default_value_t = 128)]
    connections: usize,
}

/// Random reads.
#[derive(Args)]
pub(crate) struct Random {
    /// File with the ids of the secrets.
    #[arg(long)]
    ids: PathBuf,
    /// Reads.
    #[arg(long, default_value_t = 20_000)]
    reads: usize,
    /// Connections of the reads.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Reads per second of the measurement of latencies. As many as can be would measure the CPU time again: the queue
    /// before a busy core is the longer, the longer each takes.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
}

/// Grants of one token, the most that there can be.
const GRANTS: usize = 64;

impl Fill {
    /// Stores what is missing, without tokens.
    pub(crate) async fn fill(&self, services: &Services) -> Result<(), Failure> {
        let there = read_ids(&self.ids)?.len();
        let missing = self.secrets.saturating_sub(there);
        let file = std::fs::File::options().append(true).create(true).open(&self.ids)?;
        let written = Rc::new(RefCell::new(std::io::BufWriter::new(file)));
        let kept = Rc::clone(&written);
        let keep = move |body: &str| {
            if let Ok(key_id) = member(body, "key_id") {
                let _checked_by_the_next_reader = writeln!(kept.borrow_mut(), "{key_id}");
            }
        };
        let store = Rc::new(vec![services.store(false)]);
        let outcome = drive(&services.manager, store, missing, (self.connections, 201), keep).await?;
        written.borrow_mut().flush()?;
        println!("  {missing} secrets stored, {:.0} per s", outcome.per_second());
        Ok(())
    }
}

impl Random {
    /// Mints tokens for secrets chosen at random, then reads each of these secrets once.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        let ids = read_ids(&self.ids)?;
        let mut chosen = Vec::with_capacity(self.reads);
        let mut random = Random64::new();
        while chosen.len() < self.reads {
            // Each secret once in a token.
            let mut group: Vec<String> = Vec::with_capacity(GRANTS);
            while group.len() < GRANTS.min(ids.len()) {
                let id = ids.get(random.below(ids.len())).ok_or("no ids")?;
                if !group.contains(id) {
                    group.push(id.clone());
                }
            }
            let token = services.tokens(vec![services.mint(&group, 2_700)]).await?.pop().ok_or("no token")?;
            chosen.extend(group.iter().map(|id| services.read(id, &token)));
        }
        // Tokens are verified before the measurement: what is measured is the way to a row among many.
        let first: Vec<_> = chosen.iter().step_by(GRANTS).cloned().collect();
        let count = first.len();
        send(&services.vault, &[], first, count, (self.connections, 200)).await?;
        random.shuffle(&mut chosen);
        let (fast, slow) = chosen.split_at(chosen.len() / 2);
        let how = (self.connections, 200);
        let (outcome, cpu) = send(&services.vault, &services.pids, fast.to_vec(), fast.len(), how).await?;
        report.number("random reads, as fast as they are answered", outcome.per_second(), "per s")?;
        report.number("random reads, p99", outcome.percentile(99), "ms")?;
        report.number("random reads, CPU of the vault", cpu.get(1).copied().unwrap_or_default(), "µs")?;
        let pace = Duration::from_secs(1) / self.rate.max(1);
        let outcome = drive_paced(&services.vault, Rc::new(slow.to_vec()), slow.len(), how, pace, |_| ()).await?;
        report.number("random reads at a steady rate", outcome.per_second(), "per s")?;
        report.number("random reads at a steady rate, p50", outcome.percentile(50), "ms")?;
        report.number("random reads at a steady rate, p99", outcome.percentile(99), "ms")?;
        Ok(())
    }
}

/// The ids in a file, one on a line; none if it is not there.
fn read_ids(path: &PathBuf) -> Result<Vec<String>, Failure> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        text => Ok(text?.lines().map(str::to_owned).collect()),
    }
}

/// Sebastiano Vigna's xorshift64*: the same choice in every run.
pub(crate) struct Random64(u64);

impl Random64 {
    /// At its beginning.
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        usize::try_from(number).unwrap_or_default() % limit.max(1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
