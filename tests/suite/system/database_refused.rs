//! A service refuses a PostgreSQL database that is not its own, that another copy of it uses, or that is not durable.

use serde_json::json;
use system_tests::{Engine, Installation, Service, only_on, wait_until};

const SERVER: &str = "it is about a database server";
const DANGER: &str = "[danger]\npostgres_without_durability = true";

async fn refuses(service: &mut Service, what: &str, words: &[&str]) {
    let said = service.try_start().await.unwrap_or_else(|| panic!("{what}: {} starts", service.name()));
    let sentence = said.lines().rfind(|line| !line.starts_with('{')).unwrap_or_else(|| panic!("{what}: {said}"));
    for word in words {
        assert!(sentence.contains(word), "{what}: {sentence:?} lacks {word:?}");
    }
    assert!(!said.contains("panicked"), "{what}: {said}");
}

#[tokio::test]
async fn second_copy_on_the_same_database_does_not_start_until_the_first_has_ended() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let mut installation = Installation::running().await;
    let stored = installation.store("value").await;
    let mut second = installation.second_manager();
    let wish = json!({"secrets": [{"key_id": stored.key_id}]});
    refuses(&mut second, "a living lease", &["copy"]).await;
    assert!(installation.opens(&installation.store("meanwhile").await).await);
    installation.manager.stop().await;
    second.start().await;
    wait_until("the second is ready", async || second.is_ready().await).await;
    second.call("POST", "/api/tokens").bearer(&installation.admin()).json(&wish).send().await.expect(201);
    // A killed one leaves its lease behind, which the next start waits for.
    second.kill();
    installation.manager.start().await;
    installation.ready().await;
    installation.mint(&[(&stored.key_id, 0)]).await.expect(201);
}

#[tokio::test]
async fn database_of_the_other_service_or_of_another_installation_is_refused_and_not_changed() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let (mut mine, mut other) = (Installation::builder().make(), Installation::builder().make());
    for (left, right) in [(&mut mine.vault, &mut other.vault), (&mut mine.manager, &mut other.manager)] {
        left.exchange_databases(right);
        for service in [&mut *left, &mut *right] {
            refuses(service, "another installation", &["another"]).await;
        }
        left.exchange_databases(right);
    }
    mine.vault.exchange_databases(&mut mine.manager);
    for service in [&mut mine.vault, &mut mine.manager] {
        refuses(service, "another service", &[]).await;
    }
    mine.vault.exchange_databases(&mut mine.manager);
    mine.start().await;
    other.start().await;
    assert!(mine.opens(&mine.store("value").await).await && other.opens(&other.store("value").await).await);
}

#[tokio::test]
async fn server_that_is_not_durable_is_refused_unless_the_danger_is_named() {
    if !only_on(Engine::Postgres, SERVER) {
        return;
    }
    let mut installation = Installation::builder().apart().make();
    let service = &mut installation.manager;
    let (name, role) = (service.postgres().name().to_owned(), service.postgres().role().to_owned());
    for (spoil, mend, word) in [
        ("ALTER SYSTEM SET fsync = off".to_owned(), "ALTER SYSTEM RESET fsync".to_owned(), "fsync"),
        (
            "ALTER SYSTEM SET full_page_writes = off".to_owned(),
            "ALTER SYSTEM RESET full_page_writes".to_owned(),
            "full_page_writes",
        ),
    ] {
        let server = service.postgres().server().clone();
        server.tell("postgres", &spoil);
        server.tell("postgres", "SELECT pg_reload_conf()");
        refuses(service, &spoil, &[word]).await;
        server.tell("postgres", &mend);
        server.tell("postgres", "SELECT pg_reload_conf()");
    }
    for (spoil, mend) in [
        (format!("ALTER ROLE {role} SET synchronous_commit = off"), format!("ALTER ROLE {role} RESET ALL")),
        (format!("ALTER DATABASE {name} SET synchronous_commit = off"), format!("ALTER DATABASE {name} RESET ALL")),
    ] {
        let server = service.postgres().server().clone();
        server.tell("postgres", &spoil);
        refuses(service, &spoil, &["synchronous_commit"]).await;
        service.add_table(DANGER);
        service.start().await;
        let said = String::from_utf8(service.ask_as_operator("/health/ready").await.unwrap().body).unwrap();
        assert!(said.contains("danger.postgres_without_durability"), "{said}");
        service.stop().await;
        service.remove_table(DANGER);
        server.tell("postgres", &mend);
    }
    installation.start().await;
}
