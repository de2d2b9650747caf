//! The report of an incident, from the manager's own records.

use std::collections::BTreeMap;

use manager_api::id::IncidentId;
use manager_api::policy::PartyId;
use manager_api::policy_questions::AccessDetails;
use manager_policy::{AnyAction, ManagePolicy, Permit, ReadAudit};
use manager_store::{NamingToken, NamingTokens};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::event::Event;
use shared_proto::id::Subject;

use super::{Incidents, Shown, is_frozen_by, not_found};
use crate::access::Caller;
use crate::audit_event::response::IncidentAct;

/// A report.
pub struct Report {
    /// The incident.
    pub shown: Shown,
    /// When it was made (Unix seconds).
    pub made_at: u64,
    /// The owner of the secret.
    pub owner: Option<PartyId>,
    /// The principals who may read the secret.
    pub could_read: Vec<AccessDetails>,
    /// True if there are more of them.
    pub more_readers: bool,
    /// Living tokens that name the secret.
    pub tokens: Vec<NamingToken>,
    /// True if not all tokens were looked at.
    pub more_tokens: bool,
    /// The principals of these tokens.
    pub uses: BTreeMap<Subject, UsedBy>,
    /// The newest revocation of all tokens for the secret.
    pub revoked_by: Option<u64>,
}

/// The use of a secret by a principal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedBy {
    /// When the newest of his tokens was made (Unix seconds).
    pub last_minted_at: u64,
    /// How many of his tokens live.
    pub tokens: u64,
}

/// The most principals and tokens of a report.
const MOST: usize = 500;
/// Transactions that look for tokens, at most. Each looks at [`manager_store::TOKENS_SCANNED_AT_ONCE`].
const LOOKS: usize = 16;

impl Incidents {
    /// The report of an incident.
    ///
    /// # Errors
    /// `IncidentNotFound`: it is unknown, or the caller neither reads the audit of the secret nor manages its policy.
    pub async fn report(&self, id: IncidentId, caller: &Caller, origin: &Origin) -> Result<Report, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let incident = view.state.incident(id).ok_or_else(not_found)?.clone();
        let known = self.known(incident.secret_id).await?;
        let facts = known.as_ref().map(|known| &known.placed.facts);
        let audits: Result<Permit<ReadAudit>, Refusal> = caller.permit_on(facts);
        let permit: Permit<AnyAction> = audits
            .map(|permit| permit.to_look())
            .or_else(|_| caller.permit_on::<ManagePolicy>(facts).map(|permit| permit.to_look()))
            .map_err(|_| not_found())?;
        let known = known.ok_or_else(not_found)?;
        let (facts, now) = (&known.placed.facts, caller.now());
        let mut could_read: Vec<AccessDetails> = self.policy.readers(&view, facts.clone(), now, MOST + 1).await?;
        let more_readers = could_read.len() > MOST;
        could_read.truncate(MOST);
        let (mut tokens, mut more_tokens, mut after) = (Vec::new(), true, None);
        for _look in 0..LOOKS {
            let page: NamingTokens = self.store.tokens_naming(&permit, facts.id, after, now).await?;
            tokens.extend(page.tokens);
            after = page.next;
            if after.is_none() {
                more_tokens = false;
                break;
            }
        }
        let mut uses: BTreeMap<Subject, UsedBy> = BTreeMap::new();
        for token in &tokens {
            let used = uses.entry(token.subject).or_default();
            *used = UsedBy {
                last_minted_at: used.last_minted_at.max(token.issued_at),
                tokens: used.tokens.saturating_add(1),
            };
        }
        more_tokens |= tokens.len() > MOST;
        tokens.truncate(MOST);
        let revoked_by = self.store.number_of(Event::Secret(facts.id)).await?;
        self.audit.record(IncidentAct::Report(facts.id, id), origin).await?;
        Ok(Report {
            shown: Shown { incident, frozen: is_frozen_by(Some(&known), id) },
            made_at: now,
            owner: known.owner(),
            could_read,
            more_readers,
            tokens,
            more_tokens,
            uses,
            revoked_by,
        })
    }
}
