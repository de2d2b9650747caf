//! Secrets and versions.

use async_trait::async_trait;
use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use rusqlite::{Connection, OptionalExtension, params};
use service_runtime::sql::{self, Tx, row_limit};
use shared_proto::id::{EnvironmentId, SecretId, Subject, Version};
use shared_proto::receipt::ReceiptFacts;

use super::SqliteStore;
use super::identity::subject_for;
use super::rows::{
    integer, newest_event, one_version, path, secret_state, state, state_word, unsigned, version, version_line,
};
use super::tokens::{insert_for_commit, is_revoked};
use crate::idempotency::KEPT_SECONDS;
use crate::store::{
    Acted, Actor, BeginOutcome, CatalogueStore, CommitOutcome, NewToken, NewVersion, SecretRow, SecretState, Stored,
    VersionRow,
};

#[async_trait]
impl CatalogueStore for SqliteStore {
    async fn secret_at(
        &self,
        actor: Actor,
        environment: EnvironmentId,
        path: SecretPath,
    ) -> Acted<Option<SecretState>> {
        self.read_for(actor, move |conn| match secret_id_at(conn, environment, &path)? {
            Some(secret) => secret_state(conn, secret),
            None => Ok(None),
        })
        .await
    }

    async fn secret(&self, actor: Actor, secret: SecretId) -> Acted<Option<SecretState>> {
        self.read_for(actor, move |conn| secret_state(conn, secret)).await
    }

    async fn version(&self, actor: Actor, secret: SecretId, version: Version) -> Acted<Option<VersionRow>> {
        self.read_for(actor, move |conn| Ok(one_version(&mut Tx::on(conn), secret, version)?)).await
    }

    async fn secret_to_settle(&self, secret: SecretId) -> Stored<Option<SecretState>> {
        self.readers.read(move |conn| secret_state(conn, secret)).await
    }

    async fn begin(&self, actor: Actor, version: NewVersion) -> Acted<BeginOutcome> {
        self.write_for(actor, move |conn| begin(conn, &version)).await
    }

    async fn commit(&self, secret: SecretId, version: Version, token: Option<NewToken>) -> Stored<CommitOutcome> {
        self.writer
            .run(move |conn| {
                let turned = set_state(conn, secret, version, "committed")?;
                let committed = turned || has_state(conn, secret, version, "committed")?;
                match token {
                    _ if !committed => Ok(CommitOutcome::No),
                    None => Ok(CommitOutcome::Yes { rseq: newest_event(&mut Tx::on(conn))?.0 }),
                    Some(token) => Ok(insert_for_commit(&mut Tx::on(conn), &token)?),
                }
            })
            .await
    }

    async fn abandon(&self, secret: SecretId, version: Version) -> Stored<()> {
        self.writer.run(move |conn| set_state(conn, secret, version, "abandoned").map(|_turned| ())).await
    }

    async fn pending(&self, limit: usize) -> Stored<Vec<VersionRow>> {
        self.readers
            .read(move |conn| {
                conn.prepare_cached(
                    "SELECT v.secret_id, s.environment_id, v.version, v.state, v.epoch, v.digest
                     FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
                     WHERE v.state = 'pending' ORDER BY v.created_at LIMIT ?1",
                )?
                .query_map([row_limit(limit)], version_line)?
                .collect()
            })
            .await
    }

    async fn secrets(
        &self,
        actor: Actor,
        environment: Option<EnvironmentId>,
        after: Option<(SecretId, Version)>,
        limit: usize,
    ) -> Acted<Vec<SecretRow>> {
        self.read_for(actor, move |conn| secrets(conn, environment, after, limit)).await
    }

    async fn missing(&self, actor: Actor, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>> {
        self.read_for(actor, move |conn| missing(conn, facts)).await
    }

    async fn adopt(&self, actor: Actor, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64> {
        self.write_for(actor, move |conn| adopt(conn, &facts, now)).await
    }

    async fn idempotent(
        &self,
        actor: Actor,
        subject: Subject,
        key: String,
        now: u64,
    ) -> Acted<Option<(SecretId, Version)>> {
        self.read_for(actor, move |conn| {
            conn.prepare_cached(
                "SELECT secret_id, version FROM idempotency WHERE subject = ?1 AND key = ?2 AND created_at > ?3",
            )?
            .query_row(params![subject.to_string(), key, integer(now.saturating_sub(KEPT_SECONDS))?], |row| {
                Ok((SecretId::from_bytes(row.get(0)?), version(row, 1)?))
            })
            .optional()
        })
        .await
    }
}

fn begin(conn: &Connection, new: &NewVersion) -> rusqlite::Result<BeginOutcome> {
    let row = &new.row;
    if let Some(signing_key) = &new.signing_key
        && is_revoked(&mut Tx::on(conn), signing_key)?
    {
        return Ok(BeginOutcome::SigningKeyRevoked);
    }
    conn.prepare_cached(
        "INSERT INTO secrets (secret_id, environment_id, path, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![row.secret.as_bytes(), row.environment.as_bytes(), new.path.as_str(), integer(new.now)?])?;
    // Somebody else may have made the path, under another id.
    if secret_id_at(conn, row.environment, &new.path)? != Some(row.secret) {
        return Ok(BeginOutcome::Taken);
    }
    let inserted = conn
        .prepare_cached(
            "INSERT INTO versions (secret_id, version, state, epoch, digest, created_at)
             VALUES (?1, ?2, 'pending', ?3, ?4, ?5) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            row.secret.as_bytes(),
            integer(row.version.get())?,
            i64::from(row.epoch),
            row.digest.0,
            integer(new.now)?
        ])?;
    if inserted == 0 {
        return Ok(BeginOutcome::Taken);
    }
    if let Some((subject, key)) = &new.idempotency {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO idempotency (subject, key, secret_id, version, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            subject.to_string(),
            key,
            row.secret.as_bytes(),
            integer(row.version.get())?,
            integer(new.now)?
        ])?;
    }
    Ok(BeginOutcome::Pending(subject_for(&mut Tx::on(conn), &new.label.0, new.label.1)?))
}

fn missing(conn: &Connection, facts: Vec<ReceiptFacts>) -> rusqlite::Result<Vec<ReceiptFacts>> {
    let mut missing = Vec::new();
    for fact in facts {
        let row = one_version(&mut Tx::on(conn), fact.secret, fact.version)?;
        let lacking = match row.map(|row| (row.state, row.digest == fact.digest)) {
            None | Some((CatalogueState::Abandoned, false)) => true,
            Some((
                CatalogueState::Pending
                | CatalogueState::Committed
                | CatalogueState::Destroyed
                | CatalogueState::Abandoned,
                _,
            )) => false,
        };
        if lacking {
            missing.push(fact);
        }
    }
    Ok(missing)
}

fn adopt(conn: &Connection, facts: &[ReceiptFacts], now: u64) -> rusqlite::Result<u64> {
    let mut adopted = 0;
    for fact in facts {
        conn.prepare_cached(
            "INSERT INTO secrets (secret_id, environment_id, path, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            fact.secret.as_bytes(),
            fact.environment.as_bytes(),
            SecretPath::unnamed(fact.secret).as_str(),
            integer(now)?
        ])?;
        let inserted = conn
            .prepare_cached(
                "INSERT INTO versions (secret_id, version, state, epoch, digest, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (secret_id, version) DO UPDATE
                 SET state = excluded.state, epoch = excluded.epoch, digest = excluded.digest
                 WHERE versions.state = 'abandoned' AND versions.digest <> excluded.digest",
            )?
            .execute(params![
                fact.secret.as_bytes(),
                integer(fact.version.get())?,
                state_word(CatalogueState::Committed),
                i64::from(fact.epoch),
                fact.digest.0,
                integer(now)?
            ])?;
        adopted += u64::from(inserted > 0);
    }
    Ok(adopted)
}

fn secret_id_at(
    conn: &Connection,
    environment: EnvironmentId,
    path: &SecretPath,
) -> rusqlite::Result<Option<SecretId>> {
    conn.prepare_cached("SELECT secret_id FROM secrets WHERE environment_id = ?1 AND path = ?2")?
        .query_row(params![environment.as_bytes(), path.as_str()], |row| row.get(0).map(SecretId::from_bytes))
        .optional()
}

/// Only a pending version turns; says whether it did.
fn set_state(conn: &Connection, secret: SecretId, version: Version, state: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("UPDATE versions SET state = ?3 WHERE secret_id = ?1 AND version = ?2 AND state = 'pending'")?
        .execute(params![secret.as_bytes(), integer(version.get())?, state])
        .map(|turned| turned > 0)
}

fn has_state(conn: &Connection, secret: SecretId, version: Version, state: &str) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM versions WHERE secret_id = ?1 AND version = ?2 AND state = ?3")?.exists(params![
        secret.as_bytes(),
        integer(version.get())?,
        state
    ])
}

fn secrets(
    conn: &Connection,
    environment: Option<EnvironmentId>,
    after: Option<(SecretId, Version)>,
    limit: usize,
) -> rusqlite::Result<Vec<SecretRow>> {
    let (secret, number) = after.map_or(([0; 16], 0), |(secret, version)| (*secret.as_bytes(), version.get()));
    // The order of the join is the order of the page: nothing is sorted, so that no more rows are read than are shown.
    let mut statement = conn.prepare_cached(
        "SELECT v.secret_id, v.version, v.state, v.created_at, s.environment_id, s.path
         FROM versions v CROSS JOIN secrets s ON s.secret_id = v.secret_id
         WHERE (v.secret_id, v.version) > (?2, ?3) AND (?1 IS NULL OR s.environment_id = ?1)
         ORDER BY v.secret_id, v.version LIMIT ?4",
    )?;
    let environment = environment.map(|id| *id.as_bytes());
    let mut lines = statement.query(params![environment, secret, integer(number)?, row_limit(limit)])?;
    let mut rows: Vec<SecretRow> = Vec::new();
    while let Some(line) = lines.next()? {
        let secret = SecretId::from_bytes(line.get(0)?);
        let found = (version(line, 1)?, state(&sql::Row::of(line), 2)?, unsigned(line, 3)?);
        match rows.last_mut().filter(|row| row.secret == secret) {
            Some(row) => row.versions.push(found),
            None => rows.push(SecretRow {
                secret,
                environment: EnvironmentId::from_bytes(line.get(4)?),
                path: path(line, 5)?,
                versions: vec![found],
            }),
        }
    }
    Ok(rows)
}
