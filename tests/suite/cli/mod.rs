//! The command line, against both services.

mod files;
mod leaks;
mod processes;
mod reading;
mod scenario;
mod scenarios;
mod tls;

use std::path::{Path, PathBuf};
use std::process::Command;

use system_tests::{Installation, binaries};

/// A user of the command line: a home of his own, and an installation.
struct User {
    installation: Installation,
}

impl User {
    async fn new() -> Self {
        Self::of(Installation::running().await)
    }

    fn of(installation: Installation) -> Self {
        let user = Self { installation };
        for folder in [user.home(), user.temporary()] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(user.home().join("credential"), user.installation.admin()).unwrap();
        user
    }

    /// Logged in as the administrator.
    async fn logged_in() -> Self {
        let user = Self::new().await;
        let login = "splitvault -e dev login $MANAGER --credential-file credential";
        let output = user.shell(login).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        user
    }

    fn home(&self) -> PathBuf {
        self.installation.folder().join("home")
    }

    fn temporary(&self) -> PathBuf {
        self.installation.folder().join("temporary")
    }

    fn profile(&self) -> PathBuf {
        self.home().join(".config/splitvault/profiles/default.toml")
    }

    fn manager(&self) -> String {
        format!("http://127.0.0.1:{}", self.installation.manager.port())
    }

    fn vault(&self) -> String {
        format!("http://127.0.0.1:{}", self.installation.vault.port())
    }

    /// A command with the environment of the user, and nothing else.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().current_dir(self.home());
        command.env("PATH", format!("{}:{path}", binary().parent().unwrap().display()));
        command.env("HOME", self.home()).env("TMPDIR", self.temporary());
        command.env("MANAGER", self.manager()).env("VAULT", self.vault());
        command
    }

    /// Lines of a shell.
    fn shell(&self, lines: &str) -> Command {
        let mut shell = self.command(Path::new("sh"));
        shell.arg("-c").arg(lines);
        shell
    }

    /// The command itself.
    fn splitvault(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&binary());
        command.args(arguments);
        command
    }
}

fn binary() -> PathBuf {
    let binary = binaries().join("splitvault");
    assert!(binary.exists(), "{} is missing; scripts/test.sh builds it", binary.display());
    binary
}
