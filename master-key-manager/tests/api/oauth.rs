//! The token endpoint with opaque credentials, and its errors.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::Method;
use manager_registry::{Author, Credential};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::encoding::base64_value;

use crate::support::{Answer, ISSUER, Installed, Manager, Reader, Signer};

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub(crate) fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", base64_value(format!("{id}:{secret}").as_bytes()).as_str())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The parameter for these secrets.
pub(crate) fn details(secrets: &Value) -> String {
    json!([{"type": "splitvault_secrets", "secrets": secrets}]).to_string()
}

/// A manager with a secret `shop/key`, and a service that may read its folder.
pub(crate) struct Shop {
    pub(crate) installed: Installed,
    pub(crate) manager: Manager,
    pub(crate) reader: Reader,
    wanted: String,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        manager.store_value("shop/key", "open sesame").await.expect(201);
        manager.store_value("bank/key", "hidden").await.expect(201);
        let reader = manager.reader_of("web", "dev", "shop/**").await;
        let wanted = details(&json!([{"environment": "dev", "path": "shop.key"}]));
        Self { installed, manager, reader, wanted }
    }

    /// A request with `client_credentials`, and these parameters.
    pub(crate) async fn ask(&self, authorization: Option<&str>, more: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "client_credentials"), ("authorization_details", self.wanted.as_str())];
        form.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        form.extend(more);
        form.retain(|(_, value)| !value.is_empty());
        self.manager.ask_for_token(authorization, &form).await
    }

    pub(crate) fn wanted(&self) -> &str {
        &self.wanted
    }

    pub(crate) async fn register(&self, signer: &Signer) -> Answer {
        let body = json!({"name": "deploy", "expires_in": "90d", "jwk": signer.jwk()});
        self.manager.post(&self.keys(), body).await
    }

    pub(crate) fn keys(&self) -> String {
        format!("/api/services/{}/keys", self.reader.service)
    }

    pub(crate) fn claims(&self, jti: &str) -> Value {
        let id = self.reader.service.to_string();
        json!({"iss": id, "sub": id, "aud": ISSUER, "exp": now() + 120, "iat": now(), "jti": jti})
    }

    pub(crate) async fn grant(&self, assertion: &str) -> Answer {
        self.ask(None, &[("grant_type", JWT_BEARER), ("assertion", assertion)]).await
    }

    #[track_caller]
    pub(crate) fn opens(&self, answer: Answer) -> Value {
        let answer = answer.expect(200);
        let opened = self.installed.vault.open(&answer.member("access_token"));
        assert_eq!(opened[0].expose(), b"open sesame");
        answer.json()
    }
}

#[track_caller]
pub(crate) fn fails(answer: Answer, status: u16, error: &str) {
    let answer = answer.expect(status);
    assert_eq!(answer.json()["error"], error, "{}", answer.text);
    let members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["error", "error_description"]);
    check_headers(&answer);
    let challenge = answer.headers.get("www-authenticate");
    assert_eq!(challenge.is_some(), status == 401, "{challenge:?}");
}

#[track_caller]
fn check_headers(answer: &Answer) {
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("pragma").as_deref(), Some("no-cache"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
}

#[actix_web::test]
async fn service_gets_a_token_by_its_credential_in_the_header_or_the_body() {
    let shop = Shop::new().await;
    let (id, secret) = (shop.reader.service.to_string(), shop.reader.credential.clone());
    for (authorization, form) in [
        (Some(basic(&id, &secret)), vec![]),
        (Some(basic("web", &secret)), vec![]),
        (None, vec![("client_id", id.as_str()), ("client_secret", secret.as_str())]),
        (None, vec![("client_id", "web"), ("client_secret", secret.as_str())]),
    ] {
        let answer = shop.ask(authorization.as_deref(), &form).await.expect(200);
        check_headers(&answer);
        let terms = shop.installed.vault.check_token(&answer.member("access_token")).terms;
        assert_eq!((terms.subject, terms.client_id), (shop.reader.subject, shop.reader.credential_id));
        let members = shop.opens(answer);
        assert_eq!(members["token_type"], "Bearer");
        assert!((890..=900).contains(&members["expires_in"].as_u64().unwrap()));
        let granted = &members["authorization_details"][0];
        assert_eq!((&granted["type"], &granted["actions"]), (&json!("splitvault_secrets"), &json!(["read"])));
        let secret = &granted["secrets"][0];
        assert_eq!((&secret["path"], &secret["version"]), (&json!("shop.key"), &json!(1)));
        assert_eq!(members.as_object().unwrap().len(), 4);
    }
    shop.manager.stop().await;
}

#[actix_web::test]
async fn errors_are_those_of_rfc_6749() {
    let shop = Shop::new().await;
    let (id, secret) = (shop.reader.service.to_string(), shop.reader.credential.clone());
    let good = basic(&id, &secret);
    let good = Some(good.as_str());
    shop.opens(shop.ask(good, &[]).await);
    for (more, status, error) in [
        (vec![("grant_type", "")], 400, "invalid_request"),
        (vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (vec![("scope", "all")], 400, "invalid_scope"),
        (vec![("resource", "https://x.example")], 400, "invalid_target"),
        (vec![("authorization_details", "")], 400, "invalid_request"),
        (vec![("authorization_details", "[]")], 400, "invalid_authorization_details"),
        (vec![("client_secret", "x")], 400, "invalid_request"),
        (vec![("client_id", "other")], 400, "invalid_request"),
        (vec![("grant_type", JWT_BEARER)], 400, "invalid_request"),
    ] {
        fails(shop.ask(good, &more).await, status, error);
    }
    let other = shop.manager.reader_of("other", "dev", "**").await;
    for (name, authorization) in [
        ("another secret", basic(&id, &other.credential)),
        ("another client", basic("other", &secret)),
        ("unknown client", basic("nobody", &secret)),
        ("unknown secret", basic(&id, &shared_proto::credential::PlainCredential::generate().expose_text())),
        ("no secret", basic(&id, "x")),
        ("bearer", format!("Bearer {secret}")),
        ("administrator", basic(&id, &shop.manager.credential)),
    ] {
        let answer = shop.ask(Some(&authorization), &[]).await;
        assert_eq!(
            answer.headers.get("www-authenticate").unwrap(),
            r#"Basic realm="splitvault", charset="UTF-8""#,
            "{name}"
        );
        fails(answer, 401, "invalid_client");
    }
    fails(shop.ask(None, &[]).await, 401, "invalid_client");
    fails(shop.ask(None, &[("client_id", &id)]).await, 401, "invalid_client");
    // What may not be seen looks like what is not there.
    let mut told = Vec::new();
    for secrets in [
        json!([{"environment": "dev", "path": "bank/key"}]),
        json!([{"environment": "dev", "path": "nowhere"}]),
        json!([{"environment": "nowhere", "path": "shop/key"}]),
        json!([{"key_id": "sec_AAAAAAAAAAAAAAAAAAAAAA"}]),
        json!([{"environment": "dev", "path": "shop/key", "version": 9}]),
    ] {
        let answer = shop.ask(good, &[("authorization_details", &details(&secrets))]).await;
        told.push(answer.text.clone());
        fails(answer, 400, "invalid_authorization_details");
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    shop.manager.stop().await;
}

#[actix_web::test]
async fn forms_are_read_strictly_and_secrets_never_from_the_target() {
    let shop = Shop::new().await;
    let secret = &shop.reader.credential;
    let body = format!("grant_type=client_credentials&client_id=web&client_secret={secret}");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let send = async |path: &str, headers: &[(&str, &str)], body: &str| {
        shop.manager.request(None, (Method::POST, path), headers, Some(body.to_owned())).await
    };
    fails(send(&format!("/oauth/token?client_secret={secret}"), &[form], &body).await, 400, "invalid_request");
    fails(send("/oauth/token", &[("content-type", "application/json")], "{}").await, 400, "invalid_request");
    fails(send("/oauth/token", &[], &body).await, 400, "invalid_request");
    fails(send("/oauth/token", &[form], &format!("{body}&client_id=web")).await, 400, "invalid_request");
    fails(send("/oauth/token", &[form], &"x".repeat((64 << 10) + 1)).await, 400, "invalid_request");
    let twice = [form, ("authorization", "Basic YTpi"), ("authorization", "Basic YTpi")];
    fails(send("/oauth/token", &twice, &body).await, 400, "invalid_request");
    shop.manager.get("/oauth/token").await.expect(405);
    shop.manager.stop().await;
}

#[actix_web::test]
async fn disabled_and_ended_credentials_and_services_get_nothing() {
    let shop = Shop::new().await;
    let authorization = basic("web", &shop.reader.credential);
    shop.opens(shop.ask(Some(&authorization), &[]).await);
    let view = shop.manager.app.registry.now().await.unwrap();
    let service = view.state.service(shop.reader.service).unwrap().clone();
    let by = (Author::Operator, "", 1);
    let disabled = manager_registry::Service { disabled_at: Some(1), ..service.clone() };
    shop.manager.app.registry.change(by, None, |_| Ok(vec![disabled.into()])).await.unwrap();
    fails(shop.ask(Some(&authorization), &[]).await, 401, "invalid_client");
    shop.manager.app.registry.change(by, None, |_| Ok(vec![service.into()])).await.unwrap();
    shop.opens(shop.ask(Some(&authorization), &[]).await);
    let disable = json!({"kind": "disable-credential", "client_id": shop.reader.credential_id});
    shop.manager.post("/api/revocations", disable).await.expect(200);
    fails(shop.ask(Some(&authorization), &[]).await, 401, "invalid_client");
    shop.manager.stop().await;
}

/// Strangers are refused first. Neither they nor the other service take the line of a proven client.
#[actix_web::test]
async fn refused_line_of_a_proven_client_names_it() {
    let shop = Shop::new().await;
    let other = shop.manager.reader_of("other", "dev", "shop/**").await;
    let hidden = details(&json!([{"environment": "dev", "path": "bank/key"}]));
    let more = [("authorization_details", hidden.as_str())];
    for _ in 0..3 {
        fails(shop.ask(Some(&basic("web", "wrong")), &more).await, 401, "invalid_client");
    }
    for (id, secret) in [("web", &shop.reader.credential), ("other", &other.credential)] {
        fails(shop.ask(Some(&basic(id, secret)), &more).await, 400, "invalid_authorization_details");
    }
    // The client is proven, and its grant is not.
    let wrong = [("grant_type", JWT_BEARER), ("assertion", "a.b.c")];
    fails(shop.ask(Some(&basic("web", &shop.reader.credential)), &wrong).await, 400, "invalid_grant");
    let Shop { installed, manager, reader, .. } = shop;
    manager.stop().await;
    let lines = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |reader: &Reader, code: &str| {
        let refused = |line: &&Value| line["action"] == "oauth.token" && line["code"] == code;
        let named = |line: &&Value| {
            line["principal"] == json!(reader.subject) && line["credential"] == json!(reader.credential_id)
        };
        lines.iter().filter(refused).filter(named).map(|line| line["method"].clone()).collect::<Vec<_>>()
    };
    for service in [&reader, &other] {
        assert_eq!(of(service, "secret_not_found"), [json!("credential")]);
    }
    assert_eq!(of(&reader, "credential_invalid"), [json!("credential")]);
}

#[actix_web::test]
async fn metadata_document_names_the_endpoint_and_a_manager_without_an_issuer_has_none() {
    let shop = Shop::new().await;
    let document = shop.manager.get("/.well-known/oauth-authorization-server").await.expect(200).json();
    assert_eq!(
        (&document["issuer"], &document["token_endpoint"]),
        (&json!(ISSUER), &json!(format!("{ISSUER}/oauth/token")))
    );
    shop.manager.stop().await;
    let mut installed = Installed::new(Mode::Production).await;
    let mut raw = installed.config.get().clone();
    raw.sign_on.issuer = None;
    installed.config = master_key_manager::config::Config::new(raw).unwrap();
    let manager = installed.start().await;
    manager.get("/.well-known/oauth-authorization-server").await.expect(404).refused("route_not_found");
    manager.stop().await;
}

/// A credential of the service, with these terms.
pub(crate) async fn credential_with(shop: &Shop, terms: impl Fn(Credential) -> Credential) -> String {
    let plain = shared_proto::credential::PlainCredential::generate();
    let hash = shop.manager.app.keys.now().credentials.hash(&plain);
    let id = shared_proto::id::CredentialId::generate();
    let new = terms(Credential::new(id, shop.reader.subject, manager_registry::Proof::opaque(hash), 1));
    shop.manager.app.registry.change((Author::Operator, "", 1), None, |_| Ok(vec![new.into()])).await.unwrap();
    plain.expose_text().to_string()
}

#[actix_web::test]
async fn terms_of_a_credential_hold_at_the_token_endpoint_too() {
    let shop = Shop::new().await;
    let near = credential_with(&shop, |new| {
        let ranges = serde_json::from_value(json!(["192.0.2.0/24"])).unwrap();
        Credential { allowed_addresses: Some(ranges), ..new }
    });
    let (near, twice) = (near.await, credential_with(&shop, |new| Credential { max_uses: Some(2), ..new }).await);
    let ask = async |from: &str, secret: &str| {
        let body = format!(
            "grant_type=client_credentials&client_id=web&client_secret={secret}&authorization_details={}",
            shop.wanted
        );
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let from = Some(from.parse().unwrap());
        shop.manager.request(from, (Method::POST, "/oauth/token"), &headers, Some(body)).await
    };
    shop.opens(ask("192.0.2.9:1", &near).await);
    fails(ask("198.51.100.9:1", &near).await, 401, "invalid_client");
    shop.opens(ask("198.51.100.9:1", &twice).await);
    shop.opens(ask("198.51.100.9:1", &twice).await);
    fails(ask("198.51.100.9:1", &twice).await, 401, "invalid_client");
    let narrow = json!({"per_second": 1, "burst": 2});
    let set = json!({"principal": narrow, "address": {"per_second": 1_000_000, "burst": 1_000_000}});
    shop.manager.admin(Method::PATCH, "/api/settings/rate-limits", Some(set)).await.expect(200);
    let mut last = 200;
    for _ in 0..50 {
        let answer = ask("192.0.2.9:1", &near).await;
        last = answer.status.as_u16();
        if last == 429 {
            assert_eq!(answer.headers.get("retry-after").unwrap(), "1");
            fails(answer, 429, "temporarily_unavailable");
            break;
        }
    }
    assert_eq!(last, 429);
    shop.manager.stop().await;
}
