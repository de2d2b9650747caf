//! Audit events of the answer to a suspicion: checks of integrity.

use service_runtime::audit::{self, AuditRecord, AuditStatus, Origin};
use shared_proto::id::SecretId;

use super::action;

/// A check, which is recorded before the vault is asked.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum CheckAct {
    /// The versions of a secret are compared with what the vault has.
    Secret(SecretId),
    /// A page of the catalogue is compared with what the vault has.
    Catalogue,
}

impl audit::Act for CheckAct {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = |action| AuditRecord::new(action, AuditStatus::Success, origin);
        match self {
            Self::Secret(secret) => line(action::SECRET_CHECK).key_id(secret.to_string()),
            Self::Catalogue => line(action::CATALOGUE_CHECK),
        }
    }
}

/// Every event with its meaning, for the reference.
#[cfg(test)]
pub(super) fn documented(origin: &Origin) -> Vec<(&'static str, AuditRecord)> {
    use service_runtime::audit::Act as _;
    use strum::{EnumCount as _, EnumMessage as _};

    let acts = [CheckAct::Secret(SecretId::generate()), CheckAct::Catalogue];
    assert_eq!(acts.len(), CheckAct::COUNT);
    acts.into_iter().map(|act| (act.get_documentation().unwrap_or_default(), act.line(origin))).collect()
}
