//! What an installation shows after a history.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{AuditTrail, History, Observed, VersionKey};
use crate::{Installation, wait_until};

/// Waits until both services are ready and have caught up with each other, and looks at everything that a history
/// speaks of.
pub async fn inspect(installation: &Installation, history: &History) -> Observed {
    caught_up(installation).await;
    let mut observed = Observed::default();
    let mut asked: Vec<VersionKey> = history.acknowledged().map(|(version, _)| version.clone()).collect();
    for (version, path, state) in catalogue(installation).await {
        if state == "committed" {
            asked.push(version.clone());
        }
        observed.paths.insert(version, path);
    }
    asked.sort();
    asked.dedup();
    for batch in batches(asked) {
        observed.versions.extend(read_anew(installation, batch).await);
    }
    for token in &history.tokens {
        let opened = read_batch(installation, &token.text, &token.grants).await;
        let opened = opened.into_iter().filter_map(|(version, found)| found.is_ok().then_some(version));
        observed.tokens.insert(token.jti.clone(), opened.collect());
    }
    for service in [&installation.vault, &installation.manager] {
        observed.audit.insert(service.name(), AuditTrail::of(&service.data()));
    }
    observed
}

async fn caught_up(installation: &Installation) {
    wait_until("every event is numbered and applied, and no version pending", async || {
        installation.ready().await;
        let answer = installation.admin_call("GET", "/api/revocations?limit=1", None).await;
        if answer.status != 200
            || answer.number("newest") != answer.number("applied")
            || answer.number("unnumbered") > 0
        {
            return false;
        }
        catalogue(installation).await.iter().all(|(_, _, state)| state != "pending")
    })
    .await;
}

/// Every version in the catalogue with its name and state.
async fn catalogue(installation: &Installation) -> Vec<(VersionKey, String, String)> {
    let mut found = Vec::new();
    for (key_id, path) in installation.secrets().await {
        for (version, state) in installation.versions(&key_id).await {
            found.push(((key_id.clone(), version), path.clone(), state));
        }
    }
    found
}

/// Up to 64 versions each, of different secrets, as one token may name them.
fn batches(versions: Vec<VersionKey>) -> Vec<Vec<VersionKey>> {
    let mut by_turn: BTreeMap<usize, Vec<VersionKey>> = BTreeMap::new();
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    for version in versions {
        let turn = turns.entry(version.0.clone()).or_default();
        by_turn.entry(*turn).or_default().push(version);
        *turn += 1;
    }
    by_turn.into_values().flat_map(|all| all.chunks(64).map(<[_]>::to_vec).collect::<Vec<_>>()).collect()
}

/// Reads with a token made for this. Where one version spoils the token for all, each gets its own.
async fn read_anew(
    installation: &Installation,
    versions: Vec<VersionKey>,
) -> Vec<(VersionKey, Result<String, String>)> {
    let grants: Vec<(&str, u64)> = versions.iter().map(|(key_id, version)| (key_id.as_str(), *version)).collect();
    let minted = installation.mint(&grants).await;
    if minted.status == 201 {
        return read_batch(installation, &minted.text("access_token"), &versions).await;
    }
    let mut found = Vec::new();
    for version in versions {
        let minted = installation.mint(&[(&version.0, version.1)]).await;
        if minted.status == 201 {
            let one = std::slice::from_ref(&version);
            found.extend(read_batch(installation, &minted.text("access_token"), one).await);
        } else {
            found.push((version, Err(minted.code())));
        }
    }
    found
}

async fn read_batch(
    installation: &Installation,
    token: &str,
    versions: &[VersionKey],
) -> Vec<(VersionKey, Result<String, String>)> {
    let key_ids: Vec<&str> = versions.iter().map(|(key_id, _)| key_id.as_str()).collect();
    let call = installation.vault.call("POST", "/api/keys:read").bearer(token).json(&json!({"key_ids": key_ids}));
    let answer = call.send().await;
    if answer.status != 200 {
        return versions.iter().map(|version| (version.clone(), Err(answer.code()))).collect();
    }
    let lines = answer.json()["keys"].as_array().unwrap().clone();
    let one = |(version, line): (&VersionKey, Value)| {
        let Some(value) = line["decrypted_key"].as_str() else {
            return (version.clone(), Err(text(&line["code"])));
        };
        let as_asked = line["version"] == version.1 && line["key_id"] == *version.0;
        (version.clone(), if as_asked { Ok(value.to_owned()) } else { Err(format!("another version: {line}")) })
    };
    versions.iter().zip(lines).map(one).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
