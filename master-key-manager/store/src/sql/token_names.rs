//! Living tokens that name a secret.

use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::event::Event;
use shared_proto::id::{SecretId, TokenId};

use super::tokens::token;
use crate::{NamingToken, NamingTokens, NewToken, TOKENS_SCANNED_AT_ONCE, event_name};

pub(super) fn naming(
    tx: &mut Tx<'_>,
    secret: SecretId,
    after: Option<TokenId>,
    now: u64,
) -> Result<NamingTokens, SqlError> {
    // Every id is greater than no bytes.
    let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
    let found: Vec<(NewToken, u64)> = tx.all(
        "SELECT jti, subject, credential_id, environment_id, grants, versions, issued_at, expires_at, rseq
         FROM tokens WHERE jti > ?1 AND expires_at > ?2 ORDER BY jti LIMIT ?3",
        &[&after, &now, &row_limit(TOKENS_SCANNED_AT_ONCE)],
        |row| Ok((token(row)?, row.get(8)?)),
    )?;
    let next = found.last().filter(|_| found.len() == TOKENS_SCANNED_AT_ONCE).map(|(last, _)| last.jti);
    let newest = newest_about(tx, &Event::Secret(secret))?;
    let mut tokens = Vec::new();
    for (token, rseq) in found {
        let named = token.grants.iter().zip(&token.versions).find(|(grant, _)| grant.secret == secret);
        let Some((_, version)) = named else { continue };
        // A revocation hits what was made before it. One that waits for its number hits every token of before, too.
        let by_secret = newest.is_some_and(|number| number > rseq);
        let revoked = by_secret || newest_about(tx, &Event::Token(token.jti))?.is_some();
        tokens.push(NamingToken {
            jti: token.jti,
            subject: token.subject,
            credential: token.credential,
            version: *version,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            revoked,
        });
    }
    Ok(NamingTokens { tokens, next })
}

/// The number of the newest event about something; `u64::MAX` for one that waits for its number.
fn newest_about(tx: &mut Tx<'_>, event: &Event) -> Result<Option<u64>, SqlError> {
    let name = event_name::name_of(event);
    if tx.exists("SELECT 1 FROM pending_revocations WHERE name = ?1", &[&name])? {
        return Ok(Some(u64::MAX));
    }
    tx.optional("SELECT seq FROM events WHERE name = ?1 ORDER BY seq DESC LIMIT 1", &[&name], |row| row.get(0))
}
