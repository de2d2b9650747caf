//! The facts of the policy, and the comparison of what a permit was decided from.

use async_trait::async_trait;
use manager_policy::{Action, Actions, Basis, Facts, Holder, Line, PolicyEpoch, Scope};
use service_runtime::sql::{SqlError, Tx};

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

/// The reason why a permit counts no more; `None` while all that it was decided from is as it was.
pub(super) fn outdated(tx: &mut Tx<'_>, basis: Basis) -> Result<Option<ActError>, SqlError> {
    let (enabled, epoch) = tx.one(
        "SELECT EXISTS (SELECT 1 FROM credentials WHERE credential_id = ?1 AND disabled_at IS NULL),
                COALESCE(MAX(epoch), 1) FROM policy",
        &[&basis.credential().as_bytes()],
        |row| Ok((row.get::<bool>(0)?, PolicyEpoch(row.get(1)?))),
    )?;
    Ok(match (enabled, epoch == basis.epoch()) {
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
    let administrators =
        tx.all("SELECT DISTINCT subject FROM credentials WHERE hmac IS NOT NULL ORDER BY subject", &[], |row| {
            row.parse(0).map(Holder::Principal)
        })?;
    let line = |holder, actions| Line { holder, actions, scope: Scope::Installation };
    let mut lines: Vec<Line> = administrators.into_iter().map(|holder| line(holder, Actions::ALL)).collect();
    if tx.exists("SELECT 1 FROM installation WHERE mode = 'development'", &[])? {
        lines.push(line(Holder::Stranger, [Action::Write, Action::Read].into_iter().collect()));
    }
    Ok(Facts { epoch: epoch(tx)?, lines })
}
