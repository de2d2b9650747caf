//! Rates, latencies and CPU time of reads, mints and writes, beside a bare handler of the same run.

use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};

use crate::Failure;
use crate::disk::syncs_per_second;
use crate::http::get;
use crate::load::{Outcome, drive};
use crate::process::Meter;
use crate::report::Report;
use crate::services::{Services, path_of};

/// How much is asked.
#[derive(Args)]
pub(crate) struct Throughput {
    /// Address of the bare handler.
    #[arg(long)]
    bare: String,
    /// Process id of the bare handler.
    #[arg(long)]
    bare_pid: u32,
    /// Connections of each measurement.
    #[arg(long, value_delimiter = ',', default_value = "16,256")]
    connections: Vec<usize>,
    /// Requests of each measurement with warm reads; the others take a tenth.
    #[arg(long, default_value_t = 40_000)]
    requests: usize,
    /// Measure these alone and without the limits, for a profiler.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// RS256 signatures per second of one core, as `openssl speed` says.
    #[arg(long)]
    signatures: f64,
    /// A folder on the file system of the data directories.
    #[arg(long)]
    disk: PathBuf,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    WarmReads,
    NewTokens,
    Mints,
    WritesWithToken,
    Writes,
}

/// Concurrent stores share a command; the target for them is stated at this many connections.
const SHARED_WRITES: usize = 64;

impl Throughput {
    /// Measures and reports.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        let signature = 1e6 / self.signatures;
        if self.only.is_empty() {
            println!("Limits of this machine");
            report.number("openssl speed, RSA-2048 signature of one core", signature, "µs")?;
            report.number("fdatasync of an audit line", syncs_per_second(&self.disk)?, "per s")?;
        }
        let (key_id, token) = services.first().await?;
        let few = (self.requests / 10).max(1);
        for &connections in &self.connections {
            Report::heading(&format!("{connections} connections"));
            let bare = if self.only.is_empty() {
                let request = vec![get(&self.bare, &path_of(&key_id), &token)];
                let how = (connections, 200);
                send(&self.bare, &[], request.clone(), few, how).await?;
                let (bare, cpu) = send(&self.bare, &[self.bare_pid], request, self.requests, how).await?;
                report.rates("bare actix-web handler", connections, &bare, None, &cpu)?;
                Some(bare)
            } else {
                None
            };
            for kind in Kind::value_variants() {
                if !self.only.is_empty() && !self.only.contains(kind) {
                    continue;
                }
                let mut at = vec![connections];
                if *kind == Kind::Writes
                    && self.connections.last() == Some(&connections)
                    && connections != SHARED_WRITES
                {
                    at.push(SHARED_WRITES);
                }
                for connections in at {
                    let (outcome, cpu) = self.run(services, *kind, (&key_id, &token), connections).await?;
                    report.rates(kind.name(), connections, &outcome, bare.as_ref(), &cpu)?;
                    if matches!(kind, Kind::Mints | Kind::WritesWithToken) {
                        report.number("CPU time of it in signatures", cpu.iter().sum::<f64>() / signature, "")?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn run(
        &self,
        services: &Services,
        kind: Kind,
        (key_id, token): (&String, &str),
        connections: usize,
    ) -> Result<(Outcome, Vec<f64>), Failure> {
        let few = (self.requests / 10).max(1);
        let mint = services.mint(std::slice::from_ref(key_id), 900);
        let read = services.read(key_id, token);
        let (address, requests, count, status) = match kind {
            Kind::WarmReads => {
                send(&services.vault, &[], vec![read.clone()], few, (connections, 200)).await?;
                (&services.vault, vec![read], self.requests, 200)
            }
            Kind::NewTokens => {
                let tokens = services.tokens(vec![mint; few]).await?;
                (&services.vault, tokens.iter().map(|token| services.read(key_id, token)).collect(), few, 200)
            }
            Kind::Mints => (&services.manager, vec![mint], few, 201),
            Kind::WritesWithToken => (&services.manager, vec![services.store(true)], few, 201),
            Kind::Writes => (&services.manager, vec![services.store(false)], few, 201),
        };
        send(address, &services.pids, requests, count, (connections, status)).await
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::WarmReads => "warm reads",
            Self::NewTokens => "reads, each with a new token",
            Self::Mints => "mints",
            Self::WritesWithToken => "writes with a token",
            Self::Writes => "writes without a token",
        }
    }
}

/// Drives one service, and says what CPU time each of the processes took for an answer.
pub(crate) async fn send(
    address: &str,
    pids: &[u32],
    requests: Vec<Vec<u8>>,
    count: usize,
    how: (usize, u16),
) -> Result<(Outcome, Vec<f64>), Failure> {
    let meter = Meter::start(pids);
    let outcome = drive(address, Rc::new(requests), count, how, |_| ()).await?;
    let cpu = meter.stop(&outcome);
    Ok((outcome, cpu))
}
