//! Secrets whose values and names are known to the drill, and what of them a thief found.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use system_tests::thief::Report;
use system_tests::{Installation, Stored};

use super::lives::hide_lives;
use super::traces::{self, Needle};

/// One version of a secret that a drill hid.
#[derive(Clone, Debug)]
pub(super) struct Treasure {
    /// Its name.
    pub(super) path: String,
    /// Its value.
    pub(super) value: String,
    /// What the manager answered.
    pub(super) stored: Stored,
    /// What became of it.
    pub(super) life: Life,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Its token opens it.
    Open,
    /// Its secret is there, and its token was revoked.
    Closed,
    /// Its secret is deleted.
    Deleted,
    /// It is destroyed: the vault has no row of it any more.
    Destroyed,
}

/// Hides secrets in all three environments: several in one, two versions of one, a long one; then others in the middle of
/// their lives, of which the last one is destroyed. Their tokens are minted, one of them by a service. There are services, a
/// person, groups and policy, with the names of secrets as their names.
pub(super) async fn hide(installation: &Installation) -> Vec<Treasure> {
    let name = || format!("vaulted/{}", random_word());
    let twice = name();
    let places = [
        ("dev", twice.clone(), 1),
        ("dev", twice, 1),
        ("dev", name(), 1),
        ("staging", name(), 1),
        ("production", name(), 1),
        ("production", name(), 90),
    ];
    let mut treasures = Vec::new();
    for (environment, path, words) in places {
        let value = (0..words).map(|_| random_word()).collect::<Vec<_>>().concat();
        treasures.push(hide_at(installation, environment, &path, &value).await);
    }
    let [first, _, third, ..] = &mut treasures[..] else { panic!("there are six") };
    let word = word_of(first).to_owned();
    populate(installation, &word, third).await;
    treasures.extend(hide_lives(installation, &word).await);
    treasures
}

/// Services, a person with a session, groups, roles, and permissions that allow and deny. A service mints the token of a
/// secret.
async fn populate(installation: &Installation, word: &str, secret: &mut Treasure) {
    let create = async |path: &str, body: Value, id: &str| {
        let answer = installation.admin_call("POST", path, Some(body)).await.expect(201);
        if id.is_empty() { String::new() } else { answer.text(id) }
    };
    let needs = json!([{"environment": "dev", "pattern": secret.path}]);
    let robot = json!({"name": format!("robot-{word}"), "description": word, "required_keys": needs});
    let robot = create("/api/services", robot, "service_id").await;
    let retired = create("/api/services", json!({"name": format!("retired-{word}")}), "service_id").await;
    let group = create("/api/groups", json!({"name": format!("team-{word}")}), "group_id").await;
    let line = |party: &str, effect: &str, pattern: &str| {
        json!({
            "party": party, "effect": effect, "actions": ["list", "read"], "environment": "dev", "pattern": pattern,
            "tags": {"team": word}, "reason": format!("for {word}"),
        })
    };
    create("/api/permissions", line(&robot, "deny", "vaulted/closed/**"), "").await;
    create("/api/permissions", line(&group, "allow", "vaulted/**"), "").await;
    let role = json!({"party": group, "role": "auditor", "pattern": "vaulted/**", "reason": "drill"});
    create("/api/roles", role, "").await;
    let narrow = json!({"name": word, "expires_in": "1d", "allowed_addresses": ["127.0.0.0/8"], "max_uses": 9});
    create(&format!("/api/services/{retired}/credentials"), narrow, "").await;
    let person = create("/api/people", json!({"name": format!("person-{word}")}), "person_id").await;
    let code = create("/api/enrolments", json!({"person_id": person}), "enrolment_code").await;
    let password = format!("{} {}", random_word(), random_word());
    let visit = async |path: &str, body: Value| installation.manager.call("POST", path).json(&body).send().await;
    visit("/api/enrolments:redeem", json!({"code": code, "password": password})).await.expect(200);
    visit("/api/sessions", json!({"name": format!("person-{word}"), "password": password})).await.expect(201);
    for (path, body) in [
        (format!("/api/groups/{group}/members"), Some(json!({"principals": [robot, retired, person]}))),
        (format!("/api/services/{robot}:approve"), Some(json!({ "required_keys": needs }))),
        (format!("/api/services/{retired}:disable"), None),
    ] {
        installation.admin_call("POST", &path, body).await.expect(200);
    }
    let token = json!({"service_name": format!("robot-{word}"), "expires_in": "1d"});
    let credential = create("/tokens", token, "token").await;
    let mint = installation.manager.call("POST", "/api/tokens").bearer(&credential);
    let minted = mint.json(&json!({"secrets": [{"key_id": secret.stored.key_id}]})).send().await.expect(201);
    secret.stored.token = minted.text("access_token");
    secret.stored.jti = minted.text("jti");
}

fn word_of(treasure: &Treasure) -> &str {
    treasure.path.split('/').next_back().unwrap()
}

/// Hides one secret.
pub(super) async fn hide_at(installation: &Installation, environment: &str, path: &str, value: &str) -> Treasure {
    let body = json!({"user_id": "user123", "environment": environment, "path": path, "key_data": value});
    let answer = installation.admin_call("POST", "/api/keys", Some(body)).await;
    Treasure { path: path.to_owned(), value: value.to_owned(), stored: Stored::of(&answer), life: Life::Open }
}

/// Those that the vault has. Of the others only recorded traffic tells.
pub(super) fn kept(treasures: &[Treasure]) -> Vec<Treasure> {
    let kept: Vec<_> = treasures.iter().filter(|treasure| treasure.life != Life::Destroyed).cloned().collect();
    assert!(kept.len() < treasures.len(), "one is destroyed");
    kept
}

/// Checks that every token opens its value, and none of those that were revoked: a drill on an installation that serves
/// nothing says nothing.
pub(super) async fn all_open(installation: &Installation, treasures: &[Treasure]) {
    for treasure in treasures {
        let answer = installation.read(&treasure.stored.key_id, &treasure.stored.token).await;
        if treasure.life == Life::Open {
            assert_eq!(answer.expect(200).text("decrypted_key"), treasure.value);
        } else {
            answer.expect_code("token_invalid");
        }
    }
}

/// The tokens.
pub(super) fn tokens(treasures: &[Treasure]) -> impl Iterator<Item = &str> {
    treasures.iter().map(|treasure| treasure.stored.token.as_str())
}

/// Checks that the thief opened exactly these.
pub(super) fn assert_opened(report: &Report, treasures: &[Treasure]) {
    let mut expected: Vec<_> = treasures
        .iter()
        .map(|treasure| {
            let value = STANDARD.encode(treasure.value.as_bytes());
            (treasure.stored.key_id.clone(), treasure.stored.version, value)
        })
        .collect();
    let opened = report.opened.iter();
    let mut found: Vec<_> = opened.map(|one| (one.secret_id.clone(), one.version, one.value_b64.clone())).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "notes of the thief: {:?}", report.notes);
}

/// Checks that the thief opened nothing, and that no value lies readably in what he has.
pub(super) fn assert_no_value(report: &Report, loot: &Path, treasures: &[Treasure]) {
    assert_eq!(report.opened, [], "{:?}", report.pieces);
    assert_eq!(report.credentials, [""; 0], "nor a credential");
    let values: Vec<Needle> =
        treasures.iter().map(|treasure| Needle::new(&treasure.path, treasure.value.as_bytes())).collect();
    assert_eq!(traces::in_tree(loot, &values), Vec::<String>::new());
}

/// Checks that no name lies readably in what the thief has.
pub(super) fn assert_no_name(report: &Report, loot: &Path, treasures: &[Treasure]) {
    let words = || treasures.iter().map(word_of);
    let names: Vec<Needle> = words().map(|word| Needle::new(word, word.as_bytes())).collect();
    assert_eq!(traces::in_tree(loot, &names), Vec::<String>::new());
    assert!(!words().any(|word| report.names.iter().any(|name| name.contains(word))), "{:?}", report.names);
}

/// Whether the thief knows every name.
pub(super) fn knows_names(report: &Report, treasures: &[Treasure]) -> bool {
    treasures.iter().all(|treasure| report.names.contains(&treasure.path))
}

/// A word that is nowhere else: 128 random bits in hex.
pub(super) fn random_word() -> String {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    format!("{:032x}", u128::from_ne_bytes(bytes))
}
