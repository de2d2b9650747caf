//! Reconciliation: finds the versions that the vault has and the catalogue lacks, after a restore of the manager.

use manager_policy::{Operate, Permit};
use service_runtime::Refusal;
use shared_proto::command::Operation;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::wire::vault::{Inventory, InventoryCursor, MAX_PAGE, Receipts};

use crate::keys::KeyRing;
use crate::vault_client::VaultClient;
use manager_store::{IdentityStore, ReconcileStore};

/// The result of comparing a part of the vault's inventory with the catalogue.
#[derive(Clone, Debug, Default)]
pub struct Reconciliation {
    /// Versions that the vault has and the catalogue lacks.
    pub missing: Vec<ReceiptFacts>,
    /// How many of them were added to the catalogue.
    pub adopted: u64,
    /// The place at which the comparison continues; `None` when it is done.
    pub next: Option<InventoryCursor>,
}

/// Pages of the vault's inventory that one request compares: 4,096 versions, at most half a megabyte of missing ones.
const PAGES_AT_ONCE: usize = 16;

/// Compares a part of the vault's inventory with the catalogue, from a version on. With `adopt`, adds the missing
/// versions of the manager's environments to the catalogue.
///
/// # Errors
/// The vault does not answer, or with receipts that are not its own or out of order.
pub async fn reconcile<S: IdentityStore + ReconcileStore + ?Sized>(
    store: &S,
    client: &VaultClient,
    keys: &KeyRing,
    from: Option<InventoryCursor>,
    (permit, adopt, now): (Permit<Operate>, bool, u64),
) -> Result<Reconciliation, Refusal> {
    const UNFIT: &str = "the vault's inventory is not understood";
    let mut found = Reconciliation::default();
    let loaded = keys.now();
    let mut after = from;
    for _page in 0..PAGES_AT_ONCE {
        // The vault is asked page by page, and each answer takes its time.
        store.look_again(&permit).await?;
        let request = Inventory { after, limit: MAX_PAGE };
        let answer: Receipts = client
            .command(Operation::Inventory, &request)
            .await
            .map_err(|_| Refusal::unavailable("the vault does not give its inventory"))?;
        let mut page = Vec::with_capacity(answer.receipts.len());
        for receipt in &answer.receipts {
            let facts = receipt.verify(&loaded.pins).map_err(|_| Refusal::unavailable(UNFIT))?;
            // Strictly ascending, so that the loop ends.
            let ascends = after.is_none_or(|last| (last.secret_id, last.version) < (facts.secret, facts.version));
            if facts.state != VersionState::Stored || !ascends {
                return Err(Refusal::unavailable(UNFIT));
            }
            after = Some(InventoryCursor { secret_id: facts.secret, version: facts.version });
            page.push(facts);
        }
        if page.is_empty() {
            return Ok(found);
        }
        let missing = store.missing(&permit, page.clone()).await?;
        if adopt {
            // Those of the manager's environments, under a root key that exists.
            let ours = keys.environments().now();
            let usable = |facts: &&ReceiptFacts| {
                ours.iter().any(|known| known.id == facts.environment)
                    && loaded.roots.of(facts.environment, facts.epoch).is_some()
            };
            found.adopted += store.adopt(&permit, missing.iter().filter(usable).copied().collect(), now).await?;
            // A vault that was restored to a time before a rotation has the wrapped keys of that time.
            let moved_back = store.move_back(&permit, page.iter().filter(usable).copied().collect()).await?;
            if moved_back > 0 {
                tracing::warn!(count = moved_back, "the vault has older wrapped keys than the catalogue said");
                keys.want_exchange();
            }
        }
        found.missing.extend(missing);
    }
    found.next = after;
    Ok(found)
}
