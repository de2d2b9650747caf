//! The facts of the policy, and the comparison of what a permit was decided from.

use std::sync::Arc;

use async_trait::async_trait;
use manager_api::id::{AssignmentId, PermissionId};
use manager_api::tags::Tags;
use manager_policy::{
    Action, Assignment, Basis, Effect, Facts, Line, Note, Party, Period, Permission, PolicyEpoch, Principal, Reach,
    Role, State,
};
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::Subject;

use super::SqlStore;
use crate::{ActError, PolicyStore, Stored};

#[async_trait]
impl PolicyStore for SqlStore {
    async fn facts(&self) -> Stored<Facts> {
        self.sql.read("facts", facts).await
    }

    async fn policy_epoch(&self) -> Stored<PolicyEpoch> {
        self.sql.read("policy_epoch", epoch).await
    }
}

/// The reason why a permit counts no more; `None` while all that it was decided from is as it was, and no line of the
/// policy that matters has begun or ended meanwhile.
pub(super) fn outdated(tx: &mut Tx<'_>, basis: Basis) -> Result<Option<ActError>, SqlError> {
    let (enabled, epoch) = tx.one(
        "SELECT EXISTS (SELECT 1 FROM credentials WHERE credential_id = ?1 AND disabled_at IS NULL),
                COALESCE(MAX(epoch), 1) FROM policy",
        &[&basis.credential().as_bytes()],
        |row| Ok((row.get::<bool>(0)?, PolicyEpoch(row.get(1)?))),
    )?;
    let is_same = epoch == basis.epoch() && basis.holds_at(SystemClock.now());
    Ok(match (enabled, is_same) {
        (true, true) => None,
        (true, false) => Some(ActError::PolicyChanged),
        (false, _) => Some(ActError::CredentialDisabled),
    })
}

/// Makes every permit that was decided before count no more.
pub(super) fn raise_epoch(tx: &mut Tx<'_>) -> Result<(), SqlError> {
    tx.execute(
        "INSERT INTO policy (only_row, epoch) VALUES (1, 2)
         ON CONFLICT (only_row) DO UPDATE SET epoch = policy.epoch + 1",
        &[],
    )
    .map(|_rows| ())
}

/// The epoch; 1 before the first change.
fn epoch(tx: &mut Tx<'_>) -> Result<PolicyEpoch, SqlError> {
    tx.one("SELECT COALESCE(MAX(epoch), 1) FROM policy", &[], |row| row.get(0).map(PolicyEpoch))
}

fn facts(tx: &mut Tx<'_>) -> Result<Facts, SqlError> {
    // Every credential with a hash is an administrator's so far.
    let administrators: Vec<Subject> =
        tx.all("SELECT DISTINCT subject FROM credentials WHERE hmac IS NOT NULL ORDER BY subject", &[], |row| {
            row.parse(0)
        })?;
    let mut state = State::default();
    for subject in administrators {
        state.principals.push(Principal { id: subject, disabled: false });
        state.lines.push(Arc::new(administrator(subject)?));
    }
    if tx.exists("SELECT 1 FROM installation WHERE mode = 'development'", &[])? {
        state.lines.push(Arc::new(strangers()));
    }
    Ok(Facts::new(epoch(tx)?, state))
}

/// The line of the administrator, which is not stored. Its id is the subject's own.
fn administrator(subject: Subject) -> Result<Line, SqlError> {
    let id = match subject {
        Subject::Person(id) => *id.as_bytes(),
        Subject::Service(id) => *id.as_bytes(),
    };
    let (id, to) = (AssignmentId::from_bytes(id), (Party::Principal(subject), Role::SuperAdmin));
    let assignment = Assignment::new(id, to, Reach::everything(), Period::ALWAYS, UNSAID);
    assignment.map(Line::Assignment).map_err(|_| SqlError::unreadable())
}

/// The line of callers without a credential in development mode, which is not stored.
fn strangers() -> Line {
    Line::Permission(Permission {
        id: PermissionId::from_bytes([0; 16]),
        party: Party::Strangers,
        effect: Effect::Allow,
        actions: [Action::Write, Action::Read].into_iter().collect(),
        reach: Reach::everything(),
        condition: Tags::default(),
        period: Period::ALWAYS,
        note: UNSAID,
    })
}

const UNSAID: Note = Note { author: None, reason: None };
