//! The command `splitvault`: secrets for people and programs, by the public interface alone.
//!
//! Guarantees: no value, credential or password is taken as an argument, or put into an argument, a log, an error or a temporary
//! file; no core file is written; what it stores of a login is a file that only its user reads; a value is printed by `get` and `export` alone.

#![expect(clippy::doc_markdown, reason = "the documents of arguments are the help that people read")]

mod access;
mod arguments;
mod commands;
mod context;
mod env_file;
mod failure;
mod folder;
mod output;
mod pairs;
mod private_file;
mod profile;
mod prompt;
mod risky_name;
mod secret_name;
mod times;
mod value;
mod variables;

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use clap::Parser as _;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

use crate::arguments::Arguments;
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::Failure;

fn main() -> ExitCode {
    let core_limit = forbid_core_files();
    match run(Arguments::parse(), core_limit) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments, core_limit: Rlimit) -> Result<ExitCode, Failure> {
    let mut context = Context::new(arguments.global);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of_system("The command cannot be set up", &error))?;
    let ending = runtime.block_on(commands::run(arguments.command, &mut context))?;
    drop(runtime);
    match ending {
        Ending::Done => context.output.end().map(|()| ExitCode::SUCCESS),
        Ending::Refused => context.output.end().map(|()| ExitCode::from(1)),
        // In place of this process: terminal, signals and the exit code are the program's own.
        Ending::Become(mut program) => {
            context.output.end()?;
            // Core files are its own matter again; that this process cannot be dumped ends with it.
            let _ = setrlimit(Resource::Core, core_limit);
            let name = program.get_program().to_string_lossy().into_owned();
            Err(Failure::of_program(&name, &program.exec()))
        }
    }
}

/// Sees that no core file holds a value, and that no other process of the user reads this one's memory. Returns the limit before.
fn forbid_core_files() -> Rlimit {
    let before = getrlimit(Resource::Core);
    // Where the kernel refuses one of them, the other one counts.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..before });
    before
}
