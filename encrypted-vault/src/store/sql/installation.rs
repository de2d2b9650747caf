//! The owner of a database.

use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::VaultId;
use shared_proto::identity::Mode;

/// Notes the owner of a new database. One that has an owner keeps it.
pub(super) fn note(tx: &mut Tx<'_>, id: VaultId, mode: Mode) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO installation (vault_id, mode) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM installation)",
        &[&id.as_bytes(), &mode.as_str()],
    )?;
    Ok(())
}

/// Tells whether the database has an owner.
pub(super) fn is_noted(tx: &mut Tx<'_>) -> Result<bool, SqlError> {
    tx.exists("SELECT 1 FROM installation", &[])
}

/// Tells whether the database is of this vault and this mode.
pub(super) fn is_of(tx: &mut Tx<'_>, id: VaultId, mode: Mode) -> Result<bool, SqlError> {
    let found: Option<([u8; 16], String)> =
        tx.optional("SELECT vault_id, mode FROM installation", &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found == Some((*id.as_bytes(), mode.as_str().to_owned())))
}
