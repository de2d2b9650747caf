//! Keeps what a release leaves: fills an installation of the programs in `SPLITVAULT_BIN_DIR` and writes it below
//! `tests/releases`, on the engine of `SPLITVAULT_TEST_ENGINE`. tests/releases/README.md says how it is run.

use system_tests::release::{builder, keep, kept_at, populate};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, clippy::expect_used, reason = "a tool of its operator")]
async fn main() {
    let release = std::env::args().nth(1).expect("the name of the release");
    let mut installation = builder().running().await;
    let known = populate(&installation).await;
    installation.manager.stop().await;
    installation.vault.stop().await;
    let folder = kept_at(&release);
    keep(&installation, &known, &folder);
    println!("{}", folder.display());
}
