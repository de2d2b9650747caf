//! The cost of writes, tokens and lists over many secrets, each with three versions, tags and metadata, against an empty catalogue.
//!
//! `SPLITVAULT_SCALE=1000000` measures so many. Without it there are few, and nothing is measured.

use std::time::{Duration, Instant};

use manager_policy::Visible;
use manager_store::SearchStore as _;
use service_runtime::sql::Tx;
use shared_proto::id::{SecretId, Version};

use super::speed::{TARGET, caller, fill, owners, queries};
use super::{Catalogue, Engine};

/// Rounds of each measurement; the median counts.
const ROUNDS: usize = 15;
const CALLERS: usize = 40;

fn size() -> (usize, bool) {
    let asked = std::env::var("SPLITVAULT_SCALE").ok();
    asked.map_or((300, false), |number| (number.parse().unwrap(), true))
}

/// The medians of a new secret, of a next version and of a token, each over a round of so many.
struct Costs([Duration; 3]);

impl Costs {
    async fn of(all: &Catalogue, name: &str, each: usize) -> Self {
        let mut rounds = [const { Vec::new() }; 3];
        let mut number = 0;
        for round in 0..ROUNDS {
            let mut made: Vec<(SecretId, String)> = Vec::with_capacity(each);
            let begun = Instant::now();
            for _ in 0..each {
                number += 1;
                // Their places are all over the catalogue.
                let path = format!("team-{:03}/{name}/{number}", number * 37 % 200);
                made.push((all.write(&path).await, path));
            }
            rounds[0].push(begun.elapsed());
            let begun = Instant::now();
            for (secret, path) in &made {
                all.write_version(*secret, path, Version::new(2).unwrap()).await;
            }
            rounds[1].push(begun.elapsed());
            let begun = Instant::now();
            for (secret, _) in &made {
                all.mint(*secret).await;
            }
            rounds[2].push(begun.elapsed());
            assert_eq!(rounds[2].len(), round + 1);
        }
        Self(rounds.map(|mut times| {
            times.sort_unstable();
            times[ROUNDS / 2] / u32::try_from(each).unwrap()
        }))
    }
}

/// Bytes of the database, with its indexes.
async fn bytes(all: &Catalogue) -> u64 {
    let sql = match all.engine {
        Engine::Sqlite => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        Engine::Postgres => "SELECT pg_database_size(current_database())",
    };
    let read = move |tx: &mut Tx<'_>| tx.one(sql, &[], |row| row.get::<u64>(0));
    all.database.read("bytes", read).await.unwrap()
}

async fn measure(engine: Engine) {
    let (secrets, is_measured) = size();
    let each = if is_measured { 60 } else { 2 };
    let all = Catalogue::on(engine).await;
    let owners = owners();
    let _warm = Costs::of(&all, "warm", each).await;
    let before = Costs::of(&all, "before", each).await;
    let empty = bytes(&all).await;
    let begun = Instant::now();
    fill(&all, secrets, &owners).await;
    println!("{engine:?}: {secrets} secrets in {:?}", begun.elapsed());
    println!("{engine:?}: {} bytes a secret", (bytes(&all).await - empty) / u64::try_from(secrets).unwrap());
    let _warm = Costs::of(&all, "warm-again", each).await;
    let after = Costs::of(&all, "after", each).await;
    for (name, (before, after)) in ["new secret", "next version", "token"].iter().zip(before.0.iter().zip(&after.0)) {
        println!("{engine:?}: {name}: {before:?}, {after:?}, {:.2}", after.as_secs_f64() / before.as_secs_f64());
    }
    let visible: Vec<Visible> = (0..CALLERS).map(|number| caller(&all, number)).collect();
    let mut slow = Vec::new();
    for place in 0..queries(&owners, 0).len() {
        let (mut times, mut name, mut rows) = (Vec::with_capacity(CALLERS), "", 0);
        for (number, visible) in visible.iter().enumerate() {
            let (known, query) = queries(&owners, number).into_iter().nth(place).unwrap();
            let begun = Instant::now();
            rows += all.store.secrets(visible, query, None, 100).await.unwrap().rows.len();
            times.push(begun.elapsed());
            name = known;
        }
        times.sort_unstable();
        println!(
            "{engine:?}: {name}: p50 {:?}, slowest {:?}, {} rows",
            times[CALLERS / 2],
            times[CALLERS - 1],
            rows / CALLERS
        );
        if times[CALLERS - 1] > TARGET {
            slow.push(format!("{name}: {:?}", times[CALLERS - 1]));
        }
    }
    all.close().await;
    assert!(!is_measured || slow.is_empty(), "above {TARGET:?}: {slow:?}");
}

#[tokio::test]
async fn many_secrets_make_writes_tokens_and_lists_little_dearer() {
    measure(Engine::Sqlite).await;
}

#[tokio::test]
async fn many_secrets_make_writes_tokens_and_lists_little_dearer_on_postgres_too() {
    measure(Engine::Postgres).await;
}
