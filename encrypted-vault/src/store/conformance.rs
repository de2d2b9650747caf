//! The rules that every backend of [`VaultStore`] keeps. The kit runs on each of them.

use shared_proto::encoding::Bytes;
use shared_proto::envelope::Ciphertext;
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::receipt::VersionState;
use shared_proto::wire::vault::VersionName;

use super::{
    FingerprintOfRow, KeyOfRow, NewEvent, NewKey, NewRow, Statements, VaultStore, WrappedFingerprint, WrappedKey,
};

/// Runs the kit on an empty store.
///
/// # Errors
/// The sentence of the first rule that the backend breaks.
pub async fn check(store: &dyn VaultStore) -> Result<(), String> {
    rows(store).await?;
    tombstones(store).await?;
    epochs(store).await?;
    storage_keys(store).await?;
    fingerprints(store).await?;
    events(store).await?;
    statements(store).await
}

async fn rows(store: &dyn VaultStore) -> Result<(), String> {
    let first = new_row(SecretId::generate(), 1, 1)?;
    let other = NewRow { digest: Bytes([9; 32]), ..first.clone() };
    let inserted = store.insert(vec![first.clone(), other.clone()], 7).await.map_err(text)?;
    let digests: Vec<_> = inserted.iter().flatten().map(|facts| facts.digest).collect();
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
    rule(
        late.iter().all(|facts| facts.is_some_and(|facts| facts.state == VersionState::Tombstone)),
        "a late store meets the tombstone",
    )?;
    rule(store.read(row.name.secret_id, row.name.version).await.map_err(text)?.is_none(), "and leaves nothing")?;
    let kept = new_row(SecretId::generate(), 1, 1)?;
    let kept_facts = store.insert(vec![kept.clone()], 3).await.map_err(text)?;
    let settled = store.settle(vec![kept.name], 4).await.map_err(text)?;
    rule(settled.into_iter().map(Some).eq(kept_facts), "settling what is stored tells so")?;
    let free = new_row(row.name.secret_id, 2, 1)?;
    for (names, settles) in [
        (vec![free.name, row.name], false),
        (vec![free.name, kept.name], false),
        (vec![free.name, free.name], true),
        (vec![free.name], false),
    ] {
        let settled = store.settle_unused(names, 5).await.map_err(text)?;
        rule(settled.is_some() == settles, "numbers are settled as unused if none was used, or else not at all")?;
    }
    let late = store.insert(vec![free], 6).await.map_err(text)?;
    rule(
        late.iter().all(|facts| facts.is_some_and(|facts| facts.state == VersionState::Tombstone)),
        "a store under such a number meets the tombstone",
    )
}

async fn epochs(store: &dyn VaultStore) -> Result<(), String> {
    let row = new_row(SecretId::generate(), 1, 1)?;
    let environment = row.name.environment;
    let other = new_row(SecretId::generate(), 1, 1)?;
    store.insert(vec![row.clone(), other.clone()], 1).await.map_err(text)?;
    let wrapped = |epoch| WrappedKey { epoch, storage_key: 1, stored: Bytes([u8::try_from(epoch).unwrap_or(0); 48]) };
    let new = |epoch, digest| NewKey { name: row.name, digest, key: wrapped(epoch) };
    let add = async |key: NewKey| store.rewrap(vec![key]).await.map(|found| found.first().copied().flatten());
    let nowhere = NewKey { name: VersionName { secret_id: SecretId::generate(), ..row.name }, ..new(2, row.digest) };
    rule(add(nowhere).await.map_err(text)?.is_none(), "a key cannot be added to nothing")?;
    let refused = add(new(2, Bytes([8; 32]))).await.map_err(text)?;
    rule(refused.is_some_and(|found| found.key.is_none() && found.facts.epoch == 1), "nor to another envelope")?;
    let incomplete = store.retire(environment, 2).await.map_err(text)?;
    rule((incomplete.rows, incomplete.lacking) == (1, 1), "an epoch that a row lacks is not retired below")?;
    let added = add(new(2, row.digest)).await.map_err(text)?;
    rule(added.is_some_and(|found| found.key == Some(wrapped(2)) && found.facts.epoch == 2), "a newer key is added")?;
    let replaced = NewKey { key: WrappedKey { stored: Bytes([9; 48]), ..wrapped(2) }, ..new(2, row.digest) };
    let kept = add(replaced).await.map_err(text)?;
    rule(kept.is_some_and(|found| found.key == Some(wrapped(2))), "and never replaced")?;
    let both = store.read(row.name.secret_id, row.name.version).await.map_err(text)?;
    rule(both.is_some_and(|found| found.keys == [wrapped(2), row.key]), "a row keeps both keys, newest first")?;
    let newer = NewKey { key: wrapped(4), ..new(4, row.digest) };
    add(newer).await.map_err(text)?;
    let back = add(new(3, row.digest)).await.map_err(text)?;
    rule(back.is_some_and(|found| found.key.is_none()), "a key below the newest is refused")?;
    let asked = store.wrapped(2, vec![row.name, other.name]).await.map_err(text)?;
    rule(asked == [Some((row.digest, wrapped(2))), None], "the key of an epoch is found, or nothing")?;
    for _again in 0..2 {
        let retired = store.retire(environment, 4).await.map_err(text)?;
        rule((retired.rows, retired.lacking) == (1, 0), "an epoch that every row has is retired below")?;
    }
    let left = store.read(row.name.secret_id, row.name.version).await.map_err(text)?;
    rule(left.is_some_and(|found| found.keys == [wrapped(4)]), "what is below a retired epoch is erased")?;
    let others = store.read(other.name.secret_id, other.name.version).await.map_err(text)?;
    rule(others.is_some_and(|found| found.keys == [other.key]), "another environment keeps its keys")?;
    store.retire(environment, 2).await.map_err(text)?;
    let old = new_row(SecretId::generate(), 1, 3)?;
    let old = NewRow { name: VersionName { environment, ..old.name }, ..old };
    let stored = store.insert(vec![old], 2).await.map_err(text)?;
    rule(stored == [None], "nothing is stored below a retired epoch, also after an older one was retired")
}

async fn storage_keys(store: &dyn VaultStore) -> Result<(), String> {
    let rows = [new_row(SecretId::generate(), 1, 1)?, new_row(SecretId::generate(), 1, 1)?];
    store.insert(rows.to_vec(), 1).await.map_err(text)?;
    let key = |number| WrappedKey { storage_key: number, stored: Bytes([5; 48]), epoch: 1 };
    let mut after = None;
    while let Some(old) = store.not_under(9, after, 1).await.map_err(text)?.pop() {
        rule(after.is_none_or(|last| last < (old.secret, old.version, old.key.epoch)), "the search goes forward")?;
        after = Some((old.secret, old.version, old.key.epoch));
        let changed = KeyOfRow { key: WrappedKey { stored: Bytes([6; 48]), ..old.key }, ..old };
        store.exchange(vec![(changed, key(8))]).await.map_err(text)?;
        let new = WrappedKey { epoch: old.key.epoch, ..key(9) };
        store.exchange(vec![(old, new)]).await.map_err(text)?;
    }
    rule(store.not_under(9, None, 9).await.map_err(text)?.is_empty(), "every key is exchanged")?;
    for row in rows {
        let found = store.read(row.name.secret_id, row.name.version).await.map_err(text)?;
        rule(found.is_some_and(|found| found.keys == [key(9)]), "and no key that changed meanwhile")?;
    }
    Ok(())
}

async fn fingerprints(store: &dyn VaultStore) -> Result<(), String> {
    let under = |storage_key, byte| WrappedFingerprint { storage_key, stored: Bytes([byte; 48]) };
    let with = NewRow { fingerprint: Some(under(1, 4)), ..new_row(SecretId::generate(), 1, 1)? };
    let also = NewRow { fingerprint: Some(under(1, 5)), ..new_row(SecretId::generate(), 7, 1)? };
    let without = new_row(SecretId::generate(), 1, 1)?;
    store.insert(vec![with.clone(), also.clone(), without.clone()], 1).await.map_err(text)?;
    let again = NewRow { fingerprint: Some(under(1, 6)), ..without.clone() };
    store.insert(vec![again, NewRow { fingerprint: Some(under(1, 6)), ..with.clone() }], 2).await.map_err(text)?;
    let elsewhere = VersionName { environment: EnvironmentId::generate(), ..with.name };
    let asked = vec![without.name, with.name, elsewhere, also.name, with.name];
    let found = store.fingerprints(asked).await.map_err(text)?;
    rule(
        found == [None, with.fingerprint, None, also.fingerprint, with.fingerprint],
        "fingerprints are found by environment, secret and version, and never change",
    )?;
    let mut after = None;
    while let Some(old) = store.fingerprints_not_under(9, after, 1).await.map_err(text)?.pop() {
        rule(after.is_none_or(|last| last < (old.secret, old.version)), "the search for fingerprints goes forward")?;
        after = Some((old.secret, old.version));
        let changed = FingerprintOfRow { fingerprint: under(1, 8), ..old };
        store.exchange_fingerprints(vec![(changed, under(8, 8))]).await.map_err(text)?;
        store.exchange_fingerprints(vec![(old, under(9, 9))]).await.map_err(text)?;
    }
    let found = store.fingerprints(vec![with.name, also.name, without.name]).await.map_err(text)?;
    rule(
        found == [Some(under(9, 9)), Some(under(9, 9)), None],
        "every fingerprint is exchanged, and none that changed meanwhile",
    )?;
    let event = NewEvent { after: 0, seq: 1, compact: "event 1".to_owned(), destroys: Some(with.name) };
    store.append_events(vec![event], 3).await.map_err(text)?;
    store.drop_events(vec![1]).await.map_err(text)?;
    let found = store.fingerprints(vec![with.name, also.name]).await.map_err(text)?;
    rule(found == [None, Some(under(9, 9))], "a destroyed version has no fingerprint")?;
    let left = store.fingerprints_not_under(0, None, 9).await.map_err(text)?;
    rule(left.len() == 1, "nor is one left behind")
}

async fn events(store: &dyn VaultStore) -> Result<(), String> {
    let row = new_row(SecretId::generate(), 1, 1)?;
    store.insert(vec![row.clone()], 1).await.map_err(text)?;
    let event = |after, seq, destroys| NewEvent { after, seq, compact: format!("event {seq}"), destroys };
    let append = async |events| store.append_events(events, 1).await;
    rule(append(vec![event(1, 2, None)]).await.is_err(), "an event comes after the newest one")?;
    append(vec![event(0, 1, None), event(1, 2, Some(row.name))]).await.map_err(text)?;
    rule(append(vec![event(1, 2, None)]).await.is_err(), "a number is used once")?;
    rule(
        append(vec![event(2, 2, None)]).await.is_err() && append(vec![event(2, 1, None)]).await.is_err(),
        "also late",
    )?;
    rule(
        append(vec![event(2, 3, None), event(4, 5, None)]).await.is_err()
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
    rule(rest == [(2, "event 2".to_owned())], "events are read from behind a number")?;
    // A version may be destroyed again, and a number that never had an envelope may be, too.
    append(vec![event(2, 3, Some(row.name)), event(3, 7, None)]).await.map_err(text)?;
    for _again in 0..2 {
        store.drop_events(vec![1, 3]).await.map_err(text)?;
        let left: Vec<u64> = store.events(0, 9).await.map_err(text)?.into_iter().map(|(seq, _)| seq).collect();
        rule(left == [2, 7], "events are dropped by their numbers, and no other")?;
    }
    rule(store.tombstones().await.map_err(text)? == dead, "and what they destroyed stays dead")
}

async fn statements(store: &dyn VaultStore) -> Result<(), String> {
    for (documents, stated_at) in [(vec!["a".to_owned(), "b".to_owned()], 7), (vec!["c".to_owned()], 8)] {
        let statements = Statements { documents, stated_at };
        store.replace_statements(statements.clone()).await.map_err(text)?;
        rule(store.statements().await.map_err(text)? == statements, "statements are replaced as a whole")?;
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
        fingerprint: None,
    })
}

fn rule(holds: bool, sentence: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(sentence.to_owned()) }
}

fn text(fault: service_runtime::sql::StoreFault) -> String {
    fault.to_string()
}
