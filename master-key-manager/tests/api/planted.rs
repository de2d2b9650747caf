//! Registry that somebody with write access to the database plants there: rows of his own, altered ones, ones that were
//! put back, one or all.

use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::Method;
use master_key_manager::init::{policy, reset_administrator};
use master_key_manager::installation::{open_registry, open_store};
use rusqlite::Connection;
use service_runtime::config::Mode;

use crate::support::{Installed, Manager, until};

/// A manager whose first administrator credential was replaced, with the database of before.
pub(crate) struct Replaced {
    pub(crate) installed: Installed,
    /// The first credential, which is disabled.
    pub(crate) first: String,
    old: PathBuf,
}

impl Replaced {
    pub(crate) async fn new() -> Self {
        let mut installed = Installed::new(Mode::Production).await;
        let old = installed.file("../old.db");
        service_runtime::sqlite::backup(&installed.config.database(), &old).unwrap();
        let first = std::mem::take(&mut installed.credential);
        installed.credential = reset_administrator(&installed.config).await.unwrap().expose_text().to_string();
        Self { installed, first, old }
    }

    /// Runs statements on the database, with the one of before attached as `old`.
    pub(crate) fn plant(&self, statements: &str) {
        let database = Connection::open(self.installed.config.database()).unwrap();
        database.execute("ATTACH ?1 AS old", [self.old.to_str().unwrap()]).unwrap();
        database.execute_batch(&format!("PRAGMA foreign_keys = OFF; {statements}")).unwrap();
    }

    /// The sentence of a start that is refused; `None` for one that is not.
    pub(crate) async fn refusal(&self) -> Option<String> {
        let store = Arc::new(open_store(&self.installed.config).unwrap());
        open_registry(&self.installed.config, store).await.err().map(|error| error.to_string())
    }
}

pub(crate) async fn status(manager: &Manager, credential: &str) -> u16 {
    let bearer = format!("Bearer {credential}");
    let headers = [("authorization", bearer.as_str())];
    manager.send(Method::GET, "/api/secrets", &headers, None).await.status.as_u16()
}

const ALTERED: &str = "are not what this manager wrote";
const PUT_BACK: &str = "are of an earlier day";
const GONE: &str = "holds no principals and policy";

#[actix_web::test]
async fn a_manager_does_not_start_on_a_registry_that_was_planted() {
    let cases = [
        (
            "a row of before",
            "UPDATE registry_records SET body = coalesce((SELECT body FROM old.registry_records o
            WHERE o.kind = registry_records.kind AND o.id = registry_records.id), body)",
            ALTERED,
        ),
        (
            "all rows of before",
            "DELETE FROM registry_records;
            INSERT INTO registry_records SELECT * FROM old.registry_records",
            ALTERED,
        ),
        (
            "all rows and the log of before",
            "DELETE FROM registry_records; DELETE FROM registry_log;
            INSERT INTO registry_records SELECT * FROM old.registry_records;
            INSERT INTO registry_log SELECT * FROM old.registry_log",
            PUT_BACK,
        ),
        (
            "rows of before with all of the log",
            "DELETE FROM registry_records WHERE kind = 'credential';
            INSERT INTO registry_records SELECT * FROM old.registry_records WHERE kind = 'credential'",
            ALTERED,
        ),
        ("a row less", "DELETE FROM registry_records WHERE body LIKE '%disabled_at%'", ALTERED),
        (
            "a row more",
            "INSERT INTO registry_records SELECT kind, 'crd_AAAAAAAAAAAAAAAAAAAAAA', body
            FROM registry_records WHERE body LIKE '%hmac%' LIMIT 1",
            ALTERED,
        ),
        ("an entry less", "DELETE FROM registry_log WHERE number = (SELECT max(number) FROM registry_log)", ALTERED),
        (
            "an entry more",
            "INSERT INTO registry_log SELECT number + 1, entry, tag FROM registry_log
            ORDER BY number DESC LIMIT 1",
            ALTERED,
        ),
        (
            "no registry, and credentials as an earlier release had them",
            "DELETE FROM registry_records;
            DELETE FROM registry_log; INSERT INTO credentials (credential_id, subject, hmac, created_at)
            VALUES (x'00000000000000000000000000000001', 'svc_AAAAAAAAAAAAAAAAAAAAAA', zeroblob(32), 1)",
            GONE,
        ),
        ("nothing", "DELETE FROM registry_records; DELETE FROM registry_log", GONE),
    ];
    for (case, statements, sentence) in cases {
        let replaced = Replaced::new().await;
        assert_eq!(replaced.refusal().await, None, "the control: {case}");
        replaced.plant(statements);
        let refusal = replaced.refusal().await.unwrap_or_default();
        assert!(refusal.contains(sentence), "{case}: {refusal}");
    }
}

#[actix_web::test]
async fn a_database_of_an_earlier_day_is_used_when_an_operator_has_confirmed_its_policy() {
    let replaced = Replaced::new().await;
    std::fs::copy(&replaced.old, replaced.installed.config.database()).unwrap();
    assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("policy confirm")));
    let shown = policy(&replaced.installed.config, None).await.unwrap();
    assert!(shown.contains("OLDER") && shown.contains("administrator"), "{shown}");
    assert!(replaced.refusal().await.is_some(), "looking confirms nothing");
    let word = shown.split_whitespace().next_back().unwrap();
    for other in ["", "1", &word[1..], &format!("2{}", &word[1..])] {
        assert!(policy(&replaced.installed.config, Some(other)).await.is_err(), "{other}");
    }
    policy(&replaced.installed.config, Some(word)).await.unwrap();
    assert!(policy(&replaced.installed.config, None).await.unwrap().contains("wrote last"));
    let manager = replaced.installed.start().await;
    assert_eq!(status(&manager, &replaced.first).await, 200, "that is what it holds");
    assert_eq!(status(&manager, &replaced.installed.credential).await, 401);
    manager.stop().await;
}

#[actix_web::test]
async fn an_anchor_that_is_missing_asks_for_the_operator_and_one_that_cannot_be_read_too() {
    let replaced = Replaced::new().await;
    let anchor = replaced.installed.file("registry-anchor.json");
    let kept = std::fs::read(&anchor).unwrap();
    std::fs::remove_file(&anchor).unwrap();
    assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("no anchor")));
    service_runtime::files::create_private(&anchor, b"{}").unwrap();
    assert!(replaced.refusal().await.is_some_and(|refusal| refusal.contains("not an anchor")));
    std::fs::remove_file(&anchor).unwrap();
    service_runtime::files::create_private(&anchor, &kept).unwrap();
    assert_eq!(replaced.refusal().await, None);
}

#[actix_web::test]
async fn a_row_that_is_planted_beside_a_running_manager_is_not_looked_at() {
    let replaced = Replaced::new().await;
    let manager = replaced.installed.start().await;
    replaced.plant("DELETE FROM registry_records; INSERT INTO registry_records SELECT * FROM old.registry_records");
    let polls = replaced.installed.vault.state().polls;
    until("maintenance has looked", async || replaced.installed.vault.state().polls > polls + 3).await;
    assert_eq!(status(&manager, &replaced.first).await, 401);
    assert_eq!(status(&manager, &replaced.installed.credential).await, 200);
    manager.stop().await;
}

#[actix_web::test]
async fn a_running_manager_lets_nobody_in_while_the_database_has_planted_entries() {
    let replaced = Replaced::new().await;
    let manager = replaced.installed.start().await;
    let before = std::fs::read(replaced.installed.file("registry-anchor.json")).unwrap();
    for (plant, repair) in [
        (
            "INSERT INTO registry_log SELECT number + 1, entry, tag FROM registry_log ORDER BY number DESC LIMIT 1",
            "DELETE FROM registry_log WHERE number = (SELECT max(number) FROM registry_log)",
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM registry_log; DELETE FROM registry_log WHERE number > 1",
            "DELETE FROM registry_log; INSERT INTO registry_log SELECT * FROM kept; DROP TABLE kept",
        ),
    ] {
        replaced.plant(plant);
        until("it is noticed", async || status(&manager, &replaced.installed.credential).await == 503).await;
        assert_eq!(status(&manager, &replaced.first).await, 503);
        assert!(!manager.app.registry.is_verified());
        assert_eq!(std::fs::read(replaced.installed.file("registry-anchor.json")).unwrap(), before);
        replaced.plant(repair);
        until("it is as it was", async || status(&manager, &replaced.installed.credential).await == 200).await;
        assert_eq!(status(&manager, &replaced.first).await, 401);
        assert!(manager.app.registry.is_verified());
    }
    manager.stop().await;
}

/// A crash between the database and the anchor.
#[actix_web::test]
async fn a_database_that_is_ahead_of_the_anchor_by_its_own_entries_is_taken() {
    let replaced = Replaced::new().await;
    let anchor = replaced.installed.file("registry-anchor.json");
    let early = std::fs::read(&anchor).unwrap();
    let second = reset_administrator(&replaced.installed.config).await.unwrap().expose_text().to_string();
    let late = std::fs::read(&anchor).unwrap();
    assert_ne!(early, late);
    service_runtime::files::replace_private(&anchor, &early).unwrap();
    let manager = replaced.installed.start().await;
    assert_eq!(status(&manager, &second).await, 200);
    assert_eq!(std::fs::read(&anchor).unwrap(), late, "it is raised");
    manager.stop().await;
}
