//! Exchanges of root keys.

use shared_proto::encoding::Bytes;
use shared_proto::receipt::{ReceiptFacts, VersionState};

use super::{Kit, NOW, rule, text};

impl Kit<'_> {
    pub(super) async fn rotation(&self) -> Result<(), String> {
        let target = (self.environment, 2);
        let before = self.store.open_below(self.environment, 2).await.map_err(text)?;
        let rows = self.store.envelopes_below(target, None, 9).await.map_err(text)?;
        rule(
            rows.len() > 1 && rows.is_sorted_by_key(|row| (row.secret, row.envelope)),
            "older versions come in order",
        )?;
        let [first, .., last] = rows.as_slice() else { return Err("two versions are needed".to_owned()) };
        let (first, last) = ((first.secret, first.envelope), (last.secret, last.envelope));
        let page = self.store.envelopes_below(target, Some(first), 9).await.map_err(text)?;
        rule(page.len() + 1 == rows.len(), "a page of older versions begins behind its cursor")?;
        self.store.move_to_epoch(target, vec![first], NOW).await.map_err(text)?;
        self.store.move_to_epoch((self.environment, 1), vec![first], NOW).await.map_err(text)?;
        let moved = self.store.version(&self.look()?, first.0, first.1).await.map_err(text)?;
        rule(moved.is_some_and(|row| row.epoch == 2), "a version is moved, and never back")?;
        self.store.mark_missing(2, vec![last]).await.map_err(text)?;
        let after = self.store.open_below(self.environment, 2).await.map_err(text)?;
        rule(after + 2 == before, "moved and lacking versions are not open")?;
        let left = self.store.envelopes_below(target, None, 9).await.map_err(text)?;
        rule(left.len() + 2 == rows.len(), "moved and lacking versions are not moved again")?;
        let again = self.store.envelopes_below((self.environment, 3), None, 9).await.map_err(text)?;
        rule(again.len() == rows.len(), "the next rotation asks for lacking versions again")?;
        self.store.record_retirement(target, "{}".to_owned(), NOW + 1).await.map_err(text)?;
        let ended = self.store.rotation(self.environment, 2).await.map_err(text)?;
        rule(
            ended.retirement.as_deref() == Some("{}") && ended.changed_at == Some(NOW),
            "a retirement is kept, and is no change",
        )?;
        let row = moved.ok_or("a moved version is there")?;
        let facts = ReceiptFacts {
            environment: self.environment,
            secret: row.secret,
            version: row.version,
            state: VersionState::Stored,
            epoch: 1,
            digest: row.digest,
        };
        let other = ReceiptFacts { digest: Bytes([0; 32]), ..facts };
        rule(self.store.move_back(&self.may()?, vec![other]).await == Ok(0), "other content moves nothing back")?;
        rule(self.store.move_back(&self.may()?, vec![facts, facts]).await == Ok(1), "a version is moved back once")?;
        let undone = self.store.rotation(self.environment, 2).await.map_err(text)?;
        rule(undone.retirement.is_none(), "a retirement does not outlive the vault's restore")
    }
}
