//! The enabled credentials.

use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::CredentialId;

use crate::ActError;

/// Disables a credential. Only here is one disabled, so that the generation grows with each.
pub(super) fn disable(tx: &mut Tx<'_>, credential: CredentialId, now: u64) -> Result<(), SqlError> {
    let disabled = tx.execute(
        "UPDATE credentials SET disabled_at = ?2 WHERE credential_id = ?1 AND disabled_at IS NULL",
        &[&credential.as_bytes(), &now],
    )?;
    if disabled > 0 {
        tx.execute(
            "INSERT INTO credential_generation (only_row, generation) VALUES (1, 2)
             ON CONFLICT (only_row) DO UPDATE SET generation = credential_generation.generation + 1",
            &[],
        )?;
    }
    Ok(())
}

pub(super) fn is_disabled(tx: &mut Tx<'_>, credential: CredentialId) -> Result<bool, SqlError> {
    tx.exists(
        "SELECT 1 FROM credentials WHERE credential_id = ?1 AND disabled_at IS NOT NULL",
        &[&credential.as_bytes()],
    )
}

/// The generation; 1 before the first credential is disabled.
pub(super) fn generation(tx: &mut Tx<'_>) -> Result<u64, SqlError> {
    tx.one("SELECT COALESCE(MAX(generation), 1) FROM credential_generation", &[], |row| row.get(0))
}

/// The reason why these credentials may not be disabled together.
pub(super) fn not_to_be_disabled(tx: &mut Tx<'_>, asked: &[CredentialId]) -> Result<Option<ActError>, SqlError> {
    for credential in asked {
        if !tx.exists("SELECT 1 FROM credentials WHERE credential_id = ?1", &[&credential.as_bytes()])? {
            return Ok(Some(ActError::CredentialUnknown));
        }
    }
    let administrators = enabled_administrators(tx)?;
    let asked_for = |credential: &CredentialId| asked.contains(credential);
    let last = administrators.iter().any(asked_for) && administrators.iter().all(asked_for);
    Ok(last.then_some(ActError::LastAdministrator))
}

/// Every credential with a hash is an administrator's so far.
pub(super) fn enabled_administrators(tx: &mut Tx<'_>) -> Result<Vec<CredentialId>, SqlError> {
    tx.all(
        "SELECT credential_id FROM credentials WHERE hmac IS NOT NULL AND disabled_at IS NULL ORDER BY credential_id",
        &[],
        |row| row.get(0).map(CredentialId::from_bytes),
    )
}
