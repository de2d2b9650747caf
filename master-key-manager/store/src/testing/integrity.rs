//! Rows as they stand, for a comparison with the vault.

use manager_api::name::SecretPath;
use manager_api::wire::CatalogueState;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::{Kit, NOW, rule, signer, text};
use crate::{Erasure, RowOrigin};

impl Kit<'_> {
    pub(super) async fn integrity(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("checked/one").map_err(text)?);
        for number in 1..=3 {
            self.written(self.new_version(secret, number, &path)?).await?;
        }
        let [one, two] = [Version::FIRST, Version::new(2).map_err(text)?];
        self.store.destroy(&self.may()?, secret, vec![one], None, NOW).await.map_err(text)?;
        self.store.destroy(&self.may()?, secret, vec![two], Some(signer()), NOW).await.map_err(text)?;
        let rows = self.store.rows_of(&self.look()?, secret, None).await.map_err(text)?;
        rule(rows.complete_to.is_none(), "a few rows are all")?;
        rule(rows.secrets.len() == 1 && rows.secrets.iter().all(|row| row.faults.is_empty()), "the secret fits")?;
        let numbers: Vec<u64> = rows.versions.iter().map(|row| row.version.get()).collect();
        rule(numbers == [1, 2, 3], "versions are in order")?;
        let is_whole = rows.versions.iter().all(|row| {
            (row.origin, row.environment, row.envelope) == (RowOrigin::Manager, Some(self.environment), row.version)
                && row.kept.is_some_and(|kept| kept.state == row.state)
        });
        rule(is_whole, "each row is the manager's, with its envelope")?;
        let last = rows.versions.last().ok_or("there are versions")?;
        rule(
            (last.state, last.erasure, last.is_used) == (Some(CatalogueState::Committed), Erasure::None, true),
            "a committed version is in use",
        )?;
        let erasures: Vec<Erasure> = rows.versions.iter().map(|row| row.erasure).collect();
        rule(
            matches!(erasures.as_slice(), [Erasure::Waiting, Erasure::Event(_), Erasure::None]),
            "orders to erase are known",
        )?;
        let number = self.store.number_of(Event::Destroy(self.environment, secret, two)).await.map_err(text)?;
        rule(erasures.get(1) == number.map(Erasure::Event).as_ref(), "an order has the number of its event")?;
        let rest = self.store.rows_of(&self.look()?, secret, Some(two)).await.map_err(text)?;
        rule(rest.secrets.is_empty() && rest.versions.len() == 1, "a page goes on behind its cursor")?;
        let all = self.store.rows_after(&self.may()?, Some((secret, two))).await.map_err(text)?;
        rule(
            all.versions.first().is_some_and(|row| (row.secret, row.version.get()) == (secret, 3))
                && all.secrets.iter().all(|row| row.secret > secret),
            "all rows go on behind a version, and each secret is told once",
        )?;
        rule(all.versions.is_sorted_by_key(|row| (row.secret, row.version)), "all rows are in order")
    }
}
