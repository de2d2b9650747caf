//! Audit events of the answer to a suspicion: checks of integrity, and incidents.

use manager_api::id::IncidentId;
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

/// An act on an incident. Its line names the incident.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum IncidentAct {
    /// An incident of a secret is opened, with its freeze and the revocation of its tokens.
    Open(SecretId, IncidentId),
    /// A list of incidents is given out.
    List,
    /// An incident is described.
    Show(SecretId, IncidentId),
    /// Steps of an incident are marked, a note is added, its freeze is lifted, or it is closed.
    Change(SecretId, IncidentId),
    /// The report of an incident is given out.
    Report(SecretId, IncidentId),
}

impl audit::Act for IncidentAct {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = |action| AuditRecord::new(action, AuditStatus::Success, origin);
        let (line, (secret, id)) = match self {
            Self::List => return line(action::INCIDENT_LIST),
            Self::Open(secret, id) => (line(action::INCIDENT_OPEN), (secret, id)),
            Self::Show(secret, id) => (line(action::INCIDENT_SHOW), (secret, id)),
            Self::Change(secret, id) => (line(action::INCIDENT_UPDATE), (secret, id)),
            Self::Report(secret, id) => (line(action::INCIDENT_REPORT), (secret, id)),
        };
        line.key_id(secret.to_string()).target(id.to_string())
    }
}

/// Every event with its meaning, for the reference.
#[cfg(test)]
pub(super) fn documented(origin: &Origin) -> Vec<(&'static str, AuditRecord)> {
    use service_runtime::audit::Act as _;
    use strum::{EnumCount as _, EnumMessage as _};

    let acts = [CheckAct::Secret(SecretId::generate()), CheckAct::Catalogue];
    assert_eq!(acts.len(), CheckAct::COUNT);
    let checks = acts.into_iter().map(|act| (act.get_documentation().unwrap_or_default(), act.line(origin)));
    let (secret, id) = (SecretId::generate(), IncidentId::generate());
    let acts = [
        IncidentAct::Open(secret, id),
        IncidentAct::List,
        IncidentAct::Show(secret, id),
        IncidentAct::Change(secret, id),
        IncidentAct::Report(secret, id),
    ];
    assert_eq!(acts.len(), IncidentAct::COUNT);
    let incidents = acts.into_iter().map(|act| (act.get_documentation().unwrap_or_default(), act.line(origin)));
    checks.chain(incidents).collect()
}
