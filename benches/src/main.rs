//! The load client of `scripts/bench.sh`, and the bare handler that it compares with. Each runs in a process of its own.

#![expect(clippy::print_stdout, reason = "a command that prints its report")]

mod bare;
mod disk;
mod flood;
mod http;
mod load;
mod process;
mod report;
mod revocation;
mod rights;
mod scale;
mod services;
mod soak;
mod throughput;
mod timing;

use clap::{Args, Parser, Subcommand};

use self::report::{Report, ReportTo};
use self::services::{Addresses, Services};

/// Measures two running services.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the bytes of a read from memory, without any of the work.
    Bare {
        /// Port on loopback.
        port: u16,
    },
    /// Rates, latencies and CPU time of reads, mints and writes.
    Throughput(On<throughput::Throughput>),
    /// From a revocation to the first refusal.
    Revocation(On<revocation::Revocation>),
    /// Reads beside a flood of refused requests.
    Flood(On<flood::Flood>),
    /// Store secrets until there are so many.
    Fill(On<scale::Fill>),
    /// Read secrets at random.
    Random(On<scale::Random>),
    /// A steady mixed load, and the memory under it.
    Soak(On<soak::Soak>),
    /// Mints of a subject with many permissions and groups beside those of one with a single permission.
    Rights(On<rights::Rights>),
    /// Make many services.
    Crowd(On<rights::Crowd>),
    /// Compare the time that unknown and forbidden take.
    Timing(On<timing::Timing>),
    /// Add a number that was measured elsewhere to the report.
    Note {
        #[command(flatten)]
        to: ReportTo,
        /// What it is.
        name: String,
        /// The number.
        value: f64,
        /// Its unit.
        unit: String,
    },
}

/// A measurement of two running services.
#[derive(Args)]
struct On<M: Args> {
    #[command(flatten)]
    addresses: Addresses,
    #[command(flatten)]
    to: ReportTo,
    #[command(flatten)]
    measurement: M,
}

impl<M: Args> On<M> {
    fn parts(self) -> Result<(Services, Report, M), Failure> {
        Ok((Services::new(self.addresses)?, Report::open(self.to)?, self.measurement))
    }
}

/// What stops a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let command = Arguments::parse().command;
    if let Command::Bare { port } = command {
        return bare::serve(port);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(command))
}

async fn measure(command: Command) -> Result<(), Failure> {
    match command {
        // It has a runtime of its own.
        Command::Bare { .. } => Ok(()),
        Command::Note { to, name, value, unit } => Report::open(to)?.number(&name, value, &unit),
        Command::Throughput(on) => {
            let (services, mut report, throughput) = on.parts()?;
            throughput.measure(&services, &mut report).await
        }
        Command::Revocation(on) => {
            let (services, mut report, revocation) = on.parts()?;
            revocation.measure(&services, &mut report).await
        }
        Command::Flood(on) => {
            let (services, mut report, flood) = on.parts()?;
            flood.measure(&services, &mut report).await
        }
        Command::Fill(on) => {
            let (services, _, fill) = on.parts()?;
            fill.fill(&services).await
        }
        Command::Random(on) => {
            let (services, mut report, random) = on.parts()?;
            random.measure(&services, &mut report).await
        }
        Command::Rights(on) => {
            let (services, mut report, rights) = on.parts()?;
            rights.measure(&services, &mut report).await
        }
        Command::Crowd(on) => {
            let (services, mut report, crowd) = on.parts()?;
            crowd.fill(&services, &mut report).await
        }
        Command::Timing(on) => {
            let (services, mut report, timing) = on.parts()?;
            timing.measure(&services, &mut report).await
        }
        Command::Soak(on) => {
            let (services, mut report, soak) = on.parts()?;
            // The workers of the load use it for as long as the process lives.
            soak.measure(Box::leak(Box::new(services)), &mut report).await
        }
    }
}
