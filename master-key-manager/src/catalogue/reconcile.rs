//! Reconciliation: finds the versions that the vault has and the catalogue lacks, after a restore of the manager.

use std::collections::BTreeMap;

use manager_policy::{Operate, Permit, Scope};
use manager_registry::{Place, SecretRules};
use service_runtime::Refusal;
use shared_proto::command::Operation;
use shared_proto::receipt::{ReceiptFacts, VersionState};
use shared_proto::wire::vault::{Inventory, InventoryCursor, MAX_PAGE, Receipts};

use crate::access::{Asked, Caller, View};
use crate::keys::KeyRing;
use crate::revocation::Revocations;
use crate::vault_client::VaultClient;
use manager_store::{CatalogueChanges, EnteredSecret, IdentityStore, ReconcileStore};

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
/// versions of the manager's environments to the catalogue. A secret that has lost its row, and its rules with it, gets the
/// narrowest ones.
///
/// # Errors
/// The vault does not answer, or with receipts that are not its own or out of order.
pub async fn reconcile<S: IdentityStore + ReconcileStore + ?Sized>(
    store: &S,
    (client, keys, revocations): (&VaultClient, &KeyRing, &Revocations),
    from: Option<InventoryCursor>,
    (caller, adopt, now): (&Caller, bool, u64),
) -> Result<Reconciliation, Refusal> {
    const UNFIT: &str = "the vault's inventory is not understood";
    let permit: Permit<Operate> = caller.permit(&Scope::Installation)?;
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
            let usable_missing: Vec<ReceiptFacts> = missing.iter().filter(usable).copied().collect();
            enter_lost(store, revocations, (caller, &permit), &usable_missing, now).await?;
            found.adopted += store.adopt(&permit, usable_missing, now).await?;
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

/// Gives the secrets of these versions another row that have lost theirs after their place or their rules had changed. The
/// registry knows the number of that change, so that only a further one makes a row that counts, and whether they are deleted or
/// destroyed, which they stay. It is done again by the next
/// call after a crash before the versions are adopted.
async fn enter_lost<S: ReconcileStore + ?Sized>(
    store: &S,
    revocations: &Revocations,
    (caller, permit): (&Caller, &Permit<Operate>),
    facts: &[ReceiptFacts],
    now: u64,
) -> Result<(), Refusal> {
    let view = revocations.view().await?;
    let changed = facts.iter().filter(|fact| view.state.place(fact.secret).is_some());
    let changed: BTreeMap<_, _> = changed.map(|fact| (fact.secret, fact.environment)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let lost = store.absent(permit, changed.into_iter().collect()).await?;
    if lost.is_empty() {
        return Ok(());
    }
    let decide = |caller: &Caller, view: &View| {
        let _may: Permit<Operate> = caller.permit(&Scope::Installation)?;
        let rules_of = |secret| {
            let open = view.state.incidents().find(|known| known.secret_id == secret && known.is_open());
            let deletion = view.state.place(secret).and_then(|place| place.deletion);
            SecretRules { deletion, ..SecretRules::of_lost(open.map(|incident| incident.incident_id)) }
        };
        let entered = lost.iter().map(|(secret, environment)| EnteredSecret {
            secret: *secret,
            environment: *environment,
            rules: rules_of(*secret),
            now,
        });
        let places = CatalogueChanges { entered: entered.collect(), ..CatalogueChanges::default() };
        let changes = lost.iter().map(|(secret, _)| Place::changed(*secret).into()).collect();
        Ok(Asked { changes, places, events: Vec::new() })
    };
    revocations.change_places(caller, None, decide).await.map(|_done| ())
}
