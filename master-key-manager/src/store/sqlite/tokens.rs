//! Access tokens, stored by their claims.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use service_runtime::sqlite::row_limit;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, TokenId, Version};
use shared_proto::jwk::Thumbprint;

use super::SqliteStore;
use super::credentials::is_enabled;
use super::identity::subject_for;
use super::rows::{grants, grants_text, integer, newest_event, one_version, text, unreadable, unsigned, version_row};
use crate::idempotency::KEPT_SECONDS;
use crate::issuer::grants_of;
use crate::store::{
    Acted, Actor, CommitOutcome, NewToken, Stored, TokenDecision, TokenRequest, TokenRow, TokenStore, TokenSubject,
    VersionRow, event_name,
};

#[async_trait]
impl TokenStore for SqliteStore {
    async fn decide_token(&self, actor: Actor, order: TokenRequest) -> Acted<TokenDecision> {
        self.write_for(actor, move |conn| decide_token(conn, actor, &order)).await
    }

    async fn tokens(&self, actor: Actor, after: Option<TokenId>, limit: usize, now: u64) -> Acted<Vec<TokenRow>> {
        self.read_for(actor, move |conn| {
            conn.prepare_cached(
                "SELECT t.jti, t.subject, t.credential_id, t.environment_id, t.grants, t.issued_at, t.expires_at,
                        (SELECT label FROM subjects s WHERE s.subject = t.subject)
                 FROM tokens t WHERE (?1 IS NULL OR t.jti > ?1) AND t.expires_at > ?2 ORDER BY t.jti LIMIT ?3",
            )?
            .query_map(params![after.map(|id| *id.as_bytes()), integer(now)?, row_limit(limit)], |row| {
                token_row(conn, row)
            })?
            .collect()
        })
        .await
    }

    async fn revoked_signing_keys(&self) -> Stored<Vec<Thumbprint>> {
        self.readers.read(revoked_keys).await
    }

    async fn prune(&self, now: u64, limit: usize) -> Stored<usize> {
        self.writer
            .run(move |conn| {
                let tokens = conn
                    .prepare_cached(
                        "DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE expires_at <= ?1 LIMIT ?2)",
                    )?
                    .execute([integer(now)?, row_limit(limit)])?;
                let keys = conn
                    .prepare_cached(
                        "DELETE FROM idempotency WHERE (subject, key) IN (
                             SELECT subject, key FROM idempotency WHERE created_at <= ?1 LIMIT ?2)",
                    )?
                    .execute([integer(now.saturating_sub(KEPT_SECONDS))?, row_limit(limit.saturating_sub(tokens))])?;
                Ok(tokens + keys)
            })
            .await
    }
}

fn decide_token(conn: &Connection, actor: Actor, order: &TokenRequest) -> rusqlite::Result<TokenDecision> {
    if is_revoked(conn, &order.signing_key)? {
        return Ok(TokenDecision::SigningKeyRevoked);
    }
    let mut versions = Vec::with_capacity(order.grants.len());
    for (secret, version) in &order.grants {
        let Some(row) = committed_version(conn, *secret, *version)? else { return Ok(TokenDecision::NotFound) };
        versions.push(row);
    }
    let Some(environment) = versions.first().map(|row| row.environment) else { return Ok(TokenDecision::NotFound) };
    if versions.iter().any(|row| row.environment != environment) {
        return Ok(TokenDecision::SeveralEnvironments);
    }
    let subject = match &order.subject {
        TokenSubject::Subject(subject) => *subject,
        TokenSubject::Label(label, candidate) => subject_for(conn, label, *candidate)?,
    };
    let token = NewToken {
        jti: order.jti,
        subject,
        credential: actor.credential(),
        environment,
        grants: grants_of(&versions),
        issued_at: order.issued_at,
        expires_at: order.expires_at,
    };
    let (rseq, _hash) = newest_event(conn)?;
    insert(conn, &token, rseq)?;
    Ok(TokenDecision::Recorded { token, versions, rseq })
}

/// Whether this token signing key was revoked.
pub(super) fn is_revoked(conn: &Connection, signing_key: &Thumbprint) -> rusqlite::Result<bool> {
    let revocation = event_name::name_of(&Event::SigningKey(*signing_key));
    conn.prepare_cached("SELECT 1 FROM events WHERE name = ?1")?.exists([revocation])
}

/// The token of a version that is being committed. There is none if its credential was disabled meanwhile, because the
/// token's `rseq` would already cover that revocation.
pub(super) fn insert_for_commit(conn: &Connection, token: &NewToken) -> rusqlite::Result<CommitOutcome> {
    if !is_enabled(conn, token.credential)? {
        return Ok(CommitOutcome::WithoutToken);
    }
    let (rseq, _hash) = newest_event(conn)?;
    insert(conn, token, rseq)?;
    Ok(CommitOutcome::Yes { rseq })
}

fn insert(conn: &Connection, token: &NewToken, rseq: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO tokens (jti, subject, credential_id, environment_id, grants, rseq, issued_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        token.jti.as_bytes(),
        token.subject.to_string(),
        token.credential.as_bytes(),
        token.environment.as_bytes(),
        grants_text(&token.grants)?,
        integer(rseq)?,
        integer(token.issued_at)?,
        integer(token.expires_at)?
    ])
    .map(|_rows| ())
}

pub(super) fn revoked_keys(conn: &Connection) -> rusqlite::Result<Vec<Thumbprint>> {
    // `;` is the character after `:`.
    conn.prepare_cached("SELECT name FROM events WHERE name >= 'signing-key:' AND name < 'signing-key;'")?
        .query_map([], |row| row.get::<_, String>(0))?
        .map(|name| match event_name::event_of(&name?) {
            Ok(Event::SigningKey(kid)) => Ok(kid),
            Ok(_) | Err(_) => Err(unreadable()),
        })
        .collect()
}

fn committed_version(
    conn: &Connection,
    secret: SecretId,
    version: Option<Version>,
) -> rusqlite::Result<Option<VersionRow>> {
    let Some(version) = version else {
        return conn
            .prepare_cached(
                "SELECT v.secret_id, s.environment_id, v.version, v.state, v.epoch, v.digest
                 FROM versions v JOIN secrets s ON s.secret_id = v.secret_id
                 WHERE v.secret_id = ?1 AND v.state = 'committed' ORDER BY v.version DESC LIMIT 1",
            )?
            .query_row([secret.as_bytes()], version_row)
            .optional();
    };
    let row = one_version(conn, secret, version)?;
    Ok(row.filter(|row| row.state == manager_api::wire::CatalogueState::Committed))
}

fn token_row(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let jti = TokenId::from_bytes(row.get(0)?);
    let name = event_name::name_of(&Event::Token(jti));
    let revoked_by = conn
        .prepare_cached("SELECT seq FROM events WHERE name = ?1 ORDER BY seq LIMIT 1")?
        .query_row([&name], |line| unsigned(line, 0))
        .optional()?;
    let revocation_deferred =
        conn.prepare_cached("SELECT 1 FROM pending_revocations WHERE name = ?1")?.exists([&name])?;
    let token = NewToken {
        jti,
        subject: text(row, 1)?,
        credential: CredentialId::from_bytes(row.get(2)?),
        environment: EnvironmentId::from_bytes(row.get(3)?),
        grants: grants(row, 4)?,
        issued_at: unsigned(row, 5)?,
        expires_at: unsigned(row, 6)?,
    };
    Ok(TokenRow { token, label: row.get(7)?, revoked_by, revocation_deferred })
}
