//! The living list of environments, in memory.

use std::sync::{Arc, PoisonError, RwLock};

use manager_api::name::EnvironmentName;
use manager_store::Environment;
use shared_proto::id::EnvironmentId;

use crate::access::Caller;

/// The environments at this moment, in memory. Ids and names are never stale, because they never change; whether
/// something may be written or minted is decided again in the transaction that does it.
#[derive(Debug)]
pub struct Environments(RwLock<Arc<Vec<Environment>>>);

impl Environments {
    /// A list that begins with these.
    pub fn new(environments: Vec<Environment>) -> Self {
        Self(RwLock::new(Arc::new(environments)))
    }

    /// The environments, ordered by name.
    pub fn now(&self) -> Arc<Vec<Environment>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The environment with a name.
    pub fn named(&self, name: &EnvironmentName) -> Option<Environment> {
        self.now().iter().find(|known| known.name == *name).cloned()
    }

    /// The environment with a name, if a caller may know of it.
    pub fn known(&self, caller: &Caller, name: &EnvironmentName) -> Option<Environment> {
        // Decided in any case, so that an unknown one takes as long.
        let found = self.named(name);
        let is_known = caller.knows(found.as_ref().map_or(EnvironmentId::from_bytes([0; 16]), |found| found.id));
        found.filter(|_| is_known)
    }

    /// The environment with an id.
    pub fn with_id(&self, id: EnvironmentId) -> Option<Environment> {
        self.now().iter().find(|known| known.id == id).cloned()
    }

    /// Replaces the list. Only whoever makes and changes environments does, one after the other.
    pub fn set(&self, environments: Vec<Environment>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(environments);
    }
}
