//! The manager's key statements.

use service_runtime::sql::{SqlError, Tx};

use crate::store::Statements;

/// Replaces all of them.
pub(super) fn replace(tx: &mut Tx<'_>, statements: &Statements) -> Result<(), SqlError> {
    tx.execute("DELETE FROM statements", &[])?;
    for (position, document) in (1_u64..).zip(&statements.documents) {
        tx.execute(
            "INSERT INTO statements (position, document, stated_at) VALUES (?1, ?2, ?3)",
            &[&position, document, &statements.stated_at],
        )?;
    }
    Ok(())
}

/// All of them, in the order in which they were given.
pub(super) fn all(tx: &mut Tx<'_>) -> Result<Statements, SqlError> {
    let mut found = Statements::default();
    tx.all("SELECT document, stated_at FROM statements ORDER BY position", &[], |row| {
        found.documents.push(row.get(0)?);
        found.stated_at = row.get::<i64>(1)?.cast_unsigned();
        Ok(())
    })?;
    Ok(found)
}
