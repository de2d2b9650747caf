//! Integrity of one secret and of all: each fault is planted, in the database or at the vault, and named.

use actix_web::http::Method;
use serde_json::{Value, json};
use shared_proto::encoding::Bytes;
use shared_proto::id::{SecretId, Version};

use crate::places::plant;
use crate::support::Row;
use crate::versions::One;

fn name(one: &One, number: u64) -> (SecretId, Version) {
    (one.secret.parse().unwrap(), Version::new(number).unwrap())
}

/// Runs statements in which `ID` stands for the secret.
fn alter(one: &One, statements: &str) {
    let bytes = name(one, 1).0.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    plant(&one.installed, &statements.replace("ID", &format!("x'{bytes}'")));
}

async fn of_secret(one: &One, query: &str) -> Value {
    let path = format!("/api/secrets/{}/integrity{query}", one.secret);
    one.manager.admin(Method::GET, &path, None).await.expect(200).json()
}

async fn of_all(one: &One) -> Value {
    one.manager.admin(Method::GET, "/api/integrity", None).await.expect(200).json()
}

/// The faults of a version in an answer.
fn faults(answer: &Value, number: u64) -> Vec<String> {
    let versions = answer["versions"].as_array().unwrap();
    let found = versions.iter().find(|version| version["version"] == number).unwrap_or_else(|| panic!("{answer}"));
    found["faults"].as_array().unwrap().iter().map(|fault| fault.as_str().unwrap().to_owned()).collect()
}

/// The faults of version 2 after statements that others take back.
async fn altered(one: &One, there: &str, back: &str) -> Vec<String> {
    assert_eq!(of_secret(one, "").await["ok"], true, "before {there}");
    alter(one, there);
    let (found, all) = (of_secret(one, "").await, of_all(one).await);
    assert_eq!((&found["ok"], &all["ok"]), (&json!(false), &json!(false)), "{there}: {found} {all}");
    assert_eq!(all["found"][0]["key_id"], *one.secret);
    assert_eq!(faults(&all["found"][0], 2), faults(&found, 2), "{there}");
    alter(one, back);
    faults(&found, 2)
}

#[actix_web::test]
async fn a_whole_secret_has_no_fault_and_the_vault_is_as_before() {
    let one = One::new(None).await;
    one.up_to(3).await;
    let back = format!("/api/secrets/{}:rollback", one.secret);
    one.manager.post(&back, json!({"version": 1})).await.expect(201);
    one.write(json!({"value": "p", "stage": "pending", "token": false})).await.expect(201);
    let destroy = format!("/api/secrets/{}/versions/2", one.secret);
    one.manager.admin(Method::DELETE, &destroy, None).await.expect(200);
    let rows = one.installed.vault.state().rows.len();
    let found = of_secret(&one, "").await;
    assert_eq!((&found["ok"], &found["faults"]), (&json!(true), &json!([])), "{found}");
    let line = |version: &Value| format!("{} {} {}", version["version"], version["envelope"], version["state"]);
    let lines: Vec<String> = found["versions"].as_array().unwrap().iter().map(line).collect();
    let expected =
        ["1 1 \"committed\"", "2 2 \"destroyed\"", "3 3 \"committed\"", "4 1 \"committed\"", "5 5 \"committed\""];
    assert_eq!(lines, expected);
    // The envelope of the rollback lies before the page.
    let later = of_secret(&one, "?after=3").await;
    assert_eq!((&later["ok"], later["versions"].as_array().unwrap().len()), (&json!(true), 2), "{later}");
    let all = of_all(&one).await;
    assert_eq!((&all["ok"], &all["checked"], &all["next"]), (&json!(true), &json!(5), &Value::Null), "{all}");
    assert_eq!(one.installed.vault.state().rows.len(), rows, "no tombstone is made");
    let unknown = format!("/api/secrets/{}/integrity", SecretId::generate());
    one.manager.admin(Method::GET, &unknown, None).await.expect(404).refused("secret_not_found");
}

#[actix_web::test]
async fn what_somebody_wrote_into_the_database_is_named() {
    let one = One::new(None).await;
    one.up_to(3).await;
    let set = |what: &str| format!("UPDATE versions SET {what} WHERE secret_id = ID AND version = 2;");
    let kept = |what: &str| format!("UPDATE envelopes SET {what} WHERE secret_id = ID AND envelope = 2;");
    assert_eq!(altered(&one, &set("note = 'mine'"), &set("note = ''")).await, ["row-altered"]);
    let pointer = altered(&one, &set("envelope = 1"), &set("envelope = 2")).await;
    assert_eq!(pointer, ["row-altered", "unknown-to-catalogue"]);
    let without =
        format!("CREATE TABLE kept_tags AS SELECT tag FROM versions WHERE version = 2; {}", set("tag = NULL"));
    let with = format!("{} DROP TABLE kept_tags;", set("tag = (SELECT tag FROM kept_tags)"));
    assert_eq!(altered(&one, &without, &with).await, ["row-untagged"]);
    let destroyed = altered(&one, &set("state = 'destroyed'"), &set("state = 'committed'")).await;
    assert!(destroyed.contains(&"stored-but-destroyed".to_owned()), "{destroyed:?}");
    let given_up = altered(&one, &set("state = 'abandoned'"), &set("state = 'committed'")).await;
    assert_eq!(given_up, ["stored-but-abandoned"]);
    let envelope = altered(&one, &kept("state = 'destroyed'"), &kept("state = 'committed'")).await;
    assert_eq!(envelope, ["state-contradicts"]);
    assert_eq!(altered(&one, &kept("epoch = 9"), &kept("epoch = 1")).await, ["epoch-behind"]);
    alter(&one, "UPDATE secrets SET previous_version = 9 WHERE secret_id = ID;");
    assert_eq!(of_secret(&one, "").await["faults"], json!(["stage-without-version"]));
    alter(&one, "UPDATE secrets SET previous_version = 2 WHERE secret_id = ID;");
    assert_eq!(of_secret(&one, "").await["ok"], true);
    // The vault still has what a lost row was about.
    alter(&one, "DELETE FROM versions WHERE secret_id = ID AND version = 2;");
    assert_eq!(faults(&of_secret(&one, "").await, 2), ["unknown-to-catalogue"]);
    // Of a secret at another place no reader sees anything, and an operator does.
    alter(&one, "UPDATE secrets SET path = 'elsewhere' WHERE secret_id = ID;");
    let hidden = format!("/api/secrets/{}/integrity", one.secret);
    one.manager.admin(Method::GET, &hidden, None).await.expect(404);
    let all = of_all(&one).await;
    assert_eq!(all["found"][0]["faults"], json!(["place-altered", "stage-without-version"]), "{all}");
}

#[actix_web::test]
async fn what_the_vault_lost_kept_or_has_otherwise_is_named() {
    let one = One::new(None).await;
    one.up_to(6).await;
    let (environment, elsewhere) = (one.manager.environment("dev"), one.manager.environment("staging"));
    let destroy = format!("/api/secrets/{}/versions/5", one.secret);
    one.manager.admin(Method::DELETE, &destroy, None).await.expect(200);
    assert_eq!(of_secret(&one, "").await["ok"], true);
    {
        let mut state = one.installed.vault.state();
        state.rows.remove(&name(&one, 1)).unwrap();
        let mut alter = |number: u64, change: &dyn Fn(&mut shared_proto::wire::vault::EnvelopeToStore)| {
            let Some(Row::Stored { envelope, .. }) = state.rows.get_mut(&name(&one, number)) else { panic!("no row") };
            change(envelope);
        };
        alter(2, &|envelope| envelope.environment = elsewhere);
        alter(3, &|envelope| envelope.digest = Bytes([7; 32]));
        for number in [5, 9] {
            state.rows.insert(name(&one, number), Row::Foreign { environment });
        }
    }
    let found = of_secret(&one, "").await;
    let expected: [(u64, &[&str]); 7] = [
        (1, &["missing-in-vault"]),
        (2, &["environment-differs"]),
        (3, &["digest-differs"]),
        (4, &[]),
        (5, &["stored-but-destroyed"]),
        (6, &[]),
        (9, &["unknown-to-catalogue"]),
    ];
    for (number, named) in expected {
        assert_eq!(faults(&found, number), named, "{number}: {found}");
    }
    // What was erased by order is called committed again.
    one.installed.vault.state().rows.remove(&name(&one, 5));
    let revive = "UPDATE versions SET state = 'committed' WHERE secret_id = ID AND version = 5;
                  UPDATE envelopes SET state = 'committed' WHERE secret_id = ID AND envelope = 5;";
    alter(&one, revive);
    assert_eq!(faults(&of_secret(&one, "").await, 5), ["erased-in-vault"]);
    one.installed.vault.state().rows.insert(name(&one, 5), Row::Foreign { environment });
    assert!(faults(&of_secret(&one, "").await, 5).contains(&"state-contradicts".to_owned()));
}
