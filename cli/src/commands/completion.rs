//! Completions of shells.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::Failure;

/// Write the completions of a shell to standard output.
///
/// For bash: splitvault completion bash > ~/.local/share/bash-completion/completions/splitvault
#[derive(Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    #[expect(clippy::unused_async, reason = "every command is run alike")]
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "splitvault", &mut script);
        context.output.raw(&script)?;
        Ok(Ending::Done)
    }
}
