//! The `master-key-manager` program.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use master_key_manager::cli::{Cli, execute};

fn main() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // Nothing is left to be done about a closed standard error.
            let _written = writeln!(std::io::stderr(), "master-key-manager: {refusal}");
            ExitCode::FAILURE
        }
    }
}
