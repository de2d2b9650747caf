//! The enabled credentials.

use rusqlite::{Connection, params};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::CredentialId;

use super::rows::integer;
use crate::store::ActError;

pub(super) fn is_enabled(tx: &mut Tx<'_>, credential: CredentialId) -> Result<bool, SqlError> {
    tx.exists("SELECT 1 FROM credentials WHERE credential_id = ?1 AND disabled_at IS NULL", &[&credential.as_bytes()])
}

pub(super) fn disable(conn: &Connection, credential: CredentialId, now: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE credentials SET disabled_at = ?2 WHERE credential_id = ?1 AND disabled_at IS NULL")?
        .execute(params![credential.as_bytes(), integer(now)?])
        .map(|_rows| ())
}

/// The reason why these credentials may not be disabled together.
pub(super) fn not_to_be_disabled(conn: &Connection, asked: &[CredentialId]) -> rusqlite::Result<Option<ActError>> {
    let mut known = conn.prepare_cached("SELECT 1 FROM credentials WHERE credential_id = ?1")?;
    for credential in asked {
        if !known.exists([credential.as_bytes()])? {
            return Ok(Some(ActError::CredentialUnknown));
        }
    }
    let administrators = enabled_administrators(conn)?;
    let asked_for = |credential: &CredentialId| asked.contains(credential);
    let last = administrators.iter().any(asked_for) && administrators.iter().all(asked_for);
    Ok(last.then_some(ActError::LastAdministrator))
}

/// Every credential with a hash is an administrator's so far.
pub(super) fn enabled_administrators(conn: &Connection) -> rusqlite::Result<Vec<CredentialId>> {
    conn.prepare_cached("SELECT credential_id FROM credentials WHERE hmac IS NOT NULL AND disabled_at IS NULL")?
        .query_map([], |row| row.get(0).map(CredentialId::from_bytes))?
        .collect()
}
