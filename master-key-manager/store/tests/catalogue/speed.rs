//! The time of a page for each condition, over many secrets and the rights of many callers.
//!
//! `SPLITVAULT_FIND=100000,1000` measures so many secrets and callers, and holds the target. Without it there are few, and nothing
//! is measured.

use std::time::{Duration, Instant};

use manager_api::kind::SecretKind;
use manager_api::metadata::Metadata;
use manager_api::name::{SecretPath, TagKey, TagValue};
use manager_api::policy::PartyId;
use manager_api::secrets::SecretStatus;
use manager_api::tags::Tags;
use manager_policy::Visible;
use manager_registry::{Deletion, PlaceRow, RowKey, RowKind, SecretRules};
use manager_store::{Details, FolderQuery, Order, OrderBy, SearchStore as _, SecretQuery, TagFilter};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::{SecretId, ServiceId, Subject};

use super::{Catalogue, ENVIRONMENT, Engine, KEY, environment};

/// Folders of teams; each caller sees some.
const TEAMS: usize = 200;
const OWNERS: usize = 300;
pub(super) const TARGET: Duration = Duration::from_millis(20);
const DAY: u64 = 24 * 60 * 60;
/// The versions of each secret.
const VERSIONS: [u64; 3] = [1, 2, 3];

fn size() -> (usize, usize, bool) {
    let asked = std::env::var("SPLITVAULT_FIND").ok();
    let numbers = asked.as_deref().and_then(|text| text.split_once(','));
    let numbers = numbers.map(|(secrets, callers)| (secrets.parse().unwrap(), callers.parse().unwrap(), true));
    numbers.unwrap_or((600, 10, false))
}

/// Writes secrets as the manager would, and the index from them.
pub(super) async fn fill(all: &Catalogue, secrets: usize, owners: &[PartyId]) {
    for first in (0..secrets).step_by(1_000) {
        let rows: Vec<(SecretId, String, SecretRules, Details)> =
            (first..secrets.min(first + 1_000)).map(|number| secret(number, owners)).collect();
        let key = RowKey::new(&KEY);
        let write = move |tx: &mut Tx<'_>| rows.iter().try_for_each(|row| insert(tx, &key, row));
        all.database.write("fill", write).await.unwrap();
    }
    let mut after = None;
    while let Some(last) = all.store.index(after, 500).await.unwrap() {
        after = Some(last);
    }
    all.alter("ANALYZE").await;
}

fn secret(number: usize, owners: &[PartyId]) -> (SecretId, String, SecretRules, Details) {
    let (team, kind) = (number % TEAMS, SecretKind::ALL[number / TEAMS % SecretKind::ALL.len()]);
    let place = ["prod", "test", "lab"][number / 7 % 3];
    let path = format!("team-{team:03}/{place}/{}-{number:06}", ["database", "billing", "gateway"][number / 3 % 3]);
    let tag = |key: &str, value: String| (TagKey::parse(key).unwrap(), TagValue::parse(value).unwrap());
    let tags =
        [tag("team", format!("t{team}")), tag("stage", place.to_owned()), tag("ticket", format!("n{}", number / 5))];
    let mut rules = SecretRules { tags: Tags::new(tags).unwrap(), ..SecretRules::default() };
    if number.is_multiple_of(50) {
        rules.deletion = Some(Deletion {
            deleted_at: 1,
            recoverable_until: 9,
            deleted_by: None,
            destroyed: number.is_multiple_of(100),
        });
    }
    let owner = Some(owners[number % OWNERS]);
    let rotation_days = Some(u16::try_from(1 + number % 365).unwrap());
    let metadata = Metadata::new([tag("url", format!("https://service-{number}.example/admin"))].into()).unwrap();
    let details = Details { kind: Some(kind), owner, rotation_days, metadata, ..Details::default() };
    (SecretId::generate(), path, rules, details)
}

fn insert(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, path, rules, details): &(SecretId, String, SecretRules, Details),
) -> Result<(), SqlError> {
    let rules = rules.write().unwrap();
    let tag =
        PlaceRow { secret: *secret, environment: environment(), path, number: 0, since: 0, rules: &rules }.tag(key);
    let details = serde_json::to_string(details).unwrap();
    let details_tag = key.tag(RowKind::Details, &[secret.as_bytes(), details.as_bytes()]);
    tx.execute(
        "INSERT INTO secrets (secret_id, environment_id, path, rules, tag, details, details_tag, created_at, current_version, previous_version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 3, 2)",
        &[secret.as_bytes(), &ENVIRONMENT, path, &rules, &tag, &details, &details_tag],
    )?;
    VERSIONS.iter().try_for_each(|version| insert_version(tx, key, secret, *version))
}

/// A version as the manager writes it, with an envelope of its own.
fn insert_version(tx: &mut Tx<'_>, key: &RowKey, secret: &SecretId, version: u64) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest) VALUES (?1, ?2, 'committed', 1, ?3)",
        &[secret.as_bytes(), &version, &[0_u8; 32]],
    )?;
    let (number, created_at, note) = (version.to_be_bytes(), 1_u64.to_be_bytes(), "rotated by the ticket of the week");
    let tag = key.tag(RowKind::Version, &[secret.as_bytes(), &number, &number, &created_at, &[], &[], note.as_bytes()]);
    tx.execute(
        "INSERT INTO versions (secret_id, version, envelope, state, created_at, note, tag)
         VALUES (?1, ?2, ?2, 'committed', 1, ?3, ?4)",
        &[secret.as_bytes(), &version, &note, &tag],
    )
    .map(|_rows| ())
}

/// What a caller may list: some teams, all but some, or a pattern without a beginning.
pub(super) fn caller(all: &Catalogue, number: usize) -> Visible {
    let team = |step: usize| format!("team-{:03}/**", (number * 7 + step * 31) % TEAMS);
    match number % 20 {
        0 => all.sees(&["**"]),
        1 => all.sees(&["*/prod/**"]),
        2 => all.sees(&[&team(0), &team(1), &team(2), &team(3), &team(4), &team(5), &team(6), &team(7)]),
        3..=8 => all.sees(&[&team(0), &team(1)]),
        _ => all.sees(&[&team(0)]),
    }
}

pub(super) fn queries(owners: &[PartyId], number: usize) -> Vec<(&'static str, SecretQuery)> {
    let any = SecretQuery { state: Some(SecretStatus::Active), ..SecretQuery::default() };
    let path = |text: String| SecretPath::parse(text).ok();
    let team = number * 7 % TEAMS;
    let named = |name: String| SecretQuery { name: Some(name), ..any.clone() };
    let tag = |key: &str, value: Option<String>| {
        vec![TagFilter { key: TagKey::parse(key).unwrap(), value: value.map(|value| TagValue::parse(value).unwrap()) }]
    };
    let sorted = |by, descending| SecretQuery { order: Order { by, descending }, ..any.clone() };
    let kind = SecretKind::ALL[number % SecretKind::ALL.len()];
    vec![
        ("everything", any.clone()),
        ("environment", SecretQuery { environment: Some(environment()), ..any.clone() }),
        ("path", SecretQuery { path: path(format!("team-{team:03}/prod/database-{team:06}")), ..any.clone() }),
        ("under", SecretQuery { under: path(format!("team-{team:03}/lab")), ..any.clone() }),
        ("q, many fit", named("data".to_owned())),
        ("q, few fit", named(format!("g-{:05}", number * 3 % 10_000))),
        ("q, none fits", named("nowhere".to_owned())),
        ("q, two characters", named(format!("{:02}", number % 100))),
        ("tag, many fit", SecretQuery { tags: tag("stage", Some("prod".to_owned())), ..any.clone() }),
        ("tag, few fit", SecretQuery { tags: tag("ticket", Some(format!("n{}", number * 13))), ..any.clone() }),
        ("tag, by its key", SecretQuery { tags: tag("team", None), ..any.clone() }),
        ("kind", SecretQuery { kind: Some(kind), ..any.clone() }),
        ("owner", SecretQuery { owner: Some(owners[number % OWNERS]), ..any.clone() }),
        ("state", SecretQuery { state: Some(SecretStatus::Deleted), ..any.clone() }),
        ("due_within", SecretQuery { due_by: Some(3 * DAY), ..any.clone() }),
        ("sort=-path", sorted(OrderBy::Path, true)),
        ("sort=-created_at", sorted(OrderBy::CreatedAt, true)),
        ("sort=-updated_at", sorted(OrderBy::UpdatedAt, true)),
        ("sort=due_at", sorted(OrderBy::DueAt, false)),
        (
            "kind, tag and q",
            SecretQuery { kind: Some(kind), tags: tag("stage", Some("lab".to_owned())), ..named("gateway".to_owned()) },
        ),
    ]
}

pub(super) fn owners() -> Vec<PartyId> {
    (0..OWNERS).map(|_| PartyId::Principal(Subject::Service(ServiceId::generate()))).collect()
}

async fn measure(engine: Engine) {
    let (secrets, callers, is_measured) = size();
    let all = Catalogue::on(engine).await;
    let owners = owners();
    let begun = Instant::now();
    fill(&all, secrets, &owners).await;
    println!("{engine:?}: {secrets} secrets and their index in {:?}", begun.elapsed());
    let visible: Vec<Visible> = (0..callers).map(|number| caller(&all, number)).collect();
    let names = queries(&owners, 0).len();
    let mut slow = Vec::new();
    for place in 0..=names {
        let (mut times, mut rows, mut name) = (Vec::with_capacity(callers), 0, "folders");
        for (number, visible) in visible.iter().enumerate() {
            let begun = Instant::now();
            if let Some((known, query)) = queries(&owners, number).into_iter().nth(place) {
                name = known;
                rows += all.store.secrets(visible, query, None, 100).await.unwrap().rows.len();
            } else {
                let query = FolderQuery { environment: environment(), under: None, begins: None };
                rows += all.store.folders(visible, query, 100).await.unwrap().entries.len();
            }
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!("{engine:?}: {name}: p50 {:?}, p99 {:?}, {} rows a page", at(50), at(99), rows / callers);
        if at(99) > TARGET {
            slow.push(format!("{name}: {:?}", at(99)));
        }
    }
    all.close().await;
    assert!(!is_measured || slow.is_empty(), "above {TARGET:?}: {slow:?}");
}

#[tokio::test]
async fn page_of_every_condition_takes_little_time() {
    measure(Engine::Sqlite).await;
}

#[tokio::test]
async fn page_of_every_condition_takes_little_time_on_postgres_too() {
    measure(Engine::Postgres).await;
}
