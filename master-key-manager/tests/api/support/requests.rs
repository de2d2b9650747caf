//! For every route a request that does what the route is for.

use actix_web::http::Method;
use manager_api::name::AccountName;
use manager_registry::{Change, Kind, Record};
use master_key_manager::audit_event::action;
use master_key_manager::routes::ROUTES;
use serde_json::{Value, json};
use service_runtime::http::{Access, Route};
use shared_proto::id::PersonId;

use super::life::Life;
use super::{Installed, Manager, PASSWORD, Row, Signer, account, permission};

/// What requests are about.
pub(crate) struct Facts {
    /// Distinguishes what several of them make.
    number: usize,
    pub(crate) secret: String,
    /// To be destroyed.
    pub(crate) doomed: String,
    /// One with a pending version, and one in its grace time.
    staged: String,
    rotated: String,
    pub(crate) jti: String,
    /// Something for `adopt` to find.
    pub(crate) lost: String,
    /// A service, and one whose credential is renewed and disabled.
    pub(crate) service: String,
    pub(crate) exchanged: [String; 2],
    people: People,
    /// A service with a key that is to be disabled.
    pub(crate) keyed: [String; 2],
    pub(crate) trust: String,
    /// The body of a token request.
    pub(crate) form: String,
    policy: Policy,
    life: Life,
}

/// Groups and lines, of each kind one to be deleted.
struct Policy {
    service: String,
    joining: String,
    group: String,
    doomed_group: String,
    permission: String,
    doomed_permission: String,
    assignment: String,
    version: u64,
}

/// People, each for other requests.
struct People {
    /// Disabled, enabled, reset, and enrolled again.
    subject: String,
    /// An account with a password.
    member: String,
    name: String,
    session: String,
    /// The code of somebody who has not come yet.
    code: String,
    /// A code that nobody redeems.
    enrolment: String,
}

impl People {
    /// Made in the registry itself: the table of authorization has many of them.
    async fn new(manager: &Manager, number: usize) -> Self {
        let member = AccountName::parse("member").unwrap();
        let view = manager.app.registry.now().await.unwrap();
        let known = match view.state.named(Kind::Person, &member) {
            Some(Record::Person(known)) => Some(known.person_id),
            _ => None,
        };
        let known = if let Some(known) = known { known } else { Self::member(manager).await };
        let [subject, newcomer, waiting] =
            ["subject", "newcomer", "waiting"].map(|name| account(&format!("{name}-{number}")));
        let ((code, redeemable), (_, open)) = (manager.code_for(&newcomer), manager.code_for(&waiting));
        // Not of the member, whose oldest sessions end by logins.
        let (_, session) = manager.session_of(waiting.person_id);
        let ids = (subject.person_id.to_string(), session.credential_id.to_string(), open.enrolment_id.to_string());
        let records: [Change; 6] =
            [subject.into(), newcomer.into(), waiting.into(), redeemable.into(), open.into(), session.into()];
        manager.put(records.into()).await;
        let name = member.as_str().to_owned();
        Self { subject: ids.0, member: known.to_string(), name, session: ids.1, code, enrolment: ids.2 }
    }

    /// Somebody with a password, whom all log in as.
    async fn member(manager: &Manager) -> PersonId {
        let member = account("member");
        let (id, (code, record)) = (member.person_id, manager.code_for(&member));
        manager.put(vec![member.into(), record.into()]).await;
        manager.redeem(&code, Some(PASSWORD)).await.expect(200);
        id
    }
}

/// A request, without its credential.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) body: Option<Value>,
    /// A form in its place.
    pub(crate) form: Option<String>,
}

impl Policy {
    async fn new(manager: &Manager, number: usize) -> Self {
        let member = manager.service(&format!("member-{number}")).await;
        let joining = manager.service(&format!("joining-{number}")).await.id();
        let (service, group) = (member.id(), manager.group(&format!("group-{number}")).await);
        manager.join(&group, &member).await;
        let folder = format!("folder-{number}/**");
        Self {
            doomed_group: manager.group(&format!("doomed-{number}")).await,
            permission: manager.permit(&group, "allow", &["list"], &folder).await,
            doomed_permission: manager.permit(&group, "allow", &["list"], &folder).await,
            assignment: manager.assign(&service, "publisher", &folder).await,
            service,
            joining,
            group,
            version: manager.app.registry.now().await.unwrap().state.policy_version().unwrap().number,
        }
    }
}

impl Facts {
    pub(crate) async fn new(installed: &Installed, manager: &Manager) -> Self {
        Self::numbered(installed, manager, 0).await
    }

    /// Those with a number, apart from all others.
    pub(crate) async fn numbered(installed: &Installed, manager: &Manager, number: usize) -> Self {
        let stored = manager.store_value(&format!("facts-{number}"), "v").await.expect(201);
        let doomed = manager.store_value(&format!("doomed-{number}"), "v").await.expect(201).member("key_id");
        let staged = manager.store_value(&format!("staged-{number}"), "v").await.expect(201).member("key_id");
        let pending = Some(json!({"value": "w", "stage": "pending", "token": false}));
        manager.admin(Method::PUT, &format!("/api/secrets/{staged}"), pending).await.expect(201);
        let rotated = manager.store_value(&format!("rotated-{number}"), "v").await.expect(201).member("key_id");
        manager.post(&format!("/api/secrets/{rotated}:rotate"), json!({"value": "w"})).await.expect(201);
        let environment = manager.environment("dev");
        let lost = shared_proto::id::SecretId::generate();
        let row = Row::Foreign { environment };
        installed.vault.state().rows.insert((lost, shared_proto::id::Version::FIRST), row);
        let register = async |name: &str| {
            let body = json!({"name": name, "required_keys": [{"environment": "dev", "pattern": "facts"}]});
            manager.post("/api/services", body).await.expect(201).member("service_id")
        };
        let (service, exchanged) =
            (register(&format!("facts-{number}")).await, register(&format!("exchanged-{number}")).await);
        let credential = json!({"name": "facts", "expires_in": "90d"});
        let made = manager.post(&format!("/api/services/{exchanged}/credentials"), credential).await.expect(201).json();
        let exchanged = [exchanged, made["details"]["credential_id"].as_str().unwrap().to_owned()];
        let (policy, people) = (Policy::new(manager, number).await, People::new(manager, number).await);
        let reader = manager.reader_of(&format!("keyed-{number}"), "dev", "**").await;
        let keyed = reader.service.to_string();
        let life = Life::new(manager, number).await;
        let required = json!({"required_keys": [{"environment": "dev", "pattern": "facts"}]});
        manager.admin(Method::PATCH, &format!("/api/services/{keyed}"), Some(required)).await.expect(200);
        let register = json!({"name": "k", "expires_in": "1d", "jwk": Signer::ed25519("a").jwk()});
        let key = manager.post(&format!("/api/services/{keyed}/keys"), register).await.expect(201);
        let trust = manager.post("/api/trusts", trust_of(&keyed)).await.expect(201);
        let (secret, jti) = (stored.member("key_id"), stored.member("jti"));
        let details = json!([{"type": "splitvault_secrets", "secrets": [{"key_id": secret}]}]).to_string();
        let form = format!(
            "grant_type=client_credentials&client_id={keyed}&client_secret={}&authorization_details={details}",
            reader.credential
        );
        let (keyed, trust) = ([keyed, key.member("credential_id")], trust.member("trust_id"));
        Self {
            number,
            secret,
            doomed,
            staged,
            rotated,
            jti,
            lost: lost.to_string(),
            keyed,
            trust,
            form,
            policy,
            life,
            service,
            exchanged,
            people,
        }
    }

    /// A request that this route would obey. A new route needs an arm here, and is tested by it: without one it is
    /// `uncovered` in the table of authorization.
    pub(crate) fn request(&self, route: &Route) -> Option<Request> {
        let body = match route.id {
            id if WITHOUT_BODY.contains(&id) => None,
            action::ROTATION_LIST | action::ROTATION_CALENDAR | action::NOTICE_LIST => None,
            action::SECRET_ROTATE => Some(json!({"value": "late", "emergency": true})),
            action::SECRET_PROMOTE => Some(json!({"unverified": true})),
            action::SECRET_VERIFY | action::SECRET_FINISH | action::SECRET_REPAIR => Some(json!({})),
            action::TOKEN_MINT => Some(json!({"secrets": [{"key_id": self.secret}]})),
            action::REVOCATION_CREATE => Some(json!({"kind": "all"})),
            action::CATALOGUE_RECONCILE => Some(json!({"adopt": true})),
            action::ENVIRONMENT_CREATE => Some(json!({"name": format!("lab-{}", self.number)})),
            action::SERVICE_KEY_REGISTER => {
                Some(json!({"name": "k", "expires_in": "1d", "jwk": Signer::ed25519("a").jwk()}))
            }
            action::TRUST_CREATE => Some(trust_of(&self.keyed[0])),
            action::TRUST_UPDATE => Some(json!({"name": "late"})),
            action::TRUST_DRY_RUN => Some(json!({"jwt": "a.b.c"})),
            action::ENVIRONMENT_UPDATE | action::PERSON_UPDATE => Some(json!({"display_name": "Late"})),
            action::RATE_LIMIT_UPDATE => Some(json!({"address": {"per_second": 9000, "burst": 9000}})),
            action::SERVICE_CREATE | action::PERSON_CREATE => Some(json!({"name": format!("late-{}", self.number)})),
            action::SERVICE_UPDATE => Some(json!({"description": "Late"})),
            action::SERVICE_APPROVE => Some(json!({"required_keys": [{"environment": "dev", "pattern": "facts"}]})),
            action::CREDENTIAL_CREATE => Some(json!({"name": "late", "expires_in": 60})),
            action::SERVICE_TOKEN_CREATE => {
                Some(json!({"service_name": format!("facts-{}", self.number), "expires_in": "1y"}))
            }
            action::ENROLMENT_CREATE => Some(json!({"person_id": self.people.subject})),
            action::ENROLMENT_REDEEM => Some(json!({"code": self.people.code, "password": PASSWORD})),
            action::SESSION_CREATE => Some(json!({"name": self.people.name, "password": PASSWORD})),
            action::SESSION_REAUTHENTICATE => Some(json!({"password": PASSWORD})),
            action::PASSWORD_CHANGE => Some(json!({"old_password": PASSWORD, "new_password": PASSWORD})),
            action::TOTP_CONFIRM => Some(json!({"code": "000000"})),
            _ if route.access == Access::Public => None,
            _ => Some(self.secret_body(route).or_else(|| self.policy_body(route))?),
        };
        // Nothing is rolled back to what is destroyed.
        let living = route.id.starts_with("version.") && route.id != action::VERSION_DESTROY;
        let secret = match route.id {
            action::SECRET_ROLLBACK
            | action::SECRET_UPDATE
            | action::SECRET_CHANGE
            | action::SECRET_ROTATE
            | action::SECRET_REPAIR
            | action::SECRET_CHECK
            | action::INCIDENT_OPEN
            | action::VALUE_FIND => &self.secret,
            action::SECRET_VERIFY | action::SECRET_PROMOTE => &self.staged,
            action::SECRET_FINISH => &self.rotated,
            action::SECRET_DELETE => &self.life.active,
            action::SECRET_UNDELETE => &self.life.deleted,
            action::SECRET_ERASE => &self.life.erased,
            _ if living => &self.secret,
            _ => &self.doomed,
        };
        let target = route.path.replace("{key_id}", secret).replace("{jti}", &self.jti).replace("{name}", "staging");
        let target = target.replace("{version}", "1");
        let policy = &self.policy;
        let (group, line) = match route.id {
            action::GROUP_DELETE => (&policy.doomed_group, &policy.permission),
            action::PERMISSION_DELETE => (&policy.group, &policy.doomed_permission),
            _ => (&policy.group, &policy.permission),
        };
        let target = target.replace("{group_id}", group).replace("{permission_id}", line);
        let target = target.replace("{principal}", &policy.service).replace("{assignment_id}", &policy.assignment);
        let target = target.replace("{number}", &policy.version.to_string());
        let [exchanged, credential] = if target.contains("/keys") { &self.keyed } else { &self.exchanged };
        let service = if target.contains("{credential_id}") { exchanged } else { &self.service };
        let target = target.replace("{service_id}", service).replace("{credential_id}", credential);
        let People { subject, member, session, enrolment, .. } = &self.people;
        let target = target.replace("{person_id}", subject).replace("{session_id}", session);
        let mut target = target.replace("{enrolment_id}", enrolment);
        if route.id == action::FOLDER_LIST {
            target.push_str("?environment=dev");
        }
        if route.id == action::SESSION_LIST {
            target = format!("{target}?person={member}");
        }
        if route.id == action::VERSION_DIFF {
            target = format!("{target}?with=1");
        }
        target = target.replace("{trust_id}", &self.trust);
        let approval = if route.id == action::APPROVAL_CANCEL { &self.life.own } else { &self.life.approval };
        target = target.replace("{approval_id}", approval).replace("{incident_id}", &self.life.incident);
        let form = (route.id == action::OAUTH_TOKEN).then(|| self.form.clone());
        Some(Request { method: route.method.clone(), target, body, form })
    }

    /// The body of a request about secrets, versions or approvals.
    fn secret_body(&self, route: &Route) -> Option<Value> {
        Some(match route.id {
            action::SECRET_STORE => {
                json!({"user_id": "u", "key_data": "late", "path": "late", "environment": "dev"})
            }
            action::SECRET_CREATE => {
                json!({"path": format!("made-{}", self.number), "value": "late", "environment": "dev"})
            }
            action::SECRET_UPDATE => json!({"value": "late"}),
            action::SECRET_BULK => {
                json!({"operations": [{"write": {"key_id": self.secret, "body": {"value": "late"}}}]})
            }
            action::SECRET_IMPORT => json!({
                "format": "dotenv", "document": format!("IMPORTED_{}=late", self.number), "environment": "dev",
            }),
            action::SECRET_CHANGE => json!({"description": "late"}),
            action::SECRET_DESTROY => json!({"versions": [1]}),
            action::SECRET_ROLLBACK => json!({"version": 1}),
            action::SECRET_ERASE => json!({"reason": "late"}),
            action::INCIDENT_OPEN => json!({"kind": "loss", "reason": "late"}),
            action::APPROVAL_CREATE => json!({"key_id": self.life.guarded, "seconds": 120, "reason": "late"}),
            action::VERSION_CREATE => json!({"value": "late", "token": false}),
            action::INCIDENT_UPDATE | action::VERSION_UPDATE => json!({"note": "late"}),
            _ => return None,
        })
    }

    /// The body of a request about groups or policy.
    fn policy_body(&self, route: &Route) -> Option<Value> {
        let policy = &self.policy;
        let target = json!({"key_id": self.secret});
        Some(match route.id {
            action::GROUP_CREATE => json!({"name": format!("late-{}", self.number)}),
            action::GROUP_UPDATE => json!({"description": "Late"}),
            action::MEMBER_ADD => json!({"principals": [policy.joining]}),
            action::ROLE_ASSIGN => json!({
                "party": policy.service, "role": "service_user", "environment": "dev", "pattern": "late/**",
                "reason": "late",
            }),
            action::PERMISSION_CREATE => permission(&policy.service, "allow", &["list"], "late/**"),
            action::PERMISSION_EXPLAIN => json!({"action": "read", "target": target}),
            action::PERMISSION_WHO_CAN => json!({"target": target}),
            action::PERMISSION_DRY_RUN => json!({
                "changes": [{"kind": "disable-principal", "principal": policy.service}], "secrets": [target],
            }),
            action::POLICY_VERSION_RESTORE => json!({"reason": "late"}),
            _ => return None,
        })
    }
}

/// Routes without a body.
const WITHOUT_BODY: &[&str] = &[
    action::SECRET_CHECK,
    action::CATALOGUE_CHECK,
    action::INCIDENT_LIST,
    action::INCIDENT_SHOW,
    action::INCIDENT_REPORT,
    action::SECRET_DELETE,
    action::SECRET_UNDELETE,
    action::APPROVAL_LIST,
    action::APPROVAL_SHOW,
    action::APPROVAL_APPROVE,
    action::APPROVAL_REJECT,
    action::APPROVAL_CANCEL,
    action::SECRET_SHOW,
    action::VALUE_FIND,
    action::SECRET_LIST,
    action::FOLDER_LIST,
    action::TOKEN_LIST,
    action::TOKEN_REVOKE,
    action::REVOCATION_LIST,
    action::AUDIT_LIST,
    action::SERVICE_SHOW,
    action::SERVICE_LIST,
    action::SERVICE_ENABLE,
    action::SERVICE_DISABLE,
    action::SERVICE_SECRETS,
    action::CREDENTIAL_LIST,
    action::CREDENTIAL_RENEW,
    action::CREDENTIAL_DISABLE,
    action::ENVIRONMENT_LIST,
    action::ENVIRONMENT_SHOW,
    action::ENVIRONMENT_FREEZE,
    action::ENVIRONMENT_UNFREEZE,
    action::ENVIRONMENT_DISABLE,
    action::ENVIRONMENT_ENABLE,
    action::RATE_LIMIT_SHOW,
    action::SERVICE_KEY_LIST,
    action::SERVICE_KEY_DISABLE,
    action::TRUST_LIST,
    action::TRUST_SHOW,
    action::TRUST_DISABLE,
    action::VERSION_LIST,
    action::VERSION_SHOW,
    action::VERSION_DIFF,
    action::VERSION_DESTROY,
    action::GROUP_LIST,
    action::GROUP_SHOW,
    action::GROUP_DELETE,
    action::MEMBER_LIST,
    action::MEMBER_REMOVE,
    action::ROLE_LIST,
    action::ROLE_UNASSIGN,
    action::PERMISSION_LIST,
    action::PERMISSION_SHOW,
    action::PERMISSION_DELETE,
    action::POLICY_VERSION_LIST,
    action::POLICY_VERSION_SHOW,
    action::PERSON_LIST,
    action::PERSON_SHOW,
    action::PERSON_DISABLE,
    action::PERSON_ENABLE,
    action::PERSON_RESET,
    action::ENROLMENT_LIST,
    action::ENROLMENT_REMOVE,
    action::SESSION_LIST,
    action::SESSION_END,
    action::ME_SHOW,
    action::TOTP_OFFER,
    action::TOTP_REMOVE,
    action::RECOVERY_CODES_CREATE,
];
/// The body of a trust in a pinned key.
fn trust_of(service: &str) -> Value {
    let keys = json!({"keys": [Signer::ed25519("a").jwk()]}).to_string();
    json!({"name": "t", "service_id": service, "trust": {
        "kind": "generic", "issuer": "https://issuer.example", "audience": "https://manager.example",
        "keys": {"pinned": keys}, "claims": [{"claim": "sub", "exact": "job"}]}})
}

/// True if a route is for people with a session alone, about their own account.
pub(crate) fn is_for_people(route: &Route) -> bool {
    matches!(
        route.id,
        action::SESSION_REAUTHENTICATE
            | action::PASSWORD_CHANGE
            | action::TOTP_OFFER
            | action::TOTP_CONFIRM
            | action::TOTP_REMOVE
            | action::RECOVERY_CODES_CREATE
    )
}

/// The routes that need a credential, and that the administrator's is enough for.
pub(crate) fn routes_of_services() -> impl Iterator<Item = &'static Route> {
    guarded_routes().filter(|route| !is_for_people(route))
}

/// The routes that need a credential.
pub(crate) fn guarded_routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.rows().filter(|route| route.access != Access::Public)
}

/// The routes whose act is a change of principals or policy.
pub(crate) fn changes_the_registry(route: &Route) -> bool {
    let reads = [
        action::SERVICE_LIST,
        action::SERVICE_SHOW,
        action::SERVICE_SECRETS,
        action::CREDENTIAL_LIST,
        action::SERVICE_KEY_LIST,
        action::TRUST_LIST,
        action::TRUST_SHOW,
        action::TRUST_DRY_RUN,
    ];
    let nouns = ["service.", "service_token.", "credential.", "service_key.", "trust."];
    let of_registry = nouns.iter().any(|noun| route.id.starts_with(noun));
    route.id == action::RATE_LIMIT_UPDATE || of_registry && !reads.contains(&route.id)
}
