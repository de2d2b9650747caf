//! Incidents: the compromise or the loss of a secret, from its opening to its end.
//!
//! Guarantees that whoever opens one may rotate the secret, that freezing and revoking are one change with the record, and that
//! a record is only added to: a step that is done stays done, and a closed incident stays as it is. Refuses more of them than
//! there may be.

mod change;
mod lists;
mod open;
mod report;

use std::sync::Arc;

use manager_api::id::IncidentId;
use manager_policy::{AnyAction, Permit, ReadAudit, Rotate, SecretFacts};
use manager_registry::{Incident, Place, SecretRules};
use manager_store::{ManagerStore, NewPlace};
use service_runtime::Refusal;
use service_runtime::audit::AuditLog;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;

use crate::access::{Asked, Caller, Registry};
use crate::catalogue::{Known, SecretKeeper};
use crate::policy::PolicyKeeper;
use crate::revocation::Revocations;

pub use self::lists::Wanted;
pub use self::report::{Report, UsedBy};

/// Opens incidents, and keeps their records.
pub struct Incidents {
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// The records, and everything that is decided from.
    pub registry: Arc<Registry>,
    /// Makes changes, with the revocations that follow.
    pub revocations: Arc<Revocations>,
    /// Knows secrets.
    pub keeper: Arc<SecretKeeper>,
    /// Knows who may read them.
    pub policy: Arc<PolicyKeeper>,
    /// The audit log.
    pub audit: AuditLog,
}

/// An incident, with whether its freeze holds.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The record.
    pub incident: Incident,
    /// True while no token is made for the secret because of it.
    pub frozen: bool,
}

/// The most incidents. Beyond it, the oldest closed one makes room, of whoever has opened the most.
const MOST: usize = 2_000;
/// The most closed incidents of a secret that one principal has opened. Beyond it, the oldest of them makes room.
const MOST_CLOSED_OF_SECRET: usize = 8;
/// The most open incidents that one principal has opened.
const MOST_OPEN_OF_ONE: usize = 256;

impl Incidents {
    async fn known(&self, secret: SecretId) -> Result<Option<Known>, Refusal> {
        self.keeper.known(secret).await
    }
}

/// The permit of one who may see an incident: he may rotate the secret, or read its audit.
fn permit_to_see(caller: &Caller, facts: Option<&SecretFacts>) -> Result<Permit<AnyAction>, Refusal> {
    let rotates: Result<Permit<Rotate>, Refusal> = caller.permit_on(facts);
    let permit = rotates.map(|permit| permit.to_look());
    permit.or_else(|_| {
        let reads: Result<Permit<ReadAudit>, Refusal> = caller.permit_on(facts);
        reads.map(|permit| permit.to_look()).map_err(|_| not_found())
    })
}

/// The change of a secret that gets other rules and stays where it is.
fn with_rules(known: &Known, rules: SecretRules) -> Asked {
    let facts = &known.placed.facts;
    let place = NewPlace {
        secret: facts.id,
        environment: facts.environment,
        expected: facts.number,
        path: facts.path.clone(),
        rules,
        details: None,
        if_revision: None,
    };
    Asked { changes: vec![Place::changed(facts.id).into()], places: vec![place].into(), events: Vec::new() }
}

/// Tells whether a secret is frozen because of an incident.
fn is_frozen_by(known: Option<&Known>, id: IncidentId) -> bool {
    known.is_some_and(|known| known.placed.rules.frozen == Some(id))
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::IncidentNotFound)
}
