//! What every backend of [`VaultStore`] must do; run on each of them.

use shared_proto::encoding::Bytes;
use shared_proto::envelope::Ciphertext;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::VersionName;

use super::{NewEvent, NewRow, VaultStore, WrappedKey};

/// Runs the kit on an empty store.
///
/// # Errors
/// The sentence of the first rule that the backend breaks.
pub async fn check(store: &dyn VaultStore) -> Result<(), String> {
    rows(store).await?;
    tombstones(store).await?;
    events(store).await?;
    statements(store).await
}

async fn rows(store: &dyn VaultStore) -> Result<(), String> {
    let first = new_row(SecretId::generate(), 1, 1)?;
    let other = NewRow { digest: Bytes([9; 32]), ..first.clone() };
    let inserted = store.insert(vec![first.clone(), other.clone()], 7).await.map_err(text)?;
    let digests: Vec<_> = inserted.iter().map(|facts| facts.digest).collect();
    rule(digests == [first.digest, first.digest], "a stored version is never changed")?;
    let again = store.insert(vec![first.clone()], 8).await.map_err(text)?;
    rule(again.first() == inserted.first(), "the same envelope again gets the same facts")?;
    let read = store.read(first.name.secret_id, first.name.version).await.map_err(text)?;
    rule(
        read.is_some_and(|row| row.ciphertext == first.ciphertext && row.keys == [first.key]),
        "a row reads back as it was stored",
    )?;
    let nothing = store.read(SecretId::generate(), Version::FIRST).await.map_err(text)?;
    rule(nothing.is_none(), "what is not there is not found")?;
    let second = new_row(first.name.secret_id, 2, 1)?;
    store.insert(vec![second.clone()], 9).await.map_err(text)?;
    let page = store.inventory(None, 1).await.map_err(text)?;
    rule(page.len() == 1, "an inventory keeps its limit")?;
    let rest = store.inventory(Some((first.name.secret_id, first.name.version)), 9).await.map_err(text)?;
    rule(
        rest.len() == 1 && rest.iter().all(|facts| facts.digest == second.digest),
        "an inventory goes on behind its cursor",
    )
}

async fn tombstones(store: &dyn VaultStore) -> Result<(), String> {
    let row = new_row(SecretId::generate(), 1, 1)?;
    let settled = store.settle(vec![row.name], 1).await.map_err(text)?;
    rule(settled.iter().all(|facts| facts.state == VersionState::Tombstone), "settling nothing makes a tombstone")?;
    let late = store.insert(vec![row.clone()], 2).await.map_err(text)?;
    rule(late.iter().all(|facts| facts.state == VersionState::Tombstone), "a late store meets the tombstone")?;
    rule(store.read(row.name.secret_id, row.name.version).await.map_err(text)?.is_none(), "and leaves nothing")?;
    let kept = new_row(SecretId::generate(), 1, 1)?;
    let kept_facts = store.insert(vec![kept.clone()], 3).await.map_err(text)?;
    let settled = store.settle(vec![kept.name], 4).await.map_err(text)?;
    rule(settled == kept_facts, "settling what is stored tells so")
}

async fn events(store: &dyn VaultStore) -> Result<(), String> {
    let row = new_row(SecretId::generate(), 1, 1)?;
    store.insert(vec![row.clone()], 1).await.map_err(text)?;
    let event = |seq, destroys| NewEvent { seq, compact: format!("event {seq}"), destroys };
    rule(store.append_events(vec![event(2, None)], 1).await.is_err(), "events have no gap")?;
    store.append_events(vec![event(1, None), event(2, Some(row.name))], 1).await.map_err(text)?;
    rule(store.append_events(vec![event(2, None)], 1).await.is_err(), "a number is used once")?;
    rule(
        store.append_events(vec![event(3, None), event(5, None)], 1).await.is_err()
            && store.events(0, 9).await.map_err(text)?.len() == 2,
        "a batch of events is applied whole or not at all",
    )?;
    rule(
        store.read(row.name.secret_id, row.name.version).await.map_err(text)?.is_none(),
        "a destroyed version is erased",
    )?;
    let dead = store.tombstones().await.map_err(text)?;
    rule(dead.contains(&(row.name.secret_id, row.name.version)), "and leaves a tombstone")?;
    let rest = store.events(1, 9).await.map_err(text)?;
    rule(rest == [(2, "event 2".to_owned())], "events are read from behind a number")
}

async fn statements(store: &dyn VaultStore) -> Result<(), String> {
    for documents in [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]] {
        store.replace_statements(documents.clone()).await.map_err(text)?;
        rule(store.statements().await.map_err(text)? == documents, "statements are replaced as a whole")?;
    }
    Ok(())
}

fn new_row(secret_id: SecretId, version: u64, epoch: u32) -> Result<NewRow, String> {
    let version = Version::new(version).map_err(|error| error.to_string())?;
    let ciphertext = Ciphertext::new(Bytes([1; 32]), Bytes([2; 12]), vec![3; 80]).map_err(|error| error.to_string())?;
    Ok(NewRow {
        name: VersionName { environment: EnvironmentId::generate(), secret_id, version },
        digest: Bytes(shared_proto::encoding::random()),
        ciphertext,
        key: WrappedKey { epoch, storage_key: 1, stored: Bytes([4; 48]) },
    })
}

fn rule(holds: bool, sentence: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(sentence.to_owned()) }
}

fn text(fault: service_runtime::sqlite::StoreFault) -> String {
    fault.to_string()
}
