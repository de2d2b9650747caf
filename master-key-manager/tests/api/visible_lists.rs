//! The list of secrets for callers who may see a part of it.

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::Value;
use service_runtime::config::Mode;

use crate::places::{ask, service};
use crate::support::{Installed, Manager};

/// The pages of a list: the paths on each, and the cursor that leads to the next.
async fn pages(manager: &Manager, credential: &str, query: &str) -> Vec<(Vec<String>, Option<String>)> {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/secrets?{query}{after}");
        let page = ask(manager, credential, Method::GET, &path, None).await.expect(200).json();
        let path = |one: &Value| one["path"].as_str().unwrap().to_owned();
        let shown = page["secrets"].as_array().unwrap().iter().map(path).collect();
        let next = page["next"].as_str().map(str::to_owned);
        pages.push((shown, next.clone()));
        match next {
            Some(next) => after = format!("&after={next}"),
            None => return pages,
        }
    }
}

#[actix_web::test]
async fn pages_of_a_caller_who_sees_a_part_are_full_and_tell_nothing_of_the_rest() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let seen: Vec<String> = (0..5).map(|number| format!("team/{number}")).collect();
    for number in 0..5 {
        manager.store_value(&format!("team/{number}"), "x").await.expect(201);
        for hidden in ["other", "team-b", "zone"] {
            manager.store_value(&format!("{hidden}/{number}"), "x").await.expect(201);
        }
    }
    for pattern in ["team/**", "team/*", "*/*"] {
        let name = format!("reader-{}", pattern.len() + pattern.matches('*').count() * 10);
        let caller = service(&manager, &name, pattern, &[Action::List]).await;
        let all = pages(&manager, &caller, "limit=500").await;
        let [(whole, None)] = &all[..] else { panic!("{all:?}") };
        if pattern != "*/*" {
            assert_eq!(*whole, seen, "{pattern}");
        }
        for limit in 1..=6 {
            let pages = pages(&manager, &caller, &format!("limit={limit}")).await;
            let union: Vec<String> = pages.iter().flat_map(|(paths, _)| paths.clone()).collect();
            assert_eq!(union, *whole, "{pattern} {limit}");
            let (_last, full) = pages.split_last().unwrap();
            assert!(full.iter().all(|(paths, next)| paths.len() == limit && next.is_some()), "{pattern} {limit}");
        }
    }
    manager.stop().await;
}

#[actix_web::test]
async fn a_cursor_is_of_its_caller_and_says_nothing() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(manager.store_value(&format!("team/{number}"), "x").await.expect(201).member("key_id"));
    }
    let one = service(&manager, "one", "team/**", &[Action::List]).await;
    let other = service(&manager, "other", "**", &[Action::List]).await;
    let first = pages(&manager, &one, "limit=2").await;
    let again = pages(&manager, &one, "limit=2").await;
    let (Some(cursor), Some(same)) = (&first[0].1, &again[0].1) else { panic!("there are two pages") };
    assert_ne!(cursor, same, "two cursors of one place are not told apart from those of two");
    assert_eq!(cursor.len(), 123);
    let ask = async |credential: &str, after: &str| {
        ask(&manager, credential, Method::GET, &format!("/api/secrets?after={after}"), None).await
    };
    ask(&one, cursor).await.expect(200);
    ask(&other, cursor).await.expect(400).refused("parameter_invalid");
    ask(&manager.credential, cursor).await.expect(400).refused("parameter_invalid");
    let altered = if cursor.starts_with('A') { cursor.replacen('A', "B", 1) } else { format!("A{}", &cursor[1..]) };
    for wrong in [&altered, &ids[0], &format!("{}.1", ids[0]), &cursor[1..].to_owned()] {
        ask(&one, wrong).await.expect(400).refused("parameter_invalid");
    }
    manager.stop().await;
}
