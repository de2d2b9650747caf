//! Audit events about values that are compared. A comparison tests a guess, so its line is durable before its answer.

use service_runtime::audit::{self, AuditRecord, AuditStatus, Origin};
use shared_proto::id::{SecretId, Version};

use super::action::VALUE_FIND;

/// A comparison of values.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum ValueAct {
    /// A value is compared with that of a version.
    Compare(SecretId, Version),
    /// The values of two versions of a secret are compared.
    CompareVersions(SecretId, [Version; 2]),
    /// Versions with the same value as the first one are given out.
    Find(Vec<(SecretId, Version)>),
}

impl audit::Act for ValueAct {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = |action| AuditRecord::new(action, AuditStatus::Success, origin);
        match self {
            Self::Compare(secret, version) => {
                line("value.compare").key_id(secret.to_string()).secrets([(secret, version)])
            }
            Self::CompareVersions(secret, versions) => line("value.compare_versions")
                .key_id(secret.to_string())
                .secrets(versions.map(|version| (secret, version))),
            Self::Find(versions) => line(VALUE_FIND).secrets(versions),
        }
    }
}

/// Every event with its meaning, for the reference.
#[cfg(test)]
pub(super) fn documented(origin: &Origin) -> Vec<(&'static str, AuditRecord)> {
    use service_runtime::audit::Act as _;
    use strum::{EnumCount as _, EnumMessage as _};

    let (secret, version) = (SecretId::generate(), Version::FIRST);
    let acts = [
        ValueAct::Compare(secret, version),
        ValueAct::CompareVersions(secret, [version; 2]),
        ValueAct::Find(vec![(secret, version)]),
    ];
    assert_eq!(acts.len(), ValueAct::COUNT);
    acts.into_iter().map(|act| (act.get_documentation().unwrap_or_default(), act.line(origin))).collect()
}
