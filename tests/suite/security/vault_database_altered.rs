//! S2: the thief may also write to the vault's database. Whatever he does to it, an honest token gets the right value
//! or a refusal, and a revoked token gets nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use system_tests::loot::{copy_tree, put_back};
use system_tests::thief::python;
use system_tests::{Answer, Builder, Call, Installation, KeptData, Stored};
use tokio::sync::Semaphore;

use super::treasure::{Life, Treasure, random_word};

/// Groups of versions; each gets another tampering in each round.
const GROUPS: usize = 100;
/// Random bits that are turned over, beside what is altered on purpose.
const FLIPS: usize = 1_000;
/// The roles in a group: two versions of a secret, its neighbour, and one in each other environment.
const ROLES: [(&str, &str); 5] =
    [("dev", "twice"), ("dev", "twice"), ("dev", "neighbour"), ("staging", "stranger"), ("production", "stranger")];

#[tokio::test]
async fn altered_rows_give_the_right_value_or_a_refusal_and_never_another_value() {
    let mut drill = Drill::prepare(Installation::builder().production(), GROUPS).await;
    let untouched = drill.read_all().await;
    assert_eq!((untouched.right, untouched.wrong.len()), (GROUPS * ROLES.len(), 0));

    let (mut round, mut tried) = (0, 0);
    loop {
        let applied = drill.tamper_groups(round, "").await;
        tried += applied.applied.len();
        let seen = drill.read_all().await;
        assert_eq!(seen.wrong, Vec::<String>::new(), "{:?}", applied.applied);
        assert!(seen.right > 0 && seen.refused > 0, "round {round} alters some groups, and not all of each");
        round += 1;
        if round == applied.rounds {
            assert_eq!(tried, applied.tamperings);
            break;
        }
    }
    assert!(tried > FLIPS + 500, "{tried}");
}

#[tokio::test]
async fn altered_events_and_tables_give_the_right_value_or_a_refusal_and_no_revoked_one() {
    let mut drill = Drill::prepare(Installation::builder().production(), 2).await;
    let list = String::from_utf8(drill.tamper(&["--list", "--flips", "0"])).unwrap();
    let places: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // What touches single rows of values is the other drill's.
    let whole = |item: &&Value| item["touches"] == json!([]) || item["kind"] == "empty";
    let mut kinds = Vec::new();
    for item in places.iter().filter(whole) {
        drill.put_back();
        drill.tamper(&["--apply", &item["index"].to_string(), "--flips", "0"]);
        kinds.push(item["kind"].as_str().unwrap().to_owned());
        if drill.installation.vault.try_start().await.is_some() {
            continue;
        }
        let seen = drill.read_all().await;
        drill.installation.vault.stop().await;
        assert_eq!(seen.wrong, Vec::<String>::new(), "{item}");
    }
    for kind in ["delete", "empty", "forget the newest events", "swap events", "truncate an event"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn control_rows_that_are_not_bound_to_their_place_are_served_as_others() {
    let builder = Installation::builder()
        .production()
        .sabotaged("unbound_header", "one_release_key_per_environment,unbound_header");
    let mut drill = Drill::prepare(builder, 40).await;
    let applied = drill.tamper_groups(0, "swap whole,serve as").await;
    let seen = drill.read_all().await;
    assert!(seen.wrong.len() > 5, "{:?} of {:?}", seen.wrong, applied.applied);
}

/// A vault whose database is altered while it is down. The manager is down all the time.
struct Drill {
    installation: Installation,
    honest: Vec<Treasure>,
    revoked: Stored,
    groups: PathBuf,
    data: KeptData,
    kept: PathBuf,
}

/// What the tokens got.
#[derive(Default)]
struct Seen {
    right: usize,
    refused: usize,
    wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Round {
    rounds: usize,
    tamperings: usize,
    applied: Vec<Value>,
}

impl Drill {
    async fn prepare(builder: Builder, groups: usize) -> Self {
        let builder = builder.vault_table("[audit]\nsync = \"os\"").manager_table("[audit]\nsync = \"os\"");
        let mut installation = builder.running().await;
        let mut honest: Vec<Vec<Treasure>> = vec![Vec::new(); groups];
        for (environment, role) in ROLES {
            let calls = (0..groups).map(|group| {
                let (path, value) = (format!("group-{group}/{role}"), format!("{group} {role} {}", random_word()));
                let body = json!({"user_id": "user123", "environment": environment, "path": path, "key_data": value});
                (installation.manager.call("POST", "/api/keys").bearer(&installation.admin()).json(&body), path, value)
            });
            let (calls, names): (Vec<_>, Vec<_>) = calls.map(|(call, path, value)| (call, (path, value))).unzip();
            for ((answer, (path, value)), group) in send_all(calls).await.iter().zip(names).zip(&mut honest) {
                group.push(Treasure { path, value, stored: Stored::of(answer), life: Life::Open });
            }
        }
        let places: Vec<Vec<Value>> = honest
            .iter()
            .map(|group| group.iter().map(|one| json!([one.stored.key_id, one.stored.version])).collect())
            .collect();
        // Three events, the last of which is about a token that lives.
        let revoked = installation.store("revoked").await;
        for other in ["one", "two"] {
            let stored = installation.store(other).await;
            installation.revoke(&stored.jti).await;
        }
        installation.revoke(&revoked.jti).await;
        installation.manager.stop().await;
        installation.vault.stop().await;
        let (kept, file) = (installation.folder().join("kept"), installation.folder().join("groups.json"));
        let data = installation.vault.keep_data(&kept.join("data"));
        copy_tree(installation.runtime_dir(), &kept.join("runtime"));
        fs::write(&file, json!(places).to_string()).unwrap();
        installation.vault.start().await;
        Self { installation, honest: honest.concat(), revoked, groups: file, data, kept }
    }

    /// Puts the untouched database and the runtime directory in their places; the vault is down.
    fn put_back(&mut self) {
        let running = self.installation.vault.is_running();
        if running {
            self.installation.vault.kill();
        }
        self.installation.vault.put_data_back(&self.data);
        put_back(&self.kept.join("runtime"), self.installation.runtime_dir());
    }

    fn tamper(&self, arguments: &[&str]) -> Vec<u8> {
        let address = self.installation.vault.tampering_address();
        let database = ["--database", address.as_str()];
        python("tests/thief/tamper.py", &[&database, arguments].concat())
    }

    /// Applies a round to the untouched database, and starts the vault on it.
    async fn tamper_groups(&mut self, round: usize, only: &str) -> Round {
        self.put_back();
        let (round, flips) = (round.to_string(), FLIPS.to_string());
        let address = self.installation.vault.tampering_address();
        let files = ["--database", &address, "--groups", path(&self.groups)];
        let which = ["--round", &round, "--flips", &flips, "--only", only];
        let said = python("tests/thief/tamper_groups.py", &[files.as_slice(), &which].concat());
        self.installation.vault.start().await;
        serde_json::from_slice(&said).unwrap()
    }

    async fn read_all(&self) -> Seen {
        let read = |stored: &Stored| {
            let call = self.installation.vault.call("GET", &format!("/api/keys/{}", stored.key_id));
            call.bearer(&stored.token)
        };
        let calls = self.honest.iter().map(|one| read(&one.stored)).chain([read(&self.revoked)]).collect();
        let mut answers = send_all(calls).await;
        assert_ne!(answers.pop().unwrap().status, 200, "the revoked token opened");
        let mut seen = Seen::default();
        for (one, answer) in self.honest.iter().zip(answers) {
            if answer.status != 200 {
                answer.code();
                seen.refused += 1;
            } else if answer.text("decrypted_key") == one.value && answer.number("version") == one.stored.version {
                seen.right += 1;
            } else {
                seen.wrong.push(format!("{} {}: {answer}", one.path, one.stored.version));
            }
        }
        seen
    }
}

/// Sends many requests, a few at a time, and keeps their order.
async fn send_all(calls: Vec<Call>) -> Vec<Answer> {
    let room = Arc::new(Semaphore::new(16));
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|call| {
            let room = Arc::clone(&room);
            tokio::spawn(async move {
                let _place = room.acquire().await.unwrap();
                call.send().await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
