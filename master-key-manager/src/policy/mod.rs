//! Groups, role assignments and permissions: changes of them, lists, questions and former versions.
//!
//! Guarantees that each change is decided on the state of the moment, under the registry's lock, and that the registry
//! revokes what it takes away. What is given out was decided from what the database holds at that time. Work that grows
//! with the policy is bounded, and is done beside the threads that serve requests.

mod describe;
mod dry_run;
mod groups;
mod lines;
mod lists;
mod questions;
mod restore;
mod versions;

use std::sync::Arc;

use manager_api::name::Reason;
use manager_policy::{AnyAction, Basis, Permit};
use manager_registry::Change;
use manager_store::ManagerStore;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use tokio::sync::Semaphore;

use crate::access::{Caller, Registry, View};
use crate::audit_event::{Act, Outcome, RegistryAct, RegistryOutcome};
use crate::environments::Environments;
use crate::keys::KeyRing;
use crate::revocation::{Revocations, Sequences};

pub use self::lines::check_room;
pub use self::lists::Asked;

/// Makes and shows groups, role assignments and permissions.
pub struct PolicyKeeper {
    store: Arc<dyn ManagerStore>,
    registry: Arc<Registry>,
    environments: Arc<Environments>,
    revocations: Arc<Revocations>,
    keys: Arc<KeyRing>,
    audit: AuditLog,
    /// The work that runs beside the threads of requests.
    turns: Semaphore,
}

/// The permit for a change and what it changes, which may be nothing.
type Decided = (Permit<AnyAction>, Vec<Change>);

/// The line of the audit log about a change.
enum Told {
    /// It is durable before a change that gives something.
    Before(RegistryAct),
    /// It follows a change that takes something away, which never waits for it.
    After(RegistryOutcome),
}

/// The most works at once that grow with the policy.
const MOST_AT_ONCE: usize = 2;

impl PolicyKeeper {
    /// A keeper of the policy of this registry.
    pub fn new(
        (store, registry): (Arc<dyn ManagerStore>, Arc<Registry>),
        environments: Arc<Environments>,
        revocations: Arc<Revocations>,
        keys: Arc<KeyRing>,
        audit: AuditLog,
    ) -> Self {
        let turns = Semaphore::new(MOST_AT_ONCE);
        Self { store, registry, environments, revocations, keys, audit, turns }
    }

    /// Makes the change that `decide` decides, which is asked twice: before the line of the audit log, and on the state
    /// that the change is made of.
    async fn change(
        &self,
        (caller, origin): (&Caller, &Origin),
        reason: Option<&Reason>,
        (told, target): (Told, String),
        decide: impl Fn(&Caller, &View) -> Result<Decided, Refusal> + Send + Sync,
    ) -> Result<Sequences, Refusal> {
        let view = self.registry.now().await?;
        let now = caller.again(&view)?;
        let (permit, changes) = decide(&now, &view)?;
        now.check_change(&view, &changes)?;
        if changes.is_empty() {
            self.look_again(&permit).await?;
            return Ok(Sequences { numbers: Vec::new(), applied: true });
        }
        if let Told::Before(act) = told {
            self.audit.record(Act::Registry(act, Some(target.clone())), origin).await?;
        }
        let decide = |caller: &Caller, view: &View| decide(caller, view).map(|(_permit, changes)| changes);
        let done = self.revocations.change(caller, reason, decide).await?;
        if let Told::After(outcome) = told {
            self.audit.note(Outcome::Registry(outcome, target), origin);
        }
        Ok(done)
    }

    /// Records that something is given out that was decided from this basis, if that still holds.
    async fn give_out(
        &self,
        basis: Basis,
        origin: &Origin,
        (act, target): (RegistryAct, Option<String>),
    ) -> Result<(), Refusal> {
        self.store.look_again_at(basis).await?;
        Ok(self.audit.record(Act::Registry(act, target), origin).await?)
    }

    async fn look_again(&self, permit: &Permit<AnyAction>) -> Result<(), Refusal> {
        Ok(self.store.look_again_at(basis_of(permit)?).await?)
    }

    /// The caller with his rights of this moment, and the state that they are decided from.
    async fn now(&self, caller: &Caller) -> Result<(Caller, Arc<View>), Refusal> {
        let view = self.registry.now().await?;
        Ok((caller.again(&view)?, view))
    }

    /// Does work that grows with the policy.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let broken = |_| Refusal::internal("a task broke down");
        let _turn = self.turns.acquire().await.map_err(|_| Refusal::internal("no turns are given"))?;
        tokio::task::spawn_blocking(work).await.map_err(broken)?
    }
}

/// The basis of a permit.
fn basis_of(permit: &Permit<AnyAction>) -> Result<Basis, Refusal> {
    permit.basis_for(permit.scope()).ok_or_else(|| Refusal::internal("a permit is not for its own scope"))
}
