//! Services that may read a part of an environment, as an operator would enter them.

use manager_api::id::PermissionId;
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText};
use manager_api::tags::Tags;
use manager_registry::{Author, Change, Credential, Permission, Proof, Service, Terms};
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::Manager;

/// A service with a credential.
pub(crate) struct Reader {
    pub(crate) service: ServiceId,
    pub(crate) subject: Subject,
    pub(crate) credential_id: CredentialId,
    pub(crate) credential: String,
}

impl Manager {
    /// A service that may read and list what fits a pattern of an environment.
    pub(crate) async fn reader_of(&self, name: &str, environment: &str, pattern: &str) -> Reader {
        let actions = [Action::Read, Action::List];
        self.service_with(name, &actions, Some((environment, pattern))).await
    }

    /// A service that may do this, in a part of an environment or everywhere.
    pub(crate) async fn service_with(&self, name: &str, actions: &[Action], part: Option<(&str, &str)>) -> Reader {
        let (service, credential_id) = (ServiceId::generate(), CredentialId::generate());
        let (subject, plain) = (Subject::Service(service), PlainCredential::generate());
        let hash = self.app.keys.now().credentials.hash(&plain);
        let permission = Permission {
            permission_id: PermissionId::generate(),
            party: PartyId::Principal(subject),
            effect: Effect::Allow,
            actions: actions.iter().copied().collect(),
            environment: part.map(|(environment, _)| self.environment(environment)),
            pattern: PatternText::parse(part.map_or("**", |(_, pattern)| pattern)).unwrap(),
            tags: Tags::default(),
            terms: Terms::unlimited(1),
        };
        let changes: Vec<Change> = vec![
            Service::new(service, AccountName::parse(name).unwrap(), 1).into(),
            Credential::new(credential_id, subject, Proof::opaque(hash), 1).into(),
            permission.into(),
        ];
        self.app.registry.change((Author::Operator, "", 1), None, |_| Ok(changes)).await.unwrap();
        Reader { service, subject, credential_id, credential: plain.expose_text().to_string() }
    }
}
