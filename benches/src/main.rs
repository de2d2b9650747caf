//! The load client of `scripts/bench.sh`, and the bare handler that it compares with. Each runs in a process of its own.

#![expect(clippy::print_stdout, reason = "a command that prints its report")]

mod bare;
mod load;
mod report;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Drive the services and print the report.
    Run(report::Plan),
}

/// What stops a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Bare { port } => bare::serve(port),
        Command::Run(plan) => report::run(&plan),
    }
}

/// Reads a credential from a file.
fn read_line(path: &PathBuf) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
