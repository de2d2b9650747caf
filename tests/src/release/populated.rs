//! Contents of an installation before it is kept, by routes that every release has.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::builder::Builder;
use crate::installation::Installation;

/// Facts about an installation that its makers know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    /// When it was kept, in seconds since the Unix epoch. It is laid down at this time.
    pub kept_at: u64,
    /// The administrator's credential.
    pub administrator: String,
    /// A credential of a service that may read `app/**` of `dev`.
    pub service: String,
    /// A credential that was disabled.
    pub disabled: String,
    /// A person's name and password.
    pub person: (String, String),
    /// Values by environment, path and version.
    pub values: Vec<(String, String, u64, String)>,
    /// A secret of which every version was destroyed.
    pub destroyed: String,
    /// A secret and the key of a store that is repeated, with its body.
    pub repeated: (String, String, Value),
    /// Answers of lists and resources, by path.
    pub shown: Map<String, Value>,
}

/// The manager's own name as an issuer.
const ISSUER: &str = "https://manager.example:8000";

/// An installation that can be filled.
pub fn builder() -> Builder {
    Builder::default().manager_table(&format!("[sign_on]\nissuer = \"{ISSUER}\""))
}

/// Lists whose answers an update keeps.
const SHOWN: [&str; 10] = [
    "/api/environments",
    "/api/groups",
    "/api/people",
    "/api/permissions",
    "/api/policy/versions",
    "/api/roles",
    "/api/secrets",
    "/api/services",
    "/api/settings/rate-limits",
    "/api/trusts",
];

/// Asks for the answers of lists, and of what hangs below services and groups.
pub async fn shown(installation: &Installation) -> Map<String, Value> {
    let mut found = Map::new();
    for path in SHOWN {
        found.insert(path.to_owned(), get(installation, path).await);
    }
    let ids = |list: &str, id: &str| -> Vec<String> {
        let rows = found[list].as_object().unwrap().values().find_map(Value::as_array).unwrap();
        rows.iter().map(|row| row[id].as_str().unwrap().to_owned()).collect()
    };
    let below = ids("/api/services", "service_id")
        .into_iter()
        .flat_map(|id| ["credentials", "keys"].map(|part| format!("/api/services/{id}/{part}")))
        .chain(ids("/api/groups", "group_id").into_iter().map(|id| format!("/api/groups/{id}/members")));
    for path in below.collect::<Vec<_>>() {
        let answer = get(installation, &path).await;
        found.insert(path, answer);
    }
    found
}

async fn get(installation: &Installation, path: &str) -> Value {
    let answer = installation.admin_call("GET", path, None).await.expect(200);
    serde_json::from_slice(&answer.body).unwrap()
}

struct Filling<'a>(&'a Installation);

impl Filling<'_> {
    async fn post(&self, path: &str, body: Value) -> crate::Answer {
        let answer = self.0.admin_call("POST", path, Some(body)).await;
        assert!(matches!(answer.status, 200..=202), "{path}: {answer}");
        answer
    }

    async fn made(&self, path: &str, body: Value, id: &str) -> String {
        self.post(path, body).await.text(id)
    }

    async fn credential(&self, service: &str, name: &str) -> crate::Answer {
        let body = json!({"name": name, "expires_in": "1y", "allowed_addresses": ["127.0.0.0/8"]});
        self.post(&format!("/api/services/{service}/credentials"), body).await
    }
}

/// Fills it with principals, policy, environments and secrets of every state. It runs on afterwards.
pub async fn populate(installation: &Installation) -> Known {
    let fill = Filling(installation);
    let group = fill.made("/api/groups", json!({"name": "engineers", "description": "they run it"}), "group_id").await;
    let required = json!([{"environment": "dev", "pattern": "app/**"}]);
    let service = json!({"name": "billing", "description": "bills", "owner": group, "required_keys": required});
    let service = fill.made("/api/services", service, "service_id").await;
    let approval = json!({"required_keys": required, "reason": "it bills"});
    fill.post(&format!("/api/services/{service}:approve"), approval).await;
    let kept = fill.credential(&service, "host 1").await.text("credential");
    let gone = fill.credential(&service, "host 2").await;
    let disabled = gone.text("credential");
    let gone = &gone.json()["details"]["credential_id"];
    installation.revoke_what(json!({"kind": "disable-credential", "client_id": gone})).await;
    let retired = fill.made("/api/services", json!({"name": "retired"}), "service_id").await;
    fill.post(&format!("/api/services/{retired}:disable"), json!({})).await;
    let issuer = json!({"kind": "generic", "issuer": "https://issuer.example", "audience": ISSUER,
        "keys": {"pinned": json!({"keys": [jwk()]}).to_string()}, "claims": [{"claim": "sub", "exact": "project:acme/shop:main"}]});
    trust(&fill, &service, issuer).await;
    let person = fill.made("/api/people", json!({"name": "ann", "display_name": "Ann"}), "person_id").await;
    let code = fill.made("/api/enrolments", json!({"person_id": person}), "enrolment_code").await;
    let login = ("ann".to_owned(), "correct horse battery staple 9".to_owned());
    let redeemed = json!({"code": code, "password": login.1});
    installation.manager.call("POST", "/api/enrolments:redeem").json(&redeemed).send().await.expect(200);
    let members = format!("/api/groups/{group}/members");
    fill.post(&members, json!({"principals": [person, service], "reason": "the team"})).await;
    let role =
        json!({"party": group, "role": "service_user", "environment": "dev", "pattern": "team/**", "reason": "reads"});
    fill.post("/api/roles", role).await;
    let denial = json!({"party": service, "effect": "deny", "actions": ["read"], "environment": "dev",
        "pattern": "app/closed/**", "reason": "not for programs"});
    fill.post("/api/permissions", denial).await;
    environments(&fill).await;
    let mut values = Vec::new();
    for (environment, path, versions) in
        [("dev", "app/db/password", 3), ("dev", "app/closed/key", 1), ("dev", "team/note", 1), ("lab", "one/two", 2)]
    {
        for version in 1..=versions {
            let value = format!("{path} of {environment}, number {version}");
            let body = json!({"user_id": "user123", "environment": environment, "path": path, "key_data": value});
            fill.post("/api/keys", body).await;
            values.push((environment.to_owned(), path.to_owned(), version, value));
        }
    }
    rolled_back(&fill, &mut values).await;
    let gone = fill.made(
        "/api/keys",
        json!({"user_id": "user123", "environment": "dev", "path": "app/gone", "key_data": "gone"}),
        "key_id",
    );
    let destroyed = gone.await;
    fill.post(&format!("/api/keys/{destroyed}/destroy"), json!({"versions": [1]})).await;
    let body = json!({"user_id": "user123", "environment": "dev", "path": "app/repeated", "key_data": "stored once"});
    let call = installation.manager.call("POST", "/api/keys").bearer(&installation.admin());
    let first = call.header("idempotency-key", "kept-with-the-release").json(&body).send().await.expect(201);
    let repeated = (first.text("key_id"), "kept-with-the-release".to_owned(), body);
    fill.post("/api/environments/lab:freeze", json!({})).await;
    let settings = json!({"principal": {"per_second": 500, "burst": 900}});
    installation.admin_call("PATCH", "/api/settings/rate-limits", Some(settings)).await.expect(200);
    let shown = shown(installation).await;
    let (kept_at, administrator) = (super::kept::now(), installation.admin());
    Known { kept_at, administrator, service: kept, disabled, person: login, values, destroyed, repeated, shown }
}

/// A public key of RFC 7517, appendix A.1.
fn jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

async fn trust(fill: &Filling<'_>, service: &str, trust: Value) {
    fill.post("/api/trusts", json!({"name": "ci", "service_id": service, "trust": trust})).await;
}

async fn environments(fill: &Filling<'_>) {
    fill.post("/api/environments", json!({"name": "lab", "display_name": "Laboratory", "max_token_life_seconds": 600}))
        .await;
    fill.post("/api/environments", json!({"name": "closed"})).await;
    fill.post("/api/environments/closed:disable", json!({})).await;
}

/// The fourth version of a secret has the value of its first.
async fn rolled_back(fill: &Filling<'_>, values: &mut Vec<(String, String, u64, String)>) {
    let secrets = get(fill.0, "/api/secrets").await;
    let row = secrets["secrets"].as_array().unwrap().iter().find(|row| row["path"] == "app/db/password").unwrap();
    let path = format!("/api/secrets/{}:rollback", row["key_id"].as_str().unwrap());
    fill.post(&path, json!({"version": 1, "if_version": 3})).await;
    let (environment, path, _, value) = values[0].clone();
    values.push((environment, path, 4, value));
}
