//! The command line of a process: the frame of the commands of both services.
//!
//! Guarantees that a process is hardened before a command reads a key, and that a refusal is one sentence on standard
//! error and a failing exit status.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use shared_proto::{encoding::b64, jwk::Thumbprint};
use tokio::runtime::{Builder, Runtime};

use crate::{StartError, process::harden, telemetry};

/// Runs a command of the program `name`.
pub fn main(name: &str, command: impl FnOnce() -> Result<(), StartError>) -> ExitCode {
    let hardened = harden().map_err(|error| StartError::new(format!("Core dumps cannot be forbidden ({error}).")));
    match hardened.and_then(|()| command()) {
        Ok(()) => {
            telemetry::end("");
            ExitCode::SUCCESS
        }
        Err(refusal) => {
            telemetry::end(&format!("{name}: {refusal}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The configuration file that the command line or the environment names.
///
/// # Errors
/// None is named.
pub fn config_path(named: Option<&PathBuf>) -> Result<&Path, StartError> {
    let path = named.map(PathBuf::as_path);
    path.ok_or_else(|| StartError::new("No configuration file is named; use --config FILE or SPLITVAULT_CONFIG."))
}

/// The runtime of the process. The HTTP server brings threads of its own.
///
/// # Errors
/// No threads can be started.
pub fn runtime() -> Result<Runtime, StartError> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| StartError::new(format!("No threads can be started ({error}).")))
}

/// What `pin` says about the pinned identity of the `other` service.
pub fn pinned(kid: &Thumbprint, compared: bool, other: &str) -> String {
    let kid = b64(&kid.0);
    if compared {
        format!("Pinned {kid}.")
    } else {
        format!(
            "Pinned {kid}. Compare this fingerprint with what the {other}'s `init` printed before you start the service."
        )
    }
}

/// Prints the path at which a replaced database is kept.
///
/// # Errors
/// Standard output is closed or full.
pub fn print_replaced(kept: Option<&Path>) -> Result<(), StartError> {
    kept.map_or(Ok(()), |kept| {
        print(&format!("The database before is kept as {}; remove it when you are sure.", kept.display()))
    })
}

/// Prints a line.
///
/// # Errors
/// Standard output is closed or full.
pub fn print(text: &str) -> Result<(), StartError> {
    let written = writeln!(std::io::stdout(), "{text}");
    written.map_err(|error| StartError::new(format!("Standard output cannot be written ({error}).")))
}
