//! S17: both services stolen. Nothing is claimed; the README says so on its first screen.

use system_tests::loot::Piece;
use system_tests::thief::rob;
use system_tests::{Installation, repository};

use super::treasure::{assert_opened, hide, kept, knows_names};

#[tokio::test]
async fn both_services_stolen_open_everything_and_the_readme_says_so() {
    let installation = Installation::builder().production().apart().running().await;
    let treasures = hide(&installation).await;
    let loot = tempfile::tempdir().unwrap();
    installation.steal(loot.path(), &[Piece::ManagerData, Piece::ManagerKeys, Piece::VaultData, Piece::VaultKeys]);
    let report = rob("S17", loot.path());
    // All but the one that is destroyed.
    assert_opened(&report, &kept(&treasures));
    assert!(knows_names(&report, &kept(&treasures)));

    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let first_screen: String = readme.lines().take(65).collect::<Vec<_>>().join("\n");
    assert!(first_screen.contains("Both services stolen"), "the README begins with what does not hold");
}
