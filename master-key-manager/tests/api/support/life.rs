//! Secrets and acts that await approval, for requests about them.

use actix_web::http::Method;
use manager_api::id::{ApprovalId, IncidentId};
use manager_api::incidents::IncidentKind;
use manager_registry::{Approval, Incident};
use serde_json::json;

use super::Manager;

/// Secrets and acts that await approval, each for another request.
pub(super) struct Life {
    pub(super) active: String,
    pub(super) deleted: String,
    pub(super) erased: String,
    /// It is read after an approval.
    pub(super) guarded: String,
    /// An act that a service has asked for.
    pub(super) approval: String,
    /// One that the administrator has asked for.
    pub(super) own: String,
    /// An incident of that secret.
    pub(super) incident: String,
}

impl Life {
    pub(super) async fn new(manager: &Manager, number: usize) -> Self {
        // A service that is nobody's: whoever made a credential of the asker approves nothing for it.
        let asker = manager.service(&format!("asker-{number}")).await;
        manager.permit(&asker.id(), "allow", &["read"], "life/**").await;
        let store = async |name: &str| {
            let path = format!("life/{name}-{number}");
            manager.store_value(&path, "v").await.expect(201).member("key_id")
        };
        let (active, deleted, erased) = (store("active").await, store("deleted").await, store("erased").await);
        for secret in [&deleted, &erased] {
            manager.admin(Method::DELETE, &format!("/api/secrets/{secret}"), None).await.expect(200);
        }
        let guarded = store("guarded").await;
        let guard = Some(json!({"requires_approval": true}));
        manager.admin(Method::PATCH, &format!("/api/secrets/{guarded}"), guard).await.expect(200);
        let ask = Some(json!({"key_id": guarded, "seconds": 60, "reason": "test"}));
        let own = manager.admin(Method::POST, "/api/approvals", ask).await.expect(202).member("approval_id");
        // As a record: all lines of the audit log are the administrator's.
        let view = manager.app.registry.now().await.unwrap();
        let approval_id = ApprovalId::generate();
        let known = view.state.approval(own.parse().unwrap()).unwrap().clone();
        let incident = Incident {
            incident_id: IncidentId::generate(),
            incident_kind: IncidentKind::Compromise,
            secret_id: guarded.parse().unwrap(),
            environment_id: known.environment_id,
            path: known.path.clone(),
            reason: known.reason.clone(),
            since: None,
            opened_by: Some(asker.subject),
            opened_at: 1,
            done: Vec::new(),
            notes: Vec::new(),
            closed_by: None,
            closed_at: None,
        };
        let incident_id = incident.incident_id.to_string();
        manager.put(vec![Approval { approval_id, asked_by: asker.subject, ..known }.into(), incident.into()]).await;
        let approval = approval_id.to_string();
        Self { active, deleted, erased, guarded, approval, own, incident: incident_id }
    }
}
