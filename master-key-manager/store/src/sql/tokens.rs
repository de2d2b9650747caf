//! Access tokens, stored by their claims.

use async_trait::async_trait;
use manager_api::read_limit::ReadLimit;
use manager_api::tokens::WantedVersion;
use manager_api::wire::CatalogueState;
use manager_policy::{AnyAction, Basis, Permit, ReadAudit, Scope};
use manager_registry::RowKey;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{Row, SqlError, Tx, row_limit};
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, TokenId};
use shared_proto::token::Grant;

use super::environments::open_for_use;
use super::events::is_revoked;
use super::identity::subject_for;
use super::registry::outdated;
use super::rows::{Placed, newest_event, one_version, staged_version};
use super::{SqlStore, ends, places, token_names};
use crate::{
    ActError, Acted, CommitOutcome, KEPT_SECONDS, NamingTokens, NewToken, OwnToken, PlacedSecret, ReadPermits, Stored,
    TokenDecision, TokenRequest, TokenRow, TokenStore, TokenSubject, VersionRow, Wanted, basis_for, event_name,
    grants_of,
};

#[async_trait]
impl TokenStore for SqlStore {
    async fn decide_token(&self, order: TokenRequest) -> Acted<TokenDecision> {
        let key = self.key();
        self.sql.write("decide_token", move |tx| decide_token(tx, &key, &order, SystemClock.now())).await?
    }

    async fn tokens(
        &self,
        permit: &Permit<ReadAudit>,
        after: Option<TokenId>,
        limit: usize,
        now: u64,
    ) -> Acted<Vec<TokenRow>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("tokens", basis, move |tx| tokens(tx, after, limit, now)).await
    }

    async fn own_tokens(
        &self,
        caller: Basis,
        credentials: Vec<CredentialId>,
        after: Option<TokenId>,
        limit: usize,
        now: u64,
    ) -> Acted<Vec<TokenRow>> {
        self.read_as("own_tokens", caller, move |tx| own_tokens(tx, &credentials, after, limit, now)).await
    }

    async fn own_token(&self, caller: Basis, credentials: Vec<CredentialId>, jti: TokenId) -> Acted<Option<OwnToken>> {
        let found = self.read_as("own_token", caller, move |tx| {
            let sql = "SELECT credential_id FROM tokens WHERE jti = ?1";
            let credential = tx.optional(sql, &[&jti.as_bytes()], |row| row.get(0))?.map(CredentialId::from_bytes);
            Ok(credential.is_some_and(|credential| credentials.contains(&credential)))
        });
        Ok(found.await?.then_some(OwnToken { jti, caller }))
    }

    async fn tokens_naming(
        &self,
        permit: &Permit<AnyAction>,
        secret: SecretId,
        after: Option<TokenId>,
        now: u64,
    ) -> Acted<NamingTokens> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        self.read_as("tokens_naming", basis, move |tx| token_names::naming(tx, secret, after, now)).await
    }

    async fn prune(&self, now: u64, limit: usize) -> Stored<usize> {
        self.sql.write("prune", move |tx| prune(tx, now, limit)).await
    }
}

fn decide_token(
    tx: &mut Tx<'_>,
    key: &RowKey,
    order: &TokenRequest,
    now: u64,
) -> Result<Acted<TokenDecision>, SqlError> {
    let mut versions: Vec<VersionRow> = Vec::with_capacity(order.grants.len());
    let mut limited = Vec::new();
    let mut common: Option<Basis> = None;
    let mut end = order.expires_at;
    for (wanted, version) in &order.grants {
        let Some(secret) = readable(tx, key, wanted, &order.permits)? else { return Ok(Ok(TokenDecision::NotFound)) };
        let found = committed_version(tx, key, secret, *version)?;
        let permitted = found.and_then(|(row, found)| Some((row, order.permits.decide(&found.facts)?, found)));
        // Who may not read it is told what he is told of one that is missing.
        let Some((row, permit, PlacedSecret { facts, rules, .. })) = permitted else {
            return Ok(Ok(TokenDecision::NotFound));
        };
        if rules.deletion.is_some() {
            return Ok(Ok(TokenDecision::Deleted));
        }
        if rules.frozen.is_some() {
            return Ok(Ok(TokenDecision::Frozen));
        }
        if rules.requires_approval {
            let place = (secret, facts.number);
            let approved =
                order.approved.iter().filter(|right| (right.secret, right.place) == place && now < right.until);
            let Some(until) = approved.map(|right| right.until).max() else {
                return Ok(Ok(TokenDecision::ApprovalRequired));
            };
            end = end.min(until);
        }
        let basis = permit.basis_for(&Scope::Secret(secret));
        common = basis.and_then(|basis| common.map_or(Some(basis), |common| common.and(basis)));
        if common.is_none() {
            return Ok(Err(ActError::OutsidePermit));
        }
        if versions.iter().any(|known| known.secret == secret) {
            return Ok(Ok(TokenDecision::Twice));
        }
        limited.extend(rules.rate_limit.map(|limit| (secret, limit)));
        versions.push(row);
    }
    let Some(basis) = common else { return Ok(Ok(TokenDecision::NotFound)) };
    match outdated(tx, basis, now)? {
        None => record_token(tx, key, (basis, versions, &limited), (order, end)).map(Ok),
        Some(why) => Ok(Err(why)),
    }
}

/// The secret that is meant: the only one at the places that may be read. If there are two, none is meant: whoever made
/// the later one must not decide what a reader of the earlier one gets.
fn readable(
    tx: &mut Tx<'_>,
    key: &RowKey,
    wanted: &Wanted,
    permits: &ReadPermits,
) -> Result<Option<SecretId>, SqlError> {
    let places = match wanted {
        Wanted::Id(secret) => return Ok(Some(*secret)),
        Wanted::At(places) => places,
    };
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let facts = places::placed_at(tx, key, place)?.map(|found| found.facts);
        found.extend(facts.filter(|facts| permits.decide(facts).is_some()).map(|facts| facts.id));
    }
    let first = found.first().copied();
    Ok(first.filter(|first| found.iter().all(|other| other == first)))
}

fn record_token(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (basis, versions, limited): (Basis, Vec<VersionRow>, &[(SecretId, ReadLimit)]),
    (order, end): (&TokenRequest, u64),
) -> Result<TokenDecision, SqlError> {
    if is_revoked(tx, &order.signing_key)? {
        return Ok(TokenDecision::SigningKeyRevoked);
    }
    let Some(environment) = versions.first().map(|row| row.environment) else { return Ok(TokenDecision::NotFound) };
    if versions.iter().any(|row| row.environment != environment) {
        return Ok(TokenDecision::SeveralEnvironments);
    }
    let life = match open_for_use(tx, key, environment)? {
        Ok(life) => life,
        Err(closed) => return Ok(TokenDecision::Closed(closed)),
    };
    let Ok((endings, until)) = ends::of_token(tx, key, (environment, &versions), order.issued_at)? else {
        return Ok(TokenDecision::Expired);
    };
    // Last, so that what is refused for another reason takes no turn.
    if let Err(wait) = order.turns.take(limited) {
        return Ok(TokenDecision::Limited(wait));
    }
    let subject = match &order.subject {
        TokenSubject::Subject(subject) => *subject,
        TokenSubject::Label(label) => subject_for(tx, key, label)?,
    };
    let token = NewToken {
        jti: order.jti,
        subject,
        credential: basis.credential(),
        environment,
        grants: grants_of(&versions),
        versions: versions.iter().map(|row| row.version).collect(),
        issued_at: order.issued_at,
        expires_at: end_of((order.issued_at, end), life, (basis, until)),
    };
    let (rseq, _hash) = newest_event(tx)?;
    insert(tx, &token, rseq)?;
    Ok(TokenDecision::Recorded { token, versions, endings, rseq })
}

/// The end of a token: at most the environment's longest life after its beginning, and not after the right to it, its
/// credential or, where that counts, a version of it ends.
fn end_of((issued_at, expires_at): (u64, u64), life: u64, (basis, until): (Basis, Option<u64>)) -> u64 {
    let end = expires_at.min(issued_at.saturating_add(life));
    [basis.valid_until(), until].into_iter().flatten().fold(end, u64::min)
}

/// The token of a version that is being committed. There is none if its permit counts no more: the credential may have
/// been disabled meanwhile, and the token's `rseq` would already cover that revocation.
pub(super) fn insert_for_commit(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (basis, row): (Basis, VersionRow),
    token: &NewToken,
    now: u64,
) -> Result<CommitOutcome, SqlError> {
    if outdated(tx, basis, now)?.is_some() {
        return Ok(CommitOutcome::WithoutToken);
    }
    let life = match open_for_use(tx, key, token.environment)? {
        Ok(life) => life,
        Err(closed) => return Ok(CommitOutcome::Closed(closed)),
    };
    let Ok((_endings, until)) = ends::of_token(tx, key, (token.environment, &[row]), token.issued_at)? else {
        return Ok(CommitOutcome::Expired);
    };
    let expires_at = end_of((token.issued_at, token.expires_at), life, (basis, until));
    let (rseq, _hash) = newest_event(tx)?;
    insert(tx, &NewToken { expires_at, ..token.clone() }, rseq)?;
    Ok(CommitOutcome::Yes { rseq, expires_at: Some(expires_at) })
}

fn insert(tx: &mut Tx<'_>, token: &NewToken, rseq: u64) -> Result<(), SqlError> {
    let grants = serde_json::to_string(&token.grants).map_err(|_| SqlError::unreadable())?;
    let versions = serde_json::to_string(&token.versions).map_err(|_| SqlError::unreadable())?;
    tx.execute(
        "INSERT INTO tokens (jti, subject, credential_id, environment_id, grants, versions, rseq, issued_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &[
            &token.jti.as_bytes(),
            &token.subject.to_string(),
            &token.credential.as_bytes(),
            &token.environment.as_bytes(),
            &grants,
            &versions,
            &rseq,
            &token.issued_at,
            &token.expires_at,
        ],
    )
    .map(|_rows| ())
}

fn committed_version(
    tx: &mut Tx<'_>,
    key: &RowKey,
    secret: SecretId,
    version: WantedVersion,
) -> Result<Option<Placed>, SqlError> {
    match version {
        WantedVersion::Stage(stage) => staged_version(tx, key, secret, stage),
        WantedVersion::Number(version) => {
            let row = one_version(tx, key, secret, version)?;
            Ok(row.filter(|(row, _)| row.state == CatalogueState::Committed))
        }
    }
}

fn tokens(tx: &mut Tx<'_>, after: Option<TokenId>, limit: usize, now: u64) -> Result<Vec<TokenRow>, SqlError> {
    // Every id is greater than no bytes.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let found = tx.all(
        "SELECT t.jti, t.subject, t.credential_id, t.environment_id, t.grants, t.versions,
                t.issued_at, t.expires_at, (SELECT label FROM subjects s WHERE s.subject = t.subject)
         FROM tokens t WHERE t.jti > ?1 AND t.expires_at > ?2 ORDER BY t.jti LIMIT ?3",
        &[&after, &now, &row_limit(limit)],
        |row| Ok((token(row)?, row.get(8)?)),
    )?;
    found.into_iter().map(|(token, label)| with_revocation(tx, token, label)).collect()
}

/// A page for each credential, of which the first ones are taken.
fn own_tokens(
    tx: &mut Tx<'_>,
    credentials: &[CredentialId],
    after: Option<TokenId>,
    limit: usize,
    now: u64,
) -> Result<Vec<TokenRow>, SqlError> {
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let mut found: Vec<(NewToken, Option<String>)> = Vec::new();
    for credential in credentials {
        found.extend(tx.all(
            "SELECT t.jti, t.subject, t.credential_id, t.environment_id, t.grants, t.versions,
                    t.issued_at, t.expires_at, (SELECT label FROM subjects s WHERE s.subject = t.subject)
             FROM tokens t WHERE t.credential_id = ?1 AND t.jti > ?2 AND t.expires_at > ?3 ORDER BY t.jti LIMIT ?4",
            &[&credential.as_bytes(), &after, &now, &row_limit(limit)],
            |row| Ok((token(row)?, row.get(8)?)),
        )?);
    }
    found.sort_unstable_by_key(|(token, _)| *token.jti.as_bytes());
    found.truncate(limit);
    found.into_iter().map(|(token, label)| with_revocation(tx, token, label)).collect()
}

pub(super) fn token(row: &Row<'_>) -> Result<NewToken, SqlError> {
    let grants: Vec<Grant> = serde_json::from_str(&row.get::<String>(4)?).map_err(|_| SqlError::unreadable())?;
    let versions = match row.get::<Option<String>>(5)? {
        Some(versions) => serde_json::from_str(&versions).map_err(|_| SqlError::unreadable())?,
        None => grants.iter().map(|grant| grant.version).collect(),
    };
    Ok(NewToken {
        jti: TokenId::from_bytes(row.get(0)?),
        subject: row.parse(1)?,
        credential: CredentialId::from_bytes(row.get(2)?),
        environment: EnvironmentId::from_bytes(row.get(3)?),
        grants,
        versions,
        issued_at: row.get(6)?,
        expires_at: row.get(7)?,
    })
}

fn with_revocation(tx: &mut Tx<'_>, token: NewToken, label: Option<String>) -> Result<TokenRow, SqlError> {
    let name = event_name::name_of(&Event::Token(token.jti));
    let revoked_by =
        tx.optional("SELECT seq FROM events WHERE name = ?1 ORDER BY seq LIMIT 1", &[&name], |row| row.get(0))?;
    let revocation_deferred = tx.exists("SELECT 1 FROM pending_revocations WHERE name = ?1", &[&name])?;
    Ok(TokenRow { token, label, revoked_by, revocation_deferred })
}

fn prune(tx: &mut Tx<'_>, now: u64, limit: usize) -> Result<usize, SqlError> {
    let tokens = tx.execute(
        "DELETE FROM tokens WHERE jti IN (SELECT jti FROM tokens WHERE expires_at <= ?1 LIMIT ?2)",
        &[&now, &row_limit(limit)],
    )?;
    let keys = tx.execute(
        "DELETE FROM idempotency WHERE (subject, key) IN (
             SELECT subject, key FROM idempotency WHERE created_at <= ?1 LIMIT ?2)",
        &[&now.saturating_sub(KEPT_SECONDS), &row_limit(limit.saturating_sub(tokens))],
    )?;
    Ok(tokens + keys)
}
