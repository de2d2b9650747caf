//! For every route a request that does what the route is for.

use actix_web::http::Method;
use master_key_manager::audit_event::action;
use master_key_manager::routes::ROUTES;
use serde_json::{Value, json};
use service_runtime::http::{Access, Route};

use super::{Installed, Manager, Row};

/// What requests are about.
pub(crate) struct Facts {
    pub(crate) secret: String,
    /// To be destroyed.
    pub(crate) doomed: String,
    pub(crate) jti: String,
    /// Something for `adopt` to find.
    pub(crate) lost: String,
    /// A service, and one whose credential is renewed and disabled.
    pub(crate) service: String,
    pub(crate) exchanged: [String; 2],
}

/// A request, without its credential.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
}

impl Facts {
    pub(crate) async fn new(installed: &Installed, manager: &Manager) -> Self {
        let stored = manager.store_value("facts", "v").await.expect(201);
        let doomed = manager.store_value("doomed", "v").await.expect(201).member("key_id");
        let environment = manager.environment("dev");
        let lost = shared_proto::id::SecretId::generate();
        let row = Row::Foreign { environment };
        installed.vault.state().rows.insert((lost, shared_proto::id::Version::FIRST), row);
        let register = async |name: &str| {
            let body = json!({"name": name, "required_keys": [{"environment": "dev", "pattern": "facts"}]});
            manager.post("/api/services", body).await.expect(201).member("service_id")
        };
        let (service, exchanged) = (register("facts").await, register("exchanged").await);
        let credential = json!({"name": "facts", "expires_in": "90d"});
        let made = manager.post(&format!("/api/services/{exchanged}/credentials"), credential).await.expect(201).json();
        let exchanged = [exchanged, made["details"]["credential_id"].as_str().unwrap().to_owned()];
        Self {
            service,
            exchanged,
            secret: stored.member("key_id"),
            doomed,
            jti: stored.member("jti"),
            lost: lost.to_string(),
        }
    }

    /// A request that this route would obey. A new route needs an arm here, and is tested by it: without one it is
    /// `uncovered` in the table of authorization.
    pub(crate) fn request(&self, route: &Route) -> Option<Request> {
        let body = match route.id {
            action::SECRET_STORE => {
                Some(json!({"user_id": "u", "key_data": "late", "path": "late", "environment": "dev"}))
            }
            action::SECRET_DESTROY => Some(json!({"versions": [1]})),
            action::SECRET_ROLLBACK => Some(json!({"version": 1})),
            action::TOKEN_MINT => Some(json!({"grants": [{"key_id": self.secret}]})),
            action::REVOCATION_CREATE => Some(json!({"kind": "all"})),
            action::CATALOGUE_RECONCILE => Some(json!({"adopt": true})),
            action::ENVIRONMENT_CREATE => Some(json!({"name": "lab"})),
            action::ENVIRONMENT_UPDATE => Some(json!({"display_name": "Late"})),
            action::RATE_LIMIT_UPDATE => Some(json!({"address": {"per_second": 9000, "burst": 9000}})),
            action::SERVICE_CREATE => Some(json!({"name": "late"})),
            action::SERVICE_UPDATE => Some(json!({"description": "Late"})),
            action::SERVICE_APPROVE => Some(json!({"required_keys": [{"environment": "dev", "pattern": "facts"}]})),
            action::CREDENTIAL_CREATE => Some(json!({"name": "late", "expires_in": 60})),
            action::SERVICE_TOKEN_CREATE => Some(json!({"service_name": "facts", "expires_in": "1y"})),
            action::SECRET_SHOW
            | action::SECRET_LIST
            | action::TOKEN_LIST
            | action::TOKEN_REVOKE
            | action::REVOCATION_LIST
            | action::SERVICE_SHOW
            | action::SERVICE_LIST
            | action::SERVICE_ENABLE
            | action::SERVICE_DISABLE
            | action::SERVICE_SECRETS
            | action::CREDENTIAL_LIST
            | action::CREDENTIAL_RENEW
            | action::CREDENTIAL_DISABLE
            | action::ENVIRONMENT_LIST
            | action::ENVIRONMENT_SHOW
            | action::ENVIRONMENT_FREEZE
            | action::ENVIRONMENT_UNFREEZE
            | action::ENVIRONMENT_DISABLE
            | action::ENVIRONMENT_ENABLE
            | action::RATE_LIMIT_SHOW => None,
            _ if route.access == Access::Public => None,
            _ => return None,
        };
        // Nothing is rolled back to what is destroyed.
        let secret = if route.id == action::SECRET_ROLLBACK { &self.secret } else { &self.doomed };
        let target = route.path.replace("{key_id}", secret).replace("{jti}", &self.jti).replace("{name}", "staging");
        let [exchanged, credential] = &self.exchanged;
        let service = if target.contains("{credential_id}") { exchanged } else { &self.service };
        let target = target.replace("{service_id}", service).replace("{credential_id}", credential);
        Some(Request { method: route.method.clone(), target, body })
    }
}

/// The routes that need a credential.
pub(crate) fn guarded_routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.rows().filter(|route| route.access != Access::Public)
}

/// The routes whose act is a change of principals or policy.
pub(crate) fn changes_the_registry(route: &Route) -> bool {
    let reads = [action::SERVICE_LIST, action::SERVICE_SHOW, action::SERVICE_SECRETS, action::CREDENTIAL_LIST];
    let of_registry = ["service.", "service_token.", "credential."].iter().any(|noun| route.id.starts_with(noun));
    route.id == action::RATE_LIMIT_UPDATE || of_registry && !reads.contains(&route.id)
}
