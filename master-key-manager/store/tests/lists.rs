//! Lists over a large catalogue, beside writers, and over an index that somebody altered, on both engines.

#[cfg(test)]
mod catalogue;

#[cfg(test)]
mod lists {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use manager_api::kind::SecretKind;
    use manager_api::name::{TagKey, TagValue};
    use manager_api::secrets::SecretStatus;
    use manager_store::{
        Details, NewDetails, Order, OrderBy, PlaceStore as _, SearchStore as _, SecretQuery, TagFilter, WALKED_AT_ONCE,
    };
    use manager_store::{FolderEntry, FolderQuery, MOST_COUNTED};
    use service_runtime::sql::Tx;

    use crate::catalogue::{Catalogue, ENVIRONMENT, Engine, HIDDEN, environment};

    const SEEN: usize = 100;

    async fn small_part_of_a_large_catalogue(engine: Engine) {
        let all = Catalogue::on(engine).await;
        let seen: Vec<String> = (0..SEEN).map(|number| format!("team/{number:03}/key")).collect();
        for path in &seen {
            all.write(path).await;
        }
        all.hide_many().await;
        let begun = Instant::now();
        let (paths, pages) = all.read(&all.sees(&["team/**"]), &SecretQuery::default(), 30).await;
        println!("{engine:?}: {pages} pages of his own folder in {:?}", begun.elapsed());
        // Nothing of the folders around his is looked at: each page is full, and the last one ends the list.
        assert_eq!((paths, pages), (seen.clone(), 4));
        let some = all.sees(&["team/001/key", "nobody/**", "team/01/**", "team/010/**"]);
        let (paths, pages) = all.read(&some, &SecretQuery::default(), 100).await;
        assert_eq!((paths, pages), (vec![seen[1].clone(), seen[10].clone()], 1));
        for by in [OrderBy::CreatedAt, OrderBy::DueAt] {
            let query = SecretQuery { order: Order { by, descending: true }, ..SecretQuery::default() };
            let (paths, pages) = all.read(&all.sees(&["team/**"]), &query, 30).await;
            assert_eq!((paths.into_iter().collect::<BTreeSet<_>>().len(), pages), (SEEN, 4), "{by:?}");
        }
        // A part of a name is found by the index of names, whatever else there is.
        let query = SecretQuery { name: Some("M/007/K".to_owned()), ..SecretQuery::default() };
        assert_eq!(all.read(&all.sees(&["**"]), &query, 10).await, (vec![seen[7].clone()], 1));
        // A pattern without a beginning: all rows of the index are looked at, a bounded number for each page.
        let begun = Instant::now();
        let (paths, pages) = all.read(&all.sees(&["*/*/key"]), &SecretQuery::default(), 100).await;
        println!("{engine:?}: {pages} pages of everything in {:?}", begun.elapsed());
        assert_eq!(paths, seen);
        let looks = (HIDDEN + SEEN) / WALKED_AT_ONCE;
        assert!(pages >= looks && pages <= looks + 3, "{pages}");
        all.close().await;
    }

    #[tokio::test]
    async fn a_small_part_of_a_large_catalogue_is_read_alone() {
        small_part_of_a_large_catalogue(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn a_small_part_of_a_large_catalogue_is_read_alone_on_postgres_too() {
        small_part_of_a_large_catalogue(Engine::Postgres).await;
    }

    /// What an attacker with write access to the database may do to the index.
    const PLANTS: [&str; 10] = [
        "UPDATE search_secrets SET path = 'team/planted', name = 'team/planted' WHERE path = 'other/hidden'",
        "UPDATE search_secrets SET kind = 'api-key'",
        "UPDATE search_secrets SET state = 'active', due_at = 1",
        "UPDATE search_secrets SET owner = 'svc_AAAAAAAAAAAAAAAAAAAAAA'",
        "INSERT INTO search_tags (key, value, secret_id) SELECT 'team', 'pay', secret_id FROM search_secrets",
        "UPDATE search_secrets SET tags = '\u{1}team\u{2}pay\u{1}'",
        "UPDATE search_secrets SET path = 'team/a' WHERE path = 'team/b'",
        "UPDATE search_secrets SET created_at = 9, updated_at = 9",
        "UPDATE search_secrets SET name = 'needle'",
        "DELETE FROM search_secrets WHERE path = 'team/c'",
    ];

    async fn planted_index(engine: Engine) {
        for plant in PLANTS {
            let all = Catalogue::on(engine).await;
            for path in ["team/a", "team/b", "team/c", "other/hidden"] {
                all.write(path).await;
            }
            all.alter(plant).await;
            let tag = TagFilter { key: TagKey::parse("team").unwrap(), value: Some(TagValue::parse("pay").unwrap()) };
            let queries = [
                SecretQuery::default(),
                SecretQuery { kind: Some(SecretKind::ApiKey), ..SecretQuery::default() },
                SecretQuery { tags: vec![tag], ..SecretQuery::default() },
                SecretQuery { owner: "svc_AAAAAAAAAAAAAAAAAAAAAA".parse().ok(), ..SecretQuery::default() },
                SecretQuery { state: Some(SecretStatus::Deleted), ..SecretQuery::default() },
                SecretQuery { due_by: Some(1_000), ..SecretQuery::default() },
                SecretQuery { name: Some("needle".to_owned()), ..SecretQuery::default() },
            ];
            for by in [OrderBy::Path, OrderBy::CreatedAt, OrderBy::UpdatedAt, OrderBy::DueAt] {
                for (number, query) in queries.iter().enumerate() {
                    let query = SecretQuery { order: Order { by, descending: false }, ..query.clone() };
                    let (paths, _) = all.read(&all.sees(&["team/**"]), &query, 2).await;
                    let once: BTreeSet<_> = paths.iter().collect();
                    assert_eq!(once.len(), paths.len(), "{plant}: {paths:?}");
                    let true_ones = ["team/a", "team/b", "team/c"];
                    assert!(paths.iter().all(|path| true_ones.contains(&path.as_str())), "{plant}: {paths:?}");
                    // None of them is what these conditions say.
                    assert!(number == 0 || paths.is_empty(), "{plant}: {query:?} {paths:?}");
                }
            }
            let query = FolderQuery { environment: environment(), under: None, begins: None };
            let page = all.store.folders(&all.sees(&["team/**"]), query, 9).await.unwrap();
            let paths = page.entries.iter().map(|entry| match entry {
                FolderEntry::Folder { path, .. } | FolderEntry::Secret { path, .. } => path.as_str(),
            });
            assert!(paths.eq(["team"]), "{plant}");
            all.close().await;
        }
    }

    #[tokio::test]
    async fn planted_rows_of_the_index_show_nothing_hidden_and_nothing_false() {
        planted_index(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn planted_rows_of_the_index_show_nothing_hidden_and_nothing_false_on_postgres_too() {
        planted_index(Engine::Postgres).await;
    }

    async fn pages_beside_writers(engine: Engine) {
        for by in [OrderBy::Path, OrderBy::CreatedAt, OrderBy::DueAt] {
            for descending in [false, true] {
                let all = Catalogue::on(engine).await;
                let mut first = Vec::new();
                for number in 0..30 {
                    first.push(all.write(&format!("m/{number:02}")).await);
                }
                let query = SecretQuery { order: Order { by, descending }, ..SecretQuery::default() };
                let (mut seen, mut after, mut round) = (Vec::new(), None, 0);
                loop {
                    let visible = all.sees(&["**"]);
                    let page = all.store.secrets(&visible, query.clone(), after, 4).await.unwrap();
                    seen.extend(page.rows.iter().map(|row| row.secret));
                    // Others come before and behind, and one of those that were seen is described.
                    all.write(&format!("a/{round}")).await;
                    all.write(&format!("z/{round}")).await;
                    let new = NewDetails { secret: first[0], details: Details::default(), expected: round };
                    all.store.describe(&all.may(), new).await.unwrap().unwrap();
                    round += 1;
                    assert!(round < 99, "the list ends");
                    match page.next {
                        Some(next) if round < 20 => after = Some(next),
                        _ => break,
                    }
                }
                let made: BTreeSet<_> = first.iter().collect();
                let old: Vec<_> = seen.iter().filter(|secret| made.contains(secret)).collect();
                assert_eq!(old.len(), made.len(), "{by:?} {descending}");
                assert_eq!(old.into_iter().collect::<BTreeSet<_>>().len(), made.len(), "{by:?} {descending}");
                all.close().await;
            }
        }
    }

    #[tokio::test]
    async fn pages_have_everything_once_while_others_write() {
        pages_beside_writers(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn pages_have_everything_once_while_others_write_on_postgres_too() {
        pages_beside_writers(Engine::Postgres).await;
    }

    #[tokio::test]
    async fn names_are_found_without_the_index_of_names() {
        let all = Catalogue::on(Engine::Postgres).await;
        all.write("team/needle").await;
        all.alter("DROP INDEX search_names").await;
        let query = SecretQuery { name: Some("NEED".to_owned()), ..SecretQuery::default() };
        assert_eq!(all.read(&all.sees(&["**"]), &query, 10).await, (vec!["team/needle".to_owned()], 1));
        all.close().await;
    }

    #[tokio::test]
    async fn a_large_folder_is_counted_up_to_a_limit_and_left() {
        let all = Catalogue::on(Engine::Sqlite).await;
        all.hide_many().await;
        for number in 0..3 {
            all.write(&format!("b/{number}")).await;
        }
        all.vouch().await;
        let query = FolderQuery { environment: environment(), under: None, begins: None };
        let page = all.store.folders(&all.sees(&["**"]), query, 9).await.unwrap();
        let counts: Vec<(u64, bool)> = page
            .entries
            .iter()
            .map(|entry| match entry {
                FolderEntry::Folder { count, is_least, .. } => (*count, *is_least),
                FolderEntry::Secret { .. } => (0, false),
            })
            .collect();
        assert_eq!(counts, [(MOST_COUNTED, true), (3, false), (MOST_COUNTED, true)]);
        assert_eq!(page.next, None);
        all.close().await;
    }

    /// The control: the database that a test alters is the one that is read.
    #[tokio::test]
    async fn secret_without_its_row_in_the_index_is_not_listed() {
        let all = Catalogue::on(Engine::Sqlite).await;
        all.write("team/a").await;
        let kept = all.read(&all.sees(&["**"]), &SecretQuery::default(), 9).await.0;
        all.alter("DELETE FROM search_secrets").await;
        let lost = all.read(&all.sees(&["**"]), &SecretQuery::default(), 9).await.0;
        assert_eq!((kept.len(), lost.len()), (1, 0));
        let rows = |tx: &mut Tx<'_>| tx.exists("SELECT 1 FROM secrets WHERE environment_id = ?1", &[&ENVIRONMENT]);
        assert!(all.database.read("rows", rows).await.unwrap());
        all.close().await;
    }
}
