//! The rows of registry.

use async_trait::async_trait;
use manager_api::name::AccountName;
use manager_policy::{Basis, PolicyEpoch};
use manager_registry::{
    Credential, Kind, Proof, Record, RecordName, RoleAssignment, RowKey, Rows, Service, Snapshot, WrittenEntry,
    WrittenRecord,
};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::Malformed;
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, ServiceId, Subject, TokenId};

use super::events::{defer, number};
use super::vouch::vouch;
use super::{SqlStore, with_entry};
use crate::events::Effect;
use crate::{
    ActError, CatalogueChanges, ChangeOutcome, DroppedEntries, OldEntries, POLICY_BYTES_AT_ONCE, RegistryRows,
    RegistryStore, SignEvent, Stored, Vouched, event_name,
};

#[async_trait]
impl RegistryStore for SqlStore {
    async fn registry(&self, from: u64) -> Stored<RegistryRows> {
        self.sql.read("registry", move |tx| registry(tx, from)).await
    }

    async fn registry_number(&self) -> Stored<u64> {
        self.sql.read("registry_number", newest_number).await
    }

    async fn policy_entries(&self, from: u64, limit: usize) -> Stored<Vec<WrittenEntry>> {
        self.sql.read("policy_entries", move |tx| policy_entries(tx, from, limit)).await
    }

    async fn change_places(
        &self,
        rows: Rows,
        places: CatalogueChanges,
        events: Vec<Event>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<ChangeOutcome> {
        let key = self.key();
        self.sql
            .write("change_registry", move |tx| change(tx, &key, (&rows, &places), &events, sign.as_ref(), now))
            .await
    }

    fn follow(&self, state: &Snapshot) {
        self.key.follow(state);
    }

    async fn drop_entries(&self, old: OldEntries, limit: usize) -> Stored<DroppedEntries> {
        self.sql.write("drop_entries", move |tx| drop_entries(tx, old, limit)).await
    }

    async fn vouch(&self, what: Vouched, limit: usize) -> Stored<usize> {
        let key = self.key();
        self.sql.write("vouch", move |tx| vouch(tx, &key, what, limit)).await
    }

    fn is_held(&self) -> bool {
        self.sql.is_held()
    }

    async fn number_of(&self, event: Event) -> Stored<Option<u64>> {
        let name = event_name::name_of(&event);
        self.sql
            .read("number_of", move |tx| {
                if tx.exists("SELECT 1 FROM pending_revocations WHERE name = ?1", &[&name])? {
                    return Ok(None);
                }
                let sql = "SELECT seq FROM events WHERE name = ?1 ORDER BY seq DESC LIMIT 1";
                tx.optional(sql, &[&name], |row| row.get(0))
            })
            .await
    }
}

fn registry(tx: &mut Tx<'_>, from: u64) -> Result<RegistryRows, SqlError> {
    let found = tx.all("SELECT kind, id, body FROM registry_records ORDER BY kind, id", &[], |row| {
        let Ok(kind) = Kind::parse(&row.get::<String>(0)?) else { return Ok(None) };
        Ok(Some(WrittenRecord { name: RecordName { kind, id: row.get(1)? }, body: row.get(2)? }))
    })?;
    let all = found.len();
    let records: Vec<WrittenRecord> = found.into_iter().flatten().collect();
    let has_foreign = records.len() != all;
    let from = from.min(newest_number(tx)?);
    let log =
        tx.all("SELECT number, entry, tag FROM registry_log WHERE number >= ?1 ORDER BY number", &[&from], |row| {
            Ok(WrittenEntry { number: row.get(0)?, text: row.get(1)?, tag: Bytes(row.get(2)?) })
        })?;
    let former = if log.is_empty() { former(tx)? } else { Vec::new() };
    Ok(RegistryRows { records, log, has_foreign, former })
}

fn policy_entries(tx: &mut Tx<'_>, from: u64, limit: usize) -> Result<Vec<WrittenEntry>, SqlError> {
    let (mut next, mut entries, mut bytes) = (Some(from), Vec::new(), 0);
    while let Some(number) = next.filter(|_| entries.len() < limit && bytes < POLICY_BYTES_AT_ONCE) {
        let sql = "SELECT number, entry, tag FROM registry_log WHERE number = ?1";
        let found = tx.optional(sql, &[&number], |row| {
            Ok(WrittenEntry { number: row.get(0)?, text: row.get(1)?, tag: Bytes(row.get(2)?) })
        })?;
        let Some(found) = found else { break };
        // A text that somebody planted may name any number: the way leads down only.
        next = WrittenEntry::policy_before(&found.text).filter(|before| *before < number);
        bytes += found.text.len();
        entries.push(found);
    }
    Ok(entries)
}

fn drop_entries(tx: &mut Tx<'_>, old: OldEntries, limit: usize) -> Result<DroppedEntries, SqlError> {
    // Larger ones change much at once: they are versions of the policy.
    let found: Vec<(u64, Option<String>)> = tx.all(
        "SELECT number, CASE WHEN length(entry) <= 65536 THEN entry END FROM registry_log
         WHERE number > ?1 AND number < ?2 ORDER BY number LIMIT ?3",
        &[&old.after, &old.below, &row_limit(limit)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut dropped = DroppedEntries { up_to: old.after, more: found.len() == limit };
    for (number, text) in found {
        if let Some(made_at) = text.as_deref().and_then(WrittenEntry::made_at_unless_kept) {
            if made_at >= old.made_before && number >= old.too_many_below {
                // Those after it are younger.
                dropped.more = false;
                break;
            }
            tx.execute("DELETE FROM registry_log WHERE number = ?1", &[&number])?;
        }
        dropped.up_to = number;
    }
    Ok(dropped)
}

/// Every credential with a hash was an administrator's then. The one without stood for strangers.
fn former(tx: &mut Tx<'_>) -> Result<Vec<Record>, SqlError> {
    let credentials = tx.all(
        "SELECT credential_id, subject, hmac, created_at, disabled_at FROM credentials ORDER BY created_at, credential_id",
        &[],
        credential,
    )?;
    let (mut records, mut administrators): (Vec<Record>, Vec<ServiceId>) = (Vec::new(), Vec::new());
    for credential in credentials {
        if let (Subject::Service(id), Proof::Opaque { .. }) = (credential.subject, &credential.proof)
            && !administrators.contains(&id)
        {
            administrators.push(id);
            records.extend(
                administrator(id, administrators.len(), credential.created_at).map_err(|_| SqlError::unreadable())?,
            );
        }
        records.push(Record::Credential(credential));
    }
    Ok(records)
}

/// An administrator with its role. Their names tell them apart.
fn administrator(id: ServiceId, number: usize, created_at: u64) -> Result<[Record; 2], Malformed> {
    let name =
        if number == 1 { Service::ADMINISTRATOR.to_owned() } else { format!("{}-{number}", Service::ADMINISTRATOR) };
    let service = Service::new(id, AccountName::parse(name)?, created_at);
    Ok([service.into(), RoleAssignment::administrator(id, created_at)?.into()])
}

fn credential(row: &Row<'_>) -> Result<Credential, SqlError> {
    let proof = row.get::<Option<[u8; 32]>>(2)?.map_or(Proof::Stranger, Proof::opaque);
    let id = CredentialId::from_bytes(row.get(0)?);
    Ok(Credential { disabled_at: row.get(4)?, ..Credential::new(id, row.parse(1)?, proof, row.get(3)?) })
}

/// The number of the newest entry; 0 before the first.
pub(super) fn newest_number(tx: &mut Tx<'_>) -> Result<u64, SqlError> {
    tx.one("SELECT COALESCE(MAX(number), 0) FROM registry_log", &[], |row| row.get(0))
}

fn change(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (rows, places): (&Rows, &CatalogueChanges),
    events: &[Event],
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<ChangeOutcome, SqlError> {
    if newest_number(tx)? != rows.expected {
        return Ok(ChangeOutcome::Moved);
    }
    if let Some(conflict) = with_entry::conflict(tx, key, places)? {
        return Ok(ChangeOutcome::Conflict(conflict));
    }
    if !write(tx, rows)? {
        return Ok(ChangeOutcome::Moved);
    }
    let mut numbers = with_entry::write(tx, key, (places, rows.entry.number), (sign, now))?;
    let mut events = events.to_vec();
    events.extend(revocations_of(tx, &rows.ended_sessions)?);
    for event in &events {
        match sign {
            Some(sign) => numbers.push(number(tx, event, sign, now)?),
            None => defer(tx, key, &Effect::Event(*event), now)?,
        }
    }
    Ok(ChangeOutcome::Made { numbers })
}

/// The revocations of the tokens that were made in sessions. Expired ones are among them: a clock that jumped ahead must
/// leave no living one out.
fn revocations_of(tx: &mut Tx<'_>, sessions: &[CredentialId]) -> Result<Vec<Event>, SqlError> {
    let (mut tokens, mut with_tokens): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
    for session in sessions {
        let own: Vec<TokenId> = tx.all(
            "SELECT jti FROM tokens WHERE credential_id = ?1 LIMIT ?2",
            &[&session.as_bytes(), &row_limit(MOST_TOKENS + 1)],
            |row| Ok(TokenId::from_bytes(row.get(0)?)),
        )?;
        if !own.is_empty() {
            with_tokens.push(Event::Credential(*session));
        }
        // More are not looked at one by one any more.
        tokens.extend(own.into_iter().take((MOST_TOKENS + 1).saturating_sub(tokens.len())).map(Event::Token));
    }
    if tokens.len() <= MOST_TOKENS {
        return Ok(tokens);
    }
    Ok(if with_tokens.len() <= MOST_TOKENS { with_tokens } else { vec![Event::All] })
}

/// The most tokens of sessions that one change revokes one by one. Beyond it, all tokens of each session are revoked.
const MOST_TOKENS: usize = 64;

/// Writes a change, if the newest entry is the one that it was made on; says whether it was.
pub(super) fn write(tx: &mut Tx<'_>, rows: &Rows) -> Result<bool, SqlError> {
    if newest_number(tx)? != rows.expected {
        return Ok(false);
    }
    if rows.expected == 0 {
        // The first entry knows all records.
        tx.execute("DELETE FROM registry_records", &[])?;
    }
    for record in &rows.written {
        tx.execute(
            "INSERT INTO registry_records (kind, id, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            &[&record.name.kind.as_str(), &record.name.id, &record.body],
        )?;
    }
    for name in &rows.removed {
        tx.execute("DELETE FROM registry_records WHERE kind = ?1 AND id = ?2", &[&name.kind.as_str(), &name.id])?;
    }
    let entry = &rows.entry;
    tx.execute(
        "INSERT INTO registry_log (number, entry, tag) VALUES (?1, ?2, ?3)",
        &[&entry.number, &entry.text, &entry.tag.0],
    )?;
    if rows.expected == 0 {
        // They are records now.
        tx.execute("DELETE FROM credentials", &[])?;
    }
    Ok(true)
}

/// The reason why a permit counts no more; `None` while all that it was decided from is as it was. Entries about others do
/// not end it.
pub(super) fn outdated(tx: &mut Tx<'_>, basis: Basis, now: u64) -> Result<Option<ActError>, SqlError> {
    let (newest, PolicyEpoch(decided)) = (newest_number(tx)?, basis.epoch());
    if !basis.holds_at(now) || newest < decided {
        return Ok(Some(ActError::PolicyChanged));
    }
    if newest == decided {
        return Ok(None);
    }
    // By their numbers: of older ones some are dropped, and the newest are not.
    if newest - decided > MOST_LATER {
        // Whoever is not sure says so: others must not look as if they had lost their credential.
        return Ok(Some(ActError::MuchChanged));
    }
    let later: Vec<String> =
        tx.all("SELECT entry FROM registry_log WHERE number > ?1 ORDER BY number", &[&decided], |row| row.get(0))?;
    let caller = (basis.holder(), basis.credential());
    if later.iter().any(|entry| WrittenEntry::may_concern(entry, caller, None)) {
        return Ok(Some(ActError::PolicyChanged));
    }
    let is_about = |entry: &String| WrittenEntry::may_concern(entry, caller, basis.secret());
    Ok(later.iter().any(is_about).then_some(ActError::SecretChanged))
}

/// The most entries that are made while a request is under way, and that its acts look at.
const MOST_LATER: u64 = 512;
