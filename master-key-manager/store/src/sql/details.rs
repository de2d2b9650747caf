//! Descriptions of secrets, each with a tag: what a service does by itself, such as rotation, rests on them.

use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{Row, SqlError, Tx};
use shared_proto::encoding::from_json;
use shared_proto::id::SecretId;

use crate::Details;

/// Writes the description of a secret.
pub(super) fn write(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, details: &Details) -> Result<(), SqlError> {
    if *details == Details::default() {
        let sql = "UPDATE secrets SET details = '', details_tag = NULL WHERE secret_id = ?1";
        return tx.execute(sql, &[&secret.as_bytes()]).map(|_rows| ());
    }
    let text = serde_json::to_string(details).map_err(|_| SqlError::unreadable())?;
    let tag = key.tag(RowKind::Details, &[secret.as_bytes(), text.as_bytes()]);
    let sql = "UPDATE secrets SET details = ?2, details_tag = ?3 WHERE secret_id = ?1";
    tx.execute(sql, &[&secret.as_bytes(), &text, &tag]).map(|_rows| ())
}

/// The description in the columns `details, details_tag`, from `first` on; `None` for one that the manager did not write.
pub(super) fn read(row: &Row<'_>, key: &RowKey, secret: SecretId, first: usize) -> Result<Option<Details>, SqlError> {
    let (text, tag): (String, Option<RowTag>) = (row.get(first)?, row.get(first + 1)?);
    if text.is_empty() {
        return Ok(Some(Details::default()));
    }
    if !key.fits(RowKind::Details, secret, &[secret.as_bytes(), text.as_bytes()], tag.as_ref()) {
        return Ok(None);
    }
    from_json(text.as_bytes()).map(Some).map_err(|_| SqlError::unreadable())
}

/// The description of a secret.
pub(super) fn of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<Details>, SqlError> {
    let sql = "SELECT details, details_tag FROM secrets WHERE secret_id = ?1";
    Ok(tx.optional(sql, &[&secret.as_bytes()], |row| read(row, key, secret, 0))?.flatten())
}
