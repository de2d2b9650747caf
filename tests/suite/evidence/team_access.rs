//! Pages with commands, run as they stand.

use std::process::Command;

use system_tests::{Installation, binaries, repository};

#[tokio::test]
async fn team_gets_access_and_loses_it_by_the_commands_of_the_page() {
    run("docs/team-access.md", 9, Installation::running().await).await;
}

#[tokio::test]
async fn service_without_a_stored_secret_gets_its_tokens_by_the_commands_of_the_page() {
    let issuer = "[sign_on]\nissuer = \"https://manager.example:8000\"";
    run("docs/oauth.md", 6, Installation::builder().manager_table(issuer).running().await).await;
}

#[tokio::test]
async fn secrets_are_stored_as_their_page_says() {
    run("docs/store-secrets.md", 6, Installation::running().await).await;
}

#[tokio::test]
async fn versions_are_written_compared_rolled_back_and_destroyed_by_the_commands_of_the_page() {
    run("docs/versions.md", 8, Installation::running().await).await;
}

#[tokio::test]
async fn secret_is_deleted_destroyed_and_read_after_an_approval_by_the_commands_of_the_page() {
    run("docs/deletion.md", 9, Installation::running().await).await;
}

#[tokio::test]
async fn secrets_are_found_by_the_commands_of_the_page() {
    run("docs/find-secrets.md", 6, Installation::running().await).await;
}

#[tokio::test]
async fn versions_end_and_are_refused_by_the_commands_of_the_page() {
    run("docs/expiry.md", 5, Installation::running().await).await;
}

#[tokio::test]
async fn secrets_are_rotated_by_the_commands_of_the_page() {
    run("docs/rotation.md", 7, Installation::running().await).await;
}

#[tokio::test]
async fn compromise_and_loss_are_recorded_by_the_commands_of_the_page() {
    run("docs/incidents.md", 6, Installation::running().await).await;
}

#[tokio::test]
async fn catalogue_is_compared_with_the_vault_by_the_commands_of_the_page() {
    run("docs/integrity.md", 3, Installation::running().await).await;
}

#[tokio::test]
async fn many_operations_are_done_in_one_request_by_the_commands_of_the_page() {
    run("docs/bulk.md", 5, Installation::running().await).await;
}

#[tokio::test]
async fn document_is_imported_and_a_folder_exported_by_the_commands_of_the_page() {
    run("docs/import-secrets.md", 6, Installation::running().await).await;
}

#[tokio::test]
async fn secret_is_read_as_often_as_its_limit_says_by_the_commands_of_the_page() {
    run("docs/read-limits.md", 4, Installation::running().await).await;
}

#[tokio::test]
async fn command_line_does_what_its_page_says() {
    run("docs/command-line.md", 8, Installation::running().await).await;
}

/// Runs the blocks of a page in one shell, which ends at the first line that fails.
async fn run(page: &str, least: usize, installation: Installation) {
    let page = std::fs::read_to_string(repository().join(page)).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= least, "{} blocks", blocks.len());
    let address = |port: u16| format!("http://localhost:{port}");
    let mut shell = Command::new("sh");
    shell.arg("-e").arg("-c").arg(blocks.concat());
    shell.env("MANAGER", address(installation.manager.port())).env("VAULT", address(installation.vault.port()));
    shell.env("ADMIN", installation.admin()).env("TMPDIR", installation.folder());
    let path = std::env::var("PATH").unwrap_or_default();
    shell.env("PATH", format!("{}:{path}", binaries().display()));
    let ran = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}");
}
