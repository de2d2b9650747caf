//! The scenarios that are kept as files.

use super::User;
use super::scenario::plays;

#[tokio::test]
async fn service_logs_in_and_out_as_the_scenario_says() {
    let user = User::new().await;
    tokio::task::spawn_blocking(move || plays(&user, "login")).await.unwrap();
}

#[tokio::test]
async fn person_logs_in_with_a_password_as_the_scenario_says() {
    let user = User::new().await;
    tokio::task::spawn_blocking(move || plays(&user, "person")).await.unwrap();
}

#[tokio::test]
async fn secret_lives_and_is_destroyed_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "secrets")).await.unwrap();
}

#[tokio::test]
async fn value_is_rotated_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "rotation")).await.unwrap();
}

#[tokio::test]
async fn program_runs_with_secrets_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "run")).await.unwrap();
}

#[tokio::test]
async fn documents_are_exported_and_imported_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "documents")).await.unwrap();
}

#[tokio::test]
async fn programs_read_json_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "json")).await.unwrap();
}

#[tokio::test]
async fn wrong_use_is_refused_as_the_scenario_says() {
    let user = User::logged_in().await;
    tokio::task::spawn_blocking(move || plays(&user, "wrong-use")).await.unwrap();
}
