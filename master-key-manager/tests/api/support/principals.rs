//! Services and people, as tests need them: made in the registry itself, so that they do not depend on routes.

use actix_web::http::Method;
use manager_api::name::{AccountName, DisplayName};
use manager_registry::{Author, Change, Credential, Person, Proof, Service};
use serde_json::{Value, json};
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::credential::PlainCredential;
use shared_proto::id::{CredentialId, PersonId, ServiceId, Subject};

use super::{Answer, Manager};

/// A principal with a credential.
pub(crate) struct Principal {
    pub(crate) subject: Subject,
    pub(crate) credential: CredentialId,
    bearer: String,
}

impl Principal {
    pub(crate) fn id(&self) -> String {
        self.subject.to_string()
    }

    pub(crate) fn bearer(&self) -> &str {
        &self.bearer
    }
}

pub(crate) fn now() -> u64 {
    SystemClock.now()
}

impl Manager {
    /// A service with a credential and no right.
    pub(crate) async fn service(&self, name: &str) -> Principal {
        self.principal(name, false, |_| {}).await
    }

    /// A person with a credential and no right.
    pub(crate) async fn person(&self, name: &str) -> Principal {
        self.principal(name, true, |_| {}).await
    }

    /// A principal whose credential the test alters.
    pub(crate) async fn principal(
        &self,
        name: &str,
        is_person: bool,
        alter: impl FnOnce(&mut Credential),
    ) -> Principal {
        let plain = PlainCredential::generate();
        let account = AccountName::parse(name).unwrap();
        let (subject, record): (Subject, Change) = if is_person {
            let display_name = DisplayName::parse(name).unwrap();
            let person_id = PersonId::generate();
            let created_at = now();
            let person = Person { person_id, name: account, display_name, email: None, created_at, disabled_at: None };
            (Subject::Person(person_id), person.into())
        } else {
            let service = Service::new(ServiceId::generate(), account, now());
            (service.subject(), service.into())
        };
        let proof = Proof::opaque(self.app.keys.now().credentials.hash(&plain));
        let mut credential = Credential::new(CredentialId::generate(), subject, proof, now());
        alter(&mut credential);
        let id = credential.credential_id;
        self.put(vec![record, credential.into()]).await;
        Principal { subject, credential: id, bearer: plain.expose_text().to_string() }
    }

    /// Another credential of a principal, which the test alters.
    pub(crate) async fn another_credential(&self, of: &Principal, alter: impl FnOnce(&mut Credential)) -> Principal {
        let plain = PlainCredential::generate();
        let proof = Proof::opaque(self.app.keys.now().credentials.hash(&plain));
        let mut credential = Credential::new(CredentialId::generate(), of.subject, proof, now());
        alter(&mut credential);
        let id = credential.credential_id;
        self.put(vec![credential.into()]).await;
        Principal { subject: of.subject, credential: id, bearer: plain.expose_text().to_string() }
    }

    /// Changes the registry as an operator does, without revocations at the vault.
    pub(crate) async fn put(&self, changes: Vec<Change>) {
        self.app.registry.change((Author::Operator, "test", now()), None, |_| Ok(changes)).await.unwrap();
    }

    /// Disables a service, as its route will.
    pub(crate) async fn disable(&self, principal: &Principal) {
        let Subject::Service(id) = principal.subject else { panic!("a service") };
        let view = self.app.registry.now().await.unwrap();
        let service = Service { disabled_at: Some(now()), ..view.state.service(id).unwrap().clone() };
        self.put(vec![service.into()]).await;
    }

    /// A request with a principal's credential.
    pub(crate) async fn by(&self, who: &Principal, method: Method, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", who.bearer);
        self.send(method, path, &[("authorization", &bearer)], body.map(|body| body.to_string())).await
    }

    /// A group, made by the administrator.
    pub(crate) async fn group(&self, name: &str) -> String {
        self.post("/api/groups", json!({"name": name})).await.expect(201).member("group_id")
    }

    /// The administrator puts a principal into a group.
    pub(crate) async fn join(&self, group: &str, who: &Principal) {
        let body = json!({"principals": [who.id()]});
        self.post(&format!("/api/groups/{group}/members"), body).await.expect(200);
    }

    /// The administrator assigns a role in a folder of `dev`.
    pub(crate) async fn assign(&self, party: &str, role: &str, pattern: &str) -> String {
        let body = json!({"party": party, "role": role, "environment": "dev", "pattern": pattern, "reason": "test"});
        self.post("/api/roles", body).await.expect(201).member("assignment_id")
    }

    /// The administrator allows or denies in a folder of `dev`.
    pub(crate) async fn permit(&self, party: &str, effect: &str, actions: &[&str], pattern: &str) -> String {
        self.post("/api/permissions", permission(party, effect, actions, pattern))
            .await
            .expect(201)
            .member("permission_id")
    }

    /// Tells whether somebody gets a token for a secret.
    pub(crate) async fn mints(&self, who: &Principal, secret: &str) -> bool {
        let body = json!({"secrets": [{"key_id": secret}]});
        let answer = self.by(who, Method::POST, "/api/tokens", Some(body)).await;
        match answer.status.as_u16() {
            201 => true,
            404 => {
                answer.refused("secret_not_found");
                false
            }
            // The second in which a line ends came between the decision and its transaction.
            401 => {
                answer.refused("credential_invalid");
                false
            }
            other => panic!("{other}: {}", answer.text),
        }
    }
}

/// The body of a permission in `dev`.
pub(crate) fn permission(party: &str, effect: &str, actions: &[&str], pattern: &str) -> Value {
    json!({
        "party": party, "effect": effect, "actions": actions, "environment": "dev", "pattern": pattern,
        "reason": "test",
    })
}
