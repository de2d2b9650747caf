//! Erasing whole secrets.

use async_trait::async_trait;
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::id::{SecretId, Version};

use super::{SqlStore, destruction};
use crate::{DueErasure, Erased, ErasureStore, SignEvent, Stored};

#[async_trait]
impl ErasureStore for SqlStore {
    async fn due_erasures(&self, after: Option<DueErasure>, now: u64, limit: usize) -> Stored<Vec<DueErasure>> {
        self.sql.read("due_erasures", move |tx| due(tx, after, now, limit)).await
    }

    async fn erase(&self, secret: SecretId, sign: Option<SignEvent>, now: u64) -> Stored<Option<Erased>> {
        let key = self.key();
        self.sql.write("erase", move |tx| destruction::erase(tx, &key, secret, sign.as_ref(), now)).await
    }

    async fn erase_stored(
        &self,
        secret: SecretId,
        envelopes: Vec<Version>,
        sign: Option<SignEvent>,
        now: u64,
    ) -> Stored<Option<Erased>> {
        let key = self.key();
        let erase =
            move |tx: &mut Tx<'_>| destruction::erase_stored(tx, &key, (secret, &envelopes), sign.as_ref(), now);
        self.sql.write("erase_stored", erase).await
    }

    async fn finish_erasure(&self, secret: SecretId) -> Stored<()> {
        self.sql.write("finish_erasure", move |tx| finish(tx, secret)).await
    }
}

fn finish(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    let sql = "UPDATE secrets SET erase_at = NULL WHERE secret_id = ?1 AND NOT EXISTS (
            SELECT 1 FROM versions v WHERE v.secret_id = secrets.secret_id AND v.state IN ('pending', 'committed'))";
    tx.execute(sql, &[&secret.as_bytes()]).map(|_rows| ())
}

fn due(tx: &mut Tx<'_>, after: Option<DueErasure>, now: u64, limit: usize) -> Result<Vec<DueErasure>, SqlError> {
    // Every id is greater than no bytes, and no time is below 0.
    let (at, id): (u64, &[u8]) = after.as_ref().map_or((0, &[]), |last| (last.at, last.secret.as_bytes()));
    tx.all(
        "SELECT s.erase_at, s.secret_id FROM secrets s JOIN environments e ON e.environment_id = s.environment_id
         WHERE s.erase_at IS NOT NULL AND (s.erase_at, s.secret_id) > (?1, ?2) AND s.erase_at <= ?3
             AND e.frozen_at IS NULL AND e.disabled_at IS NULL
         ORDER BY s.erase_at, s.secret_id LIMIT ?4",
        &[&at, &id, &now, &row_limit(limit)],
        |row| Ok(DueErasure { at: row.get(0)?, secret: SecretId::from_bytes(row.get(1)?) }),
    )
}
