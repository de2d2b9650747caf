//! Secrets and versions.

use async_trait::async_trait;
use manager_api::name::SecretPath;
use manager_api::tags::Tags;
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Basis, Permit, Read, Scope, SecretFacts, Visible, Write};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};

use super::SqlStore;
use super::environments::open_for_use;
use super::events::is_revoked;
use super::identity::subject_for;
use super::rows::{newest_committed, newest_event, one_version, path, secret_state, state, version, version_row};
use super::tokens::insert_for_commit;
use crate::{
    ActError, Acted, BeginOutcome, CatalogueStore, CommitOutcome, FactStore, KEPT_SECONDS, ListedVersion, NewRollback,
    NewToken, NewVersion, RollbackOutcome, SecretRow, SecretState, Stored, VersionRow, basis_for, grants_of,
};

#[async_trait]
impl FactStore for SqlStore {
    async fn secret_facts(&self, secrets: Vec<SecretId>) -> Stored<Vec<Option<SecretFacts>>> {
        self.sql.read("secret_facts", move |tx| secrets.iter().map(|secret| secret_facts(tx, *secret)).collect()).await
    }

    async fn facts_at(&self, places: Vec<(EnvironmentId, SecretPath)>) -> Stored<Vec<Option<SecretFacts>>> {
        self.sql
            .read("facts_at", move |tx| {
                let at = |(environment, path): &(EnvironmentId, SecretPath)| match secret_id_at(tx, *environment, path)?
                {
                    Some(secret) => secret_facts(tx, secret),
                    None => Ok(None),
                };
                places.iter().map(at).collect()
            })
            .await
    }

    async fn facts_below(
        &self,
        environment: EnvironmentId,
        folder: Option<SecretPath>,
        limit: usize,
    ) -> Stored<Vec<SecretFacts>> {
        self.sql.read("facts_below", move |tx| facts_below(tx, environment, folder.as_ref(), limit)).await
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
        self.read_as("secret_at", basis, move |tx| match secret_id_at(tx, environment, &path)? {
            Some(secret) => secret_state(tx, secret),
            None => Ok(None),
        })
        .await
    }

    async fn secret(&self, permit: &Permit<AnyAction>, secret: SecretId) -> Acted<Option<SecretState>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        self.read_as("secret", basis, move |tx| secret_state(tx, secret)).await
    }

    async fn version(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        version: Version,
    ) -> Acted<Option<VersionRow>> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        self.read_as("version", basis, move |tx| one_version(tx, secret, version)).await
    }

    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>> {
        self.sql.read("secret_to_settle", move |tx| secret_state(tx, secret)).await
    }

    async fn begin(&self, permit: &Permit<Write>, version: NewVersion) -> Acted<BeginOutcome> {
        let basis = basis_for(permit, &Scope::Path(version.row.environment, version.path.clone()))?;
        self.write_as("begin", basis, move |tx| begin(tx, &version)).await
    }

    async fn begin_rollback(&self, permit: &Permit<Write>, rollback: NewRollback) -> Acted<RollbackOutcome> {
        let basis = basis_for(permit, &Scope::Secret(rollback.secret))?;
        self.write_as("begin_rollback", basis, move |tx| begin_rollback(tx, &rollback)).await
    }

    async fn commit(
        &self,
        secret: SecretId,
        version: Version,
        token: Option<(Permit<Read>, NewToken)>,
    ) -> Acted<CommitOutcome> {
        let with_basis = |(permit, token)| basis_for(&permit, &Scope::Secret(secret)).map(|basis| (basis, token));
        let token: Option<(Basis, NewToken)> = token.map(with_basis).transpose()?;
        self.sql.write("commit", move |tx| commit(tx, (secret, version), token.as_ref(), SystemClock.now())).await?
    }

    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()> {
        self.sql.write("abandon", move |tx| set_state(tx, secret, version, "abandoned").map(|_turned| ())).await
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

    async fn secrets(
        &self,
        visible: &Visible,
        environment: Option<EnvironmentId>,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<Vec<SecretRow>> {
        let visible = visible.clone();
        self.read_as("secrets", visible.basis(), move |tx| secrets(tx, &visible, environment, after, limit)).await
    }

    async fn idempotent(
        &self,
        permit: &Permit<Write>,
        subject: Subject,
        key: String,
        now: u64,
    ) -> Acted<Option<(SecretId, Version)>> {
        // The key is the caller's own, wherever he wrote with it.
        let basis = basis_for(permit, permit.scope())?;
        self.read_as("idempotent", basis, move |tx| {
            tx.optional(
                "SELECT secret_id, version FROM idempotency WHERE subject = ?1 AND key = ?2 AND created_at > ?3",
                &[&subject.to_string(), &key, &now.saturating_sub(KEPT_SECONDS)],
                |row| Ok((SecretId::from_bytes(row.get(0)?), version(row, 1)?)),
            )
        })
        .await
    }
}

fn begin(tx: &mut Tx<'_>, new: &NewVersion) -> Result<BeginOutcome, SqlError> {
    let row = &new.row;
    if let Some(signing_key) = &new.signing_key
        && is_revoked(tx, signing_key)?
    {
        return Ok(BeginOutcome::SigningKeyRevoked);
    }
    if let Err(closed) = open_for_use(tx, row.environment)? {
        return Ok(BeginOutcome::Closed(closed));
    }
    insert_secret(tx, (row.secret, row.environment), &new.path, new.now)?;
    // Somebody else may have made the path, under another id.
    if secret_id_at(tx, row.environment, &new.path)? != Some(row.secret) {
        return Ok(BeginOutcome::Taken);
    }
    if is_taken(tx, row.secret, row.version)? {
        return Ok(BeginOutcome::Taken);
    }
    tx.execute(
        "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest) VALUES (?1, ?2, 'pending', ?3, ?4)",
        &[&row.secret.as_bytes(), &row.version.get(), &row.epoch, &row.digest.0],
    )?;
    insert_pending(tx, row, new.now)?;
    if let Some(key) = &new.idempotency {
        remember(tx, key, row, new.now)?;
    }
    Ok(BeginOutcome::Pending(subject_for(tx, &new.label.0, new.label.1)?))
}

/// Makes the next number point to the envelope of a committed version.
fn begin_rollback(tx: &mut Tx<'_>, new: &NewRollback) -> Result<RollbackOutcome, SqlError> {
    let target = one_version(tx, new.secret, new.target)?.filter(|row| row.state == CatalogueState::Committed);
    let Some(target) = target else { return Ok(RollbackOutcome::NotFound) };
    if let Err(closed) = open_for_use(tx, target.environment)? {
        return Ok(RollbackOutcome::Closed(closed));
    }
    if new.if_version.is_some() && newest_committed(tx, new.secret)?.map(|row| row.version) != new.if_version {
        return Ok(RollbackOutcome::OtherVersion);
    }
    if is_taken(tx, new.secret, new.version)? {
        return Ok(RollbackOutcome::Taken);
    }
    let row = VersionRow { version: new.version, state: CatalogueState::Pending, ..target };
    insert_pending(tx, &row, new.now)?;
    if let Some(key) = &new.idempotency {
        remember(tx, key, &row, new.now)?;
    }
    Ok(RollbackOutcome::Pending(row))
}

fn is_taken(tx: &mut Tx<'_>, secret: SecretId, version: Version) -> Result<bool, SqlError> {
    tx.exists("SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2", &[&secret.as_bytes(), &version.get()])
}

fn insert_pending(tx: &mut Tx<'_>, row: &VersionRow, now: u64) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO versions (secret_id, version, envelope, state, created_at) VALUES (?1, ?2, ?3, 'pending', ?4)",
        &[&row.secret.as_bytes(), &row.version.get(), &row.envelope.get(), &now],
    )
    .map(|_rows| ())
}

fn remember(tx: &mut Tx<'_>, (subject, key): &(Subject, String), row: &VersionRow, now: u64) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO idempotency (subject, key, secret_id, version, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (subject, key) DO UPDATE
         SET secret_id = excluded.secret_id, version = excluded.version, created_at = excluded.created_at",
        &[&subject.to_string(), key, &row.secret.as_bytes(), &row.version.get(), &now],
    )
    .map(|_rows| ())
}

fn commit(
    tx: &mut Tx<'_>,
    (secret, version): (SecretId, Version),
    token: Option<&(Basis, NewToken)>,
    now: u64,
) -> Result<Acted<CommitOutcome>, SqlError> {
    if let Some((basis, token)) = token {
        let row = one_version(tx, secret, version)?;
        let fits = row.is_some_and(|row| {
            (&token.grants, &token.versions) == (&grants_of(&[row]), &vec![version])
                && (token.environment, token.credential) == (row.environment, basis.credential())
        });
        if !fits {
            return Ok(Err(ActError::OutsidePermit));
        }
    }
    let turned = set_state(tx, secret, version, "committed")?;
    let committed = turned || has_state(tx, secret, version, "committed")?;
    Ok(Ok(match token {
        _ if !committed => CommitOutcome::No,
        None => CommitOutcome::Yes { rseq: newest_event(tx)?.0, expires_at: None },
        Some((basis, token)) => insert_for_commit(tx, *basis, token, now)?,
    }))
}

/// A secret whose id or path exists stays as it is.
pub(super) fn insert_secret(
    tx: &mut Tx<'_>,
    (secret, environment): (SecretId, EnvironmentId),
    path: &SecretPath,
    now: u64,
) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO secrets (secret_id, environment_id, path, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
        &[&secret.as_bytes(), &environment.as_bytes(), &path.as_str(), &now],
    )
    .map(|_rows| ())
}

fn secret_id_at(tx: &mut Tx<'_>, environment: EnvironmentId, path: &SecretPath) -> Result<Option<SecretId>, SqlError> {
    tx.optional(
        "SELECT secret_id FROM secrets WHERE environment_id = ?1 AND path = ?2",
        &[&environment.as_bytes(), &path.as_str()],
        |row| row.get(0).map(SecretId::from_bytes),
    )
}

/// Only a pending version turns, with its own envelope; says whether it did.
fn set_state(tx: &mut Tx<'_>, secret: SecretId, version: Version, state: &str) -> Result<bool, SqlError> {
    let turned = tx.execute(
        "UPDATE versions SET state = ?3 WHERE secret_id = ?1 AND version = ?2 AND state = 'pending'",
        &[&secret.as_bytes(), &version.get(), &state],
    )?;
    tx.execute(
        "UPDATE envelopes SET state = ?3 WHERE secret_id = ?1 AND envelope = ?2 AND state = 'pending'",
        &[&secret.as_bytes(), &version.get(), &state],
    )?;
    Ok(turned > 0)
}

fn has_state(tx: &mut Tx<'_>, secret: SecretId, version: Version, state: &str) -> Result<bool, SqlError> {
    tx.exists(
        "SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = ?3",
        &[&secret.as_bytes(), &version.get(), &state],
    )
}

fn secret_facts(tx: &mut Tx<'_>, secret: SecretId) -> Result<Option<SecretFacts>, SqlError> {
    let sql = "SELECT environment_id, path FROM secrets WHERE secret_id = ?1";
    tx.optional(sql, &[&secret.as_bytes()], |row| {
        let (environment, path) = (EnvironmentId::from_bytes(row.get(0)?), path(row, 1)?);
        Ok(SecretFacts { id: secret, environment, path, tags: Tags::default(), service_only: false })
    })
}

fn facts_below(
    tx: &mut Tx<'_>,
    environment: EnvironmentId,
    folder: Option<&SecretPath>,
    limit: usize,
) -> Result<Vec<SecretFacts>, SqlError> {
    let facts = |row: &Row<'_>| {
        let (id, path) = (SecretId::from_bytes(row.get(0)?), path(row, 1)?);
        Ok(SecretFacts { id, environment, path, tags: Tags::default(), service_only: false })
    };
    let Some(folder) = folder else {
        let sql = "SELECT secret_id, path FROM secrets WHERE environment_id = ?1 ORDER BY path LIMIT ?2";
        return tx.all(sql, &[&environment.as_bytes(), &row_limit(limit)], facts);
    };
    // What is below `a` is from `a/` to before `a0`, because the byte after `/` is `0`.
    let (from, to) = (format!("{folder}/"), format!("{folder}0"));
    let sql = "SELECT secret_id, path FROM secrets WHERE environment_id = ?1 AND path >= ?2 AND path < ?3 ORDER BY path LIMIT ?4";
    tx.all(sql, &[&environment.as_bytes(), &from, &to, &row_limit(limit)], facts)
}

/// A version of the list, with the id of its environment and its path.
type Line = (SecretId, ListedVersion, EnvironmentId, SecretPath);

fn secrets(
    tx: &mut Tx<'_>,
    visible: &Visible,
    environment: Option<EnvironmentId>,
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> Result<Vec<SecretRow>, SqlError> {
    let (secret, number) = after.map_or(([0; 16], 0), |(secret, version)| (*secret.as_bytes(), version.get()));
    // SQLite keeps the order of a cross join, which is the order of the page: nothing is sorted, so that no more rows
    // are read than are shown.
    let lines = match environment {
        None => tx.all(
            "SELECT v.secret_id, v.version, v.envelope, v.state, v.created_at, s.environment_id, s.path
             FROM versions v CROSS JOIN secrets s
             WHERE s.secret_id = v.secret_id AND (v.secret_id, v.version) > (?1, ?2)
             ORDER BY v.secret_id, v.version LIMIT ?3",
            &[&secret, &number, &row_limit(limit)],
            line,
        ),
        Some(environment) => tx.all(
            "SELECT v.secret_id, v.version, v.envelope, v.state, v.created_at, s.environment_id, s.path
             FROM versions v CROSS JOIN secrets s
             WHERE s.secret_id = v.secret_id AND (v.secret_id, v.version) > (?1, ?2) AND s.environment_id = ?4
             ORDER BY v.secret_id, v.version LIMIT ?3",
            &[&secret, &number, &row_limit(limit), &environment.as_bytes()],
            line,
        ),
    }?;
    let mut rows: Vec<SecretRow> = Vec::new();
    // No secret has tags yet.
    let shown = |line: &Line| visible.shows_secret(line.2, &line.3, &Tags::default());
    for (secret, found, environment, path) in lines.into_iter().filter(shown) {
        match rows.last_mut().filter(|row| row.secret == secret) {
            Some(row) => row.versions.push(found),
            None => rows.push(SecretRow { secret, environment, path, versions: vec![found] }),
        }
    }
    Ok(rows)
}

fn line(row: &Row<'_>) -> Result<Line, SqlError> {
    let found = ListedVersion {
        version: version(row, 1)?,
        envelope: version(row, 2)?,
        state: state(row, 3)?,
        created_at: row.get(4)?,
    };
    Ok((SecretId::from_bytes(row.get(0)?), found, EnvironmentId::from_bytes(row.get(5)?), path(row, 6)?))
}
