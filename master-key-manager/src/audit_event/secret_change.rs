//! The audit event of a change of a secret: where it was, and what became another.

use manager_api::name::SecretPath;
use service_runtime::audit::{self, AuditRecord, AuditStatus, Origin};
use shared_proto::id::SecretId;

use super::action;

/// A change of the path, the rules or the description of a secret. It has the names of members, and not what they say.
#[derive(Clone, Debug)]
pub struct SecretChange<'a> {
    /// The secret.
    pub secret: SecretId,
    /// Its path afterwards.
    pub path: &'a SecretPath,
    /// Its path before, if that is another one.
    pub former: Option<&'a SecretPath>,
    /// The names of the members that change.
    pub changed: Vec<&'static str>,
}

impl audit::Act for SecretChange<'_> {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = AuditRecord::new(action::SECRET_CHANGE, AuditStatus::Success, origin);
        let line = line.key_id(self.secret.to_string()).key_path(self.path.as_str()).changed(self.changed);
        match self.former {
            Some(former) => line.former_path(former.as_str()),
            None => line,
        }
    }
}

/// The event with its meaning, for the reference.
#[cfg(test)]
pub(super) fn documented(origin: &Origin) -> Vec<(&'static str, AuditRecord)> {
    use service_runtime::audit::Act as _;

    let (secret, path) = (SecretId::generate(), SecretPath::unnamed(SecretId::generate()));
    let act = SecretChange { secret, path: &path, former: Some(&path), changed: vec!["path"] };
    vec![("The path, the rules or the description of a secret are changed.", act.line(origin))]
}
