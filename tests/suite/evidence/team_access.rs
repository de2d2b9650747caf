//! The page about giving a team access, run as it stands.

use std::process::Command;

use system_tests::{Installation, repository};

#[tokio::test]
async fn team_gets_access_and_loses_it_by_the_commands_of_the_page() {
    let installation = Installation::running().await;
    let page = std::fs::read_to_string(repository().join("docs/team-access.md")).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 9, "{} blocks", blocks.len());
    let address = |port: u16| format!("http://localhost:{port}");
    let mut shell = Command::new("sh");
    shell.arg("-e").arg("-c").arg(blocks.concat());
    shell.env("MANAGER", address(installation.manager.port())).env("VAULT", address(installation.vault.port()));
    shell.env("ADMIN", installation.admin()).env("TMPDIR", installation.folder());
    let ran = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}");
}
