//! Secrets and versions.

use async_trait::async_trait;
use manager_api::name::{SecretPath, UserLabel};
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Basis, Permit, Read, Scope, SecretFacts, Write};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};

use super::destruction::is_kept_by_another;
use super::environments::open_for_use;
use super::events::is_revoked;
use super::identity::subject_for;
use super::places::{self, At, UnverifiedPlace};
use super::rows::{newest_event, one_version, optional_version, secret_state, version, version_row};
use super::search::index;
use super::tokens::insert_for_commit;
use super::version_tags::Tagged;
use super::{SqlStore, details, due, ends, secret_rotation, stages, targets};
use crate::{
    AboutVersion, ActError, Acted, BeginOutcome, CatalogueStore, CommitOutcome, Expiry, FactStore, IfVersion,
    KEPT_SECONDS, NewRollback, NewToken, NewVersion, RollbackOutcome, SecretState, Stored, TokenSubject, VersionRow,
    basis_for, grants_of,
};

#[async_trait]
impl FactStore for SqlStore {
    async fn secret_facts(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<SecretFacts>>> {
        let key = self.key();
        let facts = move |tx: &mut Tx<'_>| {
            let facts = |secret: &SecretId| Ok(places::placed(tx, &key, *secret)?.map(|found| found.facts));
            secrets.iter().map(facts).collect()
        };
        self.sql.read("secret_facts", facts).await
    }

    async fn facts_at(&self, places: Vec<(EnvironmentId, SecretPath)>) -> Stored<Vec<Option<SecretFacts>>> {
        let key = self.key();
        let facts = move |tx: &mut Tx<'_>| {
            let facts =
                |place: &(EnvironmentId, SecretPath)| Ok(places::placed_at(tx, &key, place)?.map(|found| found.facts));
            places.iter().map(facts).collect()
        };
        self.sql.read("facts_at", facts).await
    }

    async fn facts_below(
        &self,
        environment: EnvironmentId,
        folder: Option<SecretPath>,
        limit: usize,
    ) -> Stored<Vec<SecretFacts>> {
        let key = self.key();
        self.sql.read("facts_below", move |tx| facts_below(tx, &key, environment, folder.as_ref(), limit)).await
    }
}

#[async_trait]
impl CatalogueStore for SqlStore {
    async fn secret_at(
        &self,
        permit: &Permit<Write>,
        environment: EnvironmentId,
        path: SecretPath,
    ) -> Acted<Option<SecretState>> {
        let basis = basis_for(permit, &Scope::Path(environment, path.clone()))?;
        let key = self.key();
        self.read_as("secret_at", basis, move |tx| match places::secret_at(tx, &key, environment, &path)? {
            At::Secret(secret) => secret_state(tx, &key, secret),
            At::Nothing | At::Unfit => Ok(None),
        })
        .await
    }

    async fn secret(&self, permit: &Permit<AnyAction>, secret: SecretId) -> Acted<Option<SecretState>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.read_as("secret", basis, move |tx| secret_state(tx, &key, secret)).await
    }

    async fn version(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        version: Version,
    ) -> Acted<Option<VersionRow>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        let read = move |tx: &mut Tx<'_>| Ok(one_version(tx, &key, secret, version)?.map(|(row, _)| row));
        self.read_as("version", basis, read).await
    }

    async fn is_kept_by_another(&self, permit: &Permit<AnyAction>, of: VersionRow) -> Acted<bool> {
        let basis = basis_for(permit, &Scope::Secret(of.secret))?;
        let key = self.key();
        self.read_as("is_kept_by_another", basis, move |tx| is_kept_by_another(tx, &key, &of)).await
    }

    async fn expiry(&self, secret: SecretId, version: Version) -> Stored<Expiry> {
        let key = self.key();
        self.sql
            .read("expiry", move |tx| match one_version(tx, &key, secret, version)? {
                Some((row, _)) => ends::expiry(tx, &key, &row),
                None => Ok(Expiry::Unverified),
            })
            .await
    }

    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>> {
        let key = self.key();
        self.sql.read("secret_to_settle", move |tx| secret_state(tx, &key, secret)).await
    }

    async fn begin(&self, permit: &Permit<Write>, version: NewVersion) -> Acted<BeginOutcome> {
        let basis = basis_for(permit, &Scope::Path(version.row.environment, version.path.clone()))?;
        let key = self.key();
        self.write_as("begin", basis, move |tx| begin(tx, &key, &version)).await
    }

    async fn begin_rollback(&self, permit: &Permit<Write>, rollback: NewRollback) -> Acted<RollbackOutcome> {
        let basis = basis_for(permit, &Scope::Secret(rollback.secret))?;
        let key = self.key();
        self.write_as("begin_rollback", basis, move |tx| begin_rollback(tx, &key, &rollback)).await
    }

    async fn commit(
        &self,
        secret: SecretId,
        version: Version,
        token: Option<(Permit<Read>, NewToken)>,
    ) -> Acted<CommitOutcome> {
        let with_basis = |(permit, token)| basis_for(&permit, &Scope::Secret(secret)).map(|basis| (basis, token));
        let token: Option<(Basis, NewToken)> = token.map(with_basis).transpose()?;
        let key = self.key();
        self.sql
            .write("commit", move |tx| commit(tx, &key, (secret, version), token.as_ref(), SystemClock.now()))
            .await?
    }

    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()> {
        let key = self.key();
        self.sql.write("abandon", move |tx| set_state(tx, &key, (secret, version), "abandoned").map(|_turned| ())).await
    }

    async fn pending(&self, limit: usize) -> Stored<Vec<VersionRow>> {
        self.sql
            .read("pending", move |tx| {
                tx.all(
                    "SELECT v.secret_id, s.environment_id, v.version, v.state, v.envelope, e.epoch, e.digest
                     FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
                     JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
                     WHERE v.state = 'pending' ORDER BY v.created_at, v.secret_id, v.version LIMIT ?1",
                    &[&row_limit(limit)],
                    version_row,
                )
            })
            .await
    }

    async fn idempotent(
        &self,
        permit: &Permit<AnyAction>,
        subject: Subject,
        key: String,
        now: u64,
    ) -> Acted<Option<(SecretId, Version)>> {
        // The key is the caller's own, wherever he wrote with it.
        let basis = basis_for(permit, permit.scope())?;
        let row_key = self.key();
        self.read_as("idempotent", basis, move |tx| idempotent(tx, &row_key, (&subject.to_string(), &key), now)).await
    }
}

pub(super) fn begin(tx: &mut Tx<'_>, key: &RowKey, new: &NewVersion) -> Result<BeginOutcome, SqlError> {
    let row = &new.row;
    if let Some(signing_key) = &new.signing_key
        && is_revoked(tx, signing_key)?
    {
        return Ok(BeginOutcome::SigningKeyRevoked);
    }
    if let Err(closed) = open_for_use(tx, key, row.environment)? {
        return Ok(BeginOutcome::Closed(closed));
    }
    let mut current = None;
    match places::secret_at(tx, key, row.environment, &new.path)? {
        At::Secret(secret) if secret == row.secret => {
            if places::placed(tx, key, secret)?.is_some_and(|found| found.rules.deletion.is_some()) {
                return Ok(BeginOutcome::Deleted);
            }
            current = current_version(tx, secret)?;
            // Whoever wants to be the first is not, while another one is on his way.
            if new.if_version == Some(IfVersion::Absent) && is_being_written(tx, secret)? {
                return Ok(BeginOutcome::OtherVersion);
            }
        }
        // Somebody else may have made the path, under another id.
        At::Secret(_) => return Ok(BeginOutcome::Taken),
        At::Unfit => return Ok(BeginOutcome::Unverified),
        At::Nothing if places::number_of(tx, row.secret)?.is_some() => return Ok(BeginOutcome::Unverified),
        At::Nothing if places::has_other_reading(tx, key, row.environment, &new.path, row.secret)? => {
            return Ok(BeginOutcome::OtherReading);
        }
        At::Nothing => {
            places::insert(tx, key, (row.secret, row.environment), (&new.path, &new.rules), (0, new.now))?;
            details::write(tx, key, row.secret, &new.details)?;
            index::enter(tx, key, entry(new))?;
        }
    }
    if new.if_version.is_some_and(|wanted| !wanted.holds(current)) {
        return Ok(BeginOutcome::OtherVersion);
    }
    if is_taken(tx, row.secret, row.version)? {
        return Ok(BeginOutcome::Taken);
    }
    if let Some(rotation) = &new.rotation
        && !secret_rotation::start(tx, key, (row.secret, row.version), (rotation, current), new.now)?
    {
        return Ok(BeginOutcome::Rotating);
    }
    tx.execute(
        "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest) VALUES (?1, ?2, 'pending', ?3, ?4)",
        &[&row.secret.as_bytes(), &row.version.get(), &row.epoch, &row.digest.0],
    )?;
    insert_pending(tx, key, row, &new.about, new.now)?;
    let pointer = (row.secret, row.version, row.envelope);
    targets::record(tx, key, pointer, (&new.about.targets, None), new.now)?;
    if let Some(asked) = &new.idempotency {
        remember(tx, key, asked, row, new.now)?;
    }
    let subject = match &new.subject {
        TokenSubject::Subject(subject) => *subject,
        TokenSubject::Label(label) => subject_for(tx, key, label)?,
    };
    Ok(BeginOutcome::Pending(subject))
}

fn entry(new: &NewVersion) -> index::Entry<'_> {
    let (secret, environment, path) = (new.row.secret, new.row.environment, new.path.as_str());
    let (rules, details) = (&new.rules, &new.details);
    index::Entry { secret, environment, path, rules, details, created_at: new.now, updated_at: new.now }
}

/// Makes the next number point to the envelope of a committed version.
fn begin_rollback(tx: &mut Tx<'_>, key: &RowKey, new: &NewRollback) -> Result<RollbackOutcome, SqlError> {
    let target = one_version(tx, key, new.secret, new.target)?;
    let Some((target, placed)) = target.filter(|(row, _)| row.state == CatalogueState::Committed) else {
        return Ok(RollbackOutcome::NotFound);
    };
    if placed.rules.deletion.is_some() {
        return Ok(RollbackOutcome::Deleted);
    }
    if let Err(closed) = open_for_use(tx, key, target.environment)? {
        return Ok(RollbackOutcome::Closed(closed));
    }
    let current = current_version(tx, new.secret)?;
    if new.if_version.is_some_and(|wanted| !wanted.holds(current)) {
        return Ok(RollbackOutcome::OtherVersion);
    }
    if is_taken(tx, new.secret, new.version)? {
        return Ok(RollbackOutcome::Taken);
    }
    let row = VersionRow { version: new.version, state: CatalogueState::Pending, ..target };
    let of_target = match ends::expiry(tx, key, &target)? {
        Expiry::Known(end) => end,
        Expiry::Unverified => Some(new.now),
    };
    let of_target = of_target.filter(|_| new.ends_with_target);
    let expires_at = new.about.expires_at.into_iter().chain(of_target).min();
    let account = secret_rotation::account_of(tx, new.secret, Some(new.target))?;
    insert_pending(tx, key, &row, &AboutVersion { expires_at, account, ..new.about.clone() }, new.now)?;
    // What the author of the old version could read, and the one who goes back to it may read, too.
    let recorded = targets::of(tx, key, new.secret, new.target)?;
    let pointer = (row.secret, row.version, row.envelope);
    targets::record(tx, key, pointer, (&new.about.targets, Some(&recorded)), new.now)?;
    if let Some(asked) = &new.idempotency {
        remember(tx, key, asked, &row, new.now)?;
    }
    Ok(RollbackOutcome::Pending(row))
}

fn is_taken(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<bool, SqlError> {
    tx.exists("SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2", &[&secret.as_bytes(), &version.get()])
}

fn is_being_written(tx: &mut Tx<'_>, secret: SecretId) -> Result<bool, SqlError> {
    tx.exists("SELECT 1 FROM versions WHERE secret_id = ?1 AND state = 'pending'", &[&secret.as_bytes()])
}

fn current_version(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<Version>, SqlError> {
    let sql = "SELECT current_version FROM secrets WHERE secret_id = ?1";
    Ok(tx.optional(sql, &[&secret.as_bytes()], |row| optional_version(row, 0))?.flatten())
}

fn insert_pending(
    tx: &mut Tx<'_>,
    key: &RowKey,
    row: &VersionRow,
    about: &AboutVersion,
    now: u64,
) -> Result<(), SqlError> {
    let AboutVersion { note, author, expires_at, is_pending, account, targets: _ } = about;
    let tagged = Tagged {
        note: note.as_ref().map_or_else(String::new, |note| note.as_str().to_owned()),
        author: author.map(|author| author.to_string()),
        expires_at: *expires_at,
        created_at: now,
        tag: None,
    };
    let tag = tagged.new_tag(key, (row.secret, row.version, row.envelope));
    let stage = if *is_pending { "pending" } else { "current" };
    tx.execute(
        "INSERT INTO versions
             (secret_id, version, envelope, state, stage, note, author, expires_at, tag, created_at, account)
         VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        &[
            &row.secret.as_bytes(),
            &row.version.get(),
            &row.envelope.get(),
            &stage,
            &tagged.note,
            &tagged.author,
            &tagged.expires_at,
            &tag,
            &tagged.created_at,
            &account.as_ref().map_or("", UserLabel::as_str),
        ],
    )
    .map(|_rows| ())
}

fn remember(
    tx: &mut Tx<'_>,
    row_key: &RowKey,
    (subject, key): &(Subject, String),
    row: &VersionRow,
    now: u64,
) -> Result<(), SqlError> {
    let subject = subject.to_string();
    let tag = repeat_tag(row_key, (&subject, key), row.secret, row.version);
    tx.execute(
        "INSERT INTO idempotency (subject, key, secret_id, version, tag, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (subject, key) DO UPDATE SET secret_id = excluded.secret_id, version = excluded.version,
             tag = excluded.tag, created_at = excluded.created_at",
        &[&subject, key, &row.secret.as_bytes(), &row.version.get(), &tag, &now],
    )
    .map(|_rows| ())
}

/// The version that a key stands for. A row that the manager did not write stands for none, as one that was removed.
fn idempotent(
    tx: &mut Tx<'_>,
    row_key: &RowKey,
    (subject, key): (&str, &String),
    now: u64,
) -> Result<Option<(SecretId, Version)>, SqlError> {
    let found = tx.optional(
        "SELECT secret_id, version, tag FROM idempotency WHERE subject = ?1 AND key = ?2 AND created_at > ?3",
        &[&subject, key, &now.saturating_sub(KEPT_SECONDS)],
        |row| Ok((SecretId::from_bytes(row.get(0)?), version(row, 1)?, row.get::<Option<RowTag>>(2)?)),
    )?;
    let Some((secret, version, tag)) = found else { return Ok(None) };
    let number = version.get().to_be_bytes();
    let parts = [subject.as_bytes(), key.as_bytes(), secret.as_bytes(), &number];
    Ok(row_key.fits(RowKind::Repeat, subject, &parts, tag.as_ref()).then_some((secret, version)))
}

fn repeat_tag(row_key: &RowKey, (subject, key): (&str, &str), secret: SecretId, version: Version) -> RowTag {
    let number = version.get().to_be_bytes();
    row_key.tag(RowKind::Repeat, &[subject.as_bytes(), key.as_bytes(), secret.as_bytes(), &number])
}

/// Tags rows from before they had tags, up to a limit, and returns how many.
pub(super) fn tag_repeats(tx: &mut Tx<'_>, row_key: &RowKey, limit: usize) -> Result<usize, SqlError> {
    let rows: Vec<(String, String, SecretId, Version)> = tx.all(
        "SELECT subject, key, secret_id, version FROM idempotency WHERE tag IS NULL LIMIT ?1",
        &[&row_limit(limit)],
        |row| Ok((row.get(0)?, row.get(1)?, SecretId::from_bytes(row.get(2)?), version(row, 3)?)),
    )?;
    for (subject, key, secret, version) in &rows {
        let tag = repeat_tag(row_key, (subject, key), *secret, *version);
        tx.execute("UPDATE idempotency SET tag = ?3 WHERE subject = ?1 AND key = ?2", &[subject, key, &tag])?;
    }
    Ok(rows.len())
}

fn commit(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version): (SecretId, Version),
    token: Option<&(Basis, NewToken)>,
    now: u64,
) -> Result<Acted<CommitOutcome>, SqlError> {
    let mut row_of_token = None;
    if let Some((basis, token)) = token {
        let row = one_version(tx, key, secret, version)?.map(|(row, _)| row);
        let fits = row.is_some_and(|row| {
            (&token.grants, &token.versions) == (&grants_of(&[row]), &vec![version])
                && (token.environment, token.credential) == (row.environment, basis.credential())
        });
        if !fits {
            return Ok(Err(ActError::OutsidePermit));
        }
        row_of_token = row;
    }
    let turned = set_state(tx, key, (secret, version), "committed")?;
    let committed = turned || has_state(tx, secret, version, "committed")?;
    Ok(Ok(match token {
        _ if !committed => CommitOutcome::No,
        None => CommitOutcome::Yes { rseq: newest_event(tx)?.0, expires_at: None },
        Some((basis, token)) => {
            let row = row_of_token.ok_or_else(SqlError::unreadable)?;
            insert_for_commit(tx, key, (*basis, row), token, now)?
        }
    }))
}

/// Only a pending version turns, with its own envelope; says whether it did.
fn set_state(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version): (SecretId, Version),
    state: &str,
) -> Result<bool, SqlError> {
    let turned = tx.execute(
        "UPDATE versions SET state = ?3 WHERE secret_id = ?1 AND version = ?2 AND state = 'pending'",
        &[&secret.as_bytes(), &version.get(), &state],
    )?;
    tx.execute(
        "UPDATE envelopes SET state = ?3 WHERE secret_id = ?1 AND envelope = ?2 AND state = 'pending'",
        &[&secret.as_bytes(), &version.get(), &state],
    )?;
    if turned > 0 && state == "committed" {
        stages::advance(tx, secret, version)?;
        due::refresh(tx, key, secret)?;
    }
    if turned > 0 {
        secret_rotation::settled(tx, key, (secret, version), state == "committed")?;
    }
    Ok(turned > 0)
}

fn has_state(tx: &mut Tx<'_>, secret: SecretId, version: Version, state: &str) -> Result<bool, SqlError> {
    tx.exists(
        "SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = ?3",
        &[&secret.as_bytes(), &version.get(), &state],
    )
}

/// Rows that are not the manager's are left out, and count for the limit: nobody is told of them.
fn facts_below(
    tx: &mut Tx<'_>,
    key: &RowKey,
    environment: EnvironmentId,
    folder: Option<&SecretPath>,
    limit: usize,
) -> Result<Vec<SecretFacts>, SqlError> {
    let read = |row: &Row<'_>| UnverifiedPlace::read(row, SecretId::from_bytes(row.get(0)?), 1);
    let found = if let Some(folder) = folder {
        // What is below `a` is from `a/` to before `a0`, because the byte after `/` is `0`.
        let (from, to) = (format!("{folder}/"), format!("{folder}0"));
        let sql = "SELECT secret_id, environment_id, path, number, since, rules, tag FROM secrets
            WHERE environment_id = ?1 AND path >= ?2 AND path < ?3 ORDER BY path LIMIT ?4";
        tx.all(sql, &[&environment.as_bytes(), &from, &to, &row_limit(limit)], read)?
    } else {
        let sql = "SELECT secret_id, environment_id, path, number, since, rules, tag FROM secrets
            WHERE environment_id = ?1 ORDER BY path LIMIT ?2";
        tx.all(sql, &[&environment.as_bytes(), &row_limit(limit)], read)?
    };
    let mut facts = Vec::with_capacity(found.len());
    for place in found {
        facts.extend(place.verify(tx, key)?.map(|placed| placed.facts));
    }
    Ok(facts)
}
