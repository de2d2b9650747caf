//! Finding what the vault has and the catalogue lacks, after a restore of the manager.

use shared_proto::command::Operation;
use shared_proto::id::EnvironmentId;
use shared_proto::identity::Pins;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::wire::vault::{Inventory, InventoryCursor, MAX_PAGE, Receipts};

use crate::refusal::Refusal;
use crate::store::ManagerStore;
use crate::vault_client::VaultClient;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Versions that the vault has and the catalogue lacks.
    pub missing: Vec<ReceiptFacts>,
    /// How many of them are in the catalogue now.
    pub adopted: u64,
}

/// Compares the vault's inventory with the catalogue; with `adopt`, enters what is missing in environments of ours.
///
/// # Errors
/// The vault does not answer, or with receipts that are not its own or out of order.
pub async fn reconcile(
    store: &dyn ManagerStore,
    client: &VaultClient,
    pins: &Pins,
    environments: &[EnvironmentId],
    (adopt, now): (bool, u64),
) -> Result<Found, Refusal> {
    const UNFIT: Refusal = Refusal::Unavailable("the vault's inventory is not understood");
    let mut found = Found::default();
    let mut after: Option<InventoryCursor> = None;
    loop {
        let request = Inventory { after, limit: MAX_PAGE };
        let answer: Receipts = client
            .command(Operation::Inventory, &request)
            .await
            .map_err(|_| Refusal::Unavailable("the vault does not give its inventory"))?;
        let mut page = Vec::with_capacity(answer.receipts.len());
        for receipt in &answer.receipts {
            let facts = receipt.verify(pins).map_err(|_| UNFIT)?;
            // Strictly ascending, so that the loop ends.
            let ascends = after.is_none_or(|last| (last.secret_id, last.version) < (facts.secret, facts.version));
            if facts.state != VersionState::Stored || !ascends {
                return Err(UNFIT);
            }
            after = Some(InventoryCursor { secret_id: facts.secret, version: facts.version });
            page.push(facts);
        }
        if page.is_empty() {
            return Ok(found);
        }
        let missing = store.missing(page).await?;
        if adopt {
            let known = missing.iter().filter(|facts| environments.contains(&facts.environment)).copied().collect();
            found.adopted += store.adopt(known, now).await?;
        }
        found.missing.extend(missing);
    }
}
