//! Trusts: tokens of an external issuer, which runs beside the manager.

use actix_web::http::Method;
use hmac_games::{hs256, unsigned};
use serde_json::{Value, json};
use service_runtime::config::Mode;

use crate::oauth::{JWT_BEARER, details, now};
use crate::support::{Answer, FakeIssuer, Installed, Manager, Reader, Signer};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const AUDIENCE: &str = "https://manager.example";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const MAIN: &str = "repo:acme/shop:ref:refs/heads/main";

mod hmac_games {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    use serde_json::{Value, json};
    use shared_proto::encoding::b64;

    fn input(alg: &str, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": alg, "kid": kid, "typ": "JWT"});
        format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()))
    }

    /// Signed with the public key as if it were a shared one.
    pub(crate) fn hs256(jwk: &Value, claims: &Value) -> String {
        let input = input("HS256", jwk["kid"].as_str().unwrap(), claims);
        let tag = sign(&Key::new(HMAC_SHA256, jwk.to_string().as_bytes()), input.as_bytes());
        format!("{input}.{}", b64(tag.as_ref()))
    }

    pub(crate) fn unsigned(kid: &str, claims: &Value) -> [String; 2] {
        let input = input("none", kid, claims);
        [format!("{input}."), format!("{input}.AAAA")]
    }
}

/// A manager with a trust for the main branch of `acme/shop`, which stands for a service that may read `shop/**`.
pub(crate) struct Actions {
    pub(crate) installed: Installed,
    pub(crate) manager: Manager,
    pub(crate) issuer: FakeIssuer,
    pub(crate) signer: Signer,
    pub(crate) reader: Reader,
    pub(crate) trust: String,
}

impl Actions {
    pub(crate) async fn new() -> Self {
        let signer = Signer::rsa("one");
        let issuer = FakeIssuer::start(&[&signer]).await;
        let installed = Installed::new(Mode::Production).await.believing(&issuer);
        let manager = installed.start().await;
        manager.store_value("shop/key", "open sesame").await.expect(201);
        let reader = manager.reader_of("shop", "dev", "shop/**").await;
        let body = json!({"name": "GitHub", "service_id": reader.service, "trust": trust(&issuer)});
        let trust = manager.post("/api/trusts", body).await.expect(201).member("trust_id");
        Self { installed, manager, issuer, signer, reader, trust }
    }

    pub(crate) async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Answer {
        let wanted = details(&json!([{"environment": "dev", "path": "shop/key"}]));
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", JWT),
            ("authorization_details", &wanted),
        ];
        form.extend(more);
        self.manager.ask_for_token(None, &form).await
    }

    pub(crate) async fn of_main(&self) -> Answer {
        self.exchange(&self.signer.token(&claims()), &[]).await
    }

    pub(crate) async fn dry_run(&self, token: &str) -> Value {
        let path = format!("/api/trusts/{}:dry-run", self.trust);
        self.manager.post(&path, json!({"jwt": token})).await.expect(200).json()
    }

    pub(crate) async fn make(&self, trust: Value) -> Answer {
        let body = json!({"name": "t", "service_id": self.reader.service, "trust": trust});
        self.manager.post("/api/trusts", body).await
    }

    pub(crate) fn path(&self) -> String {
        format!("/api/trusts/{}", self.trust)
    }
}

pub(crate) fn trust(issuer: &FakeIssuer) -> Value {
    json!({
        "kind": "github-actions", "issuer": GITHUB, "audience": AUDIENCE,
        "keys": {"url": format!("{}/jwks", issuer.url)},
        "claims": [{"claim": "sub", "prefix": "repo:acme/shop:"}]
    })
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": GITHUB, "aud": AUDIENCE, "sub": MAIN, "repository": "acme/shop", "event_name": "push",
        "exp": now() + 300, "iat": now(), "nbf": now() - 60, "jti": "x"
    })
}

pub(crate) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[track_caller]
pub(crate) fn is_refused(answer: Answer, status: u16, error: &str) {
    assert_eq!(answer.json()["error"], error, "{}", answer.text);
    answer.expect(status);
}

#[actix_web::test]
async fn token_of_a_trusted_issuer_stands_for_the_service_and_is_named_in_the_audit_log() {
    let actions = Actions::new().await;
    let exp = now() + 200;
    let token = actions.signer.token(&with("exp", json!(exp)));
    let answer = actions.exchange(&token, &[]).await.expect(200);
    assert_eq!(answer.member("issued_token_type"), "urn:ietf:params:oauth:token-type:access_token");
    let terms = actions.installed.vault.check_token(&answer.member("access_token")).terms;
    assert_eq!((terms.subject, terms.client_id.to_string()), (actions.reader.subject, actions.trust.clone()));
    // It ends with what it was made with, which is used again until then.
    assert_eq!(terms.expires_at, exp);
    assert!(answer.json()["expires_in"].as_u64().unwrap() <= 200);
    assert_eq!(actions.installed.vault.open(&answer.member("access_token"))[0].expose(), b"open sesame");
    let wanted = details(&json!([{"environment": "dev", "path": "shop/key"}]));
    let form = [("grant_type", JWT_BEARER), ("assertion", token.as_str()), ("authorization_details", &wanted)];
    actions.manager.ask_for_token(None, &form).await.expect(200);
    assert_eq!(actions.issuer.asked(), ["/jwks"]);
    let Actions { installed, manager, reader, .. } = actions;
    manager.stop().await;
    let lines = std::fs::read_to_string(installed.config.audit_log()).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let admitted: Vec<_> = lines.iter().filter(|line| line["action"] == "trust.admit").collect();
    assert_eq!((admitted.len(), &admitted[0]["target"]), (2, &json!(MAIN)));
    assert_eq!(admitted[0]["principal"], json!(reader.subject));
}

#[actix_web::test]
async fn wrong_tokens_of_every_kind_are_refused_alike() {
    let actions = Actions::new().await;
    let (signer, stranger) = (&actions.signer, Signer::rsa("one"));
    let mut wrong: Vec<(&str, String)> = [
        ("another audience", with("aud", json!("https://other.example"))),
        ("several audiences", with("aud", json!([AUDIENCE, "https://other.example"]))),
        ("another issuer", with("iss", json!("https://evil.example"))),
        ("issuer with a slash", with("iss", json!(format!("{GITHUB}/")))),
        ("expired", with("exp", json!(now() - 1))),
        ("without an end", with("exp", Value::Null)),
        ("from the future", with("iat", json!(now() + 100))),
        ("not yet", with("nbf", json!(now() + 100))),
        ("long-lived", with("exp", json!(now() + 90_000))),
        ("another repository", with("sub", json!("repo:acme/shop-admin:ref:refs/heads/main"))),
        ("prefix alone", with("sub", json!("repo:acme/shop:"))),
        ("pull request of a fork", with("sub", json!("repo:acme/shop:pull_request"))),
        ("event of a fork", with("event_name", json!("pull_request_target"))),
        ("event in an environment", {
            let mut claims = with("sub", json!("repo:acme/shop:environment:production"));
            claims["event_name"] = json!("pull_request");
            claims
        }),
    ]
    .into_iter()
    .map(|(name, claims)| (name, signer.token(&claims)))
    .collect();
    wrong.push(("key of a stranger", stranger.token(&claims())));
    wrong.push(("unknown key", Signer::rsa("other").token(&claims())));
    wrong.push(("HS256 with the public key", hs256(&signer.jwk(), &claims())));
    wrong.extend(unsigned("one", &claims()).map(|token| ("alg none", token)));
    // A key or its address in the header is not looked at, not even when it is the right one.
    let mine = format!("{}/mine", actions.issuer.url);
    for (signer, more) in [
        (&stranger, json!({"jwk": stranger.jwk()})),
        (signer, json!({"jwk": signer.jwk()})),
        (&stranger, json!({"jku": mine})),
        (&stranger, json!({"x5u": mine})),
        (&stranger, json!({"x5c": ["AAAA"]})),
        (signer, json!({"crit": ["exp"]})),
        (signer, json!({"alg": "RS512"})),
        (signer, json!({"alg": "rs256"})),
        (signer, json!({"kid": null})),
    ] {
        wrong.push(("header", signer.token_with(&more, &claims())));
    }
    wrong.push(("our own token", actions.of_main().await.expect(200).member("access_token")));
    let wanted = details(&json!([{"environment": "dev", "path": "shop/key"}]));
    let mut answers = Vec::new();
    for (name, token) in &wrong {
        let answer = actions.exchange(token, &[]).await;
        assert_eq!(answer.json()["error"], "invalid_request", "{name}");
        answers.push(answer.text.clone());
        // RFC 7521 section 4.1 and RFC 8693 section 2.2.2 name it differently.
        let form = [("grant_type", JWT_BEARER), ("assertion", token.as_str()), ("authorization_details", &wanted)];
        assert_eq!(actions.manager.ask_for_token(None, &form).await.json()["error"], "invalid_grant", "{name}");
        // A dry run admits nothing else.
        assert_eq!(actions.dry_run(token).await["admitted"], false, "{name}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(actions.issuer.asked(), ["/jwks"]);
    // Clocks that differ by less than a minute are right.
    for near in [with("iat", json!(now() + 50)), with("nbf", json!(now() + 50))] {
        actions.exchange(&signer.token(&near), &[]).await.expect(200);
    }
    actions.manager.stop().await;
}

#[actix_web::test]
async fn trusts_are_made_listed_described_and_disabled() {
    let actions = Actions::new().await;
    let admin = async |method: Method, path: &str| actions.manager.admin(method, path, None).await;
    let shown = admin(Method::GET, &actions.path()).await.expect(200).json();
    assert_eq!((&shown["trust"], &shown["service_id"]), (&trust(&actions.issuer), &json!(actions.reader.service)));
    let listed = admin(Method::GET, "/api/trusts").await.expect(200).json();
    assert_eq!(listed["trusts"], json!([shown]));
    actions.of_main().await.expect(200);
    assert_eq!(admin(Method::DELETE, &actions.path()).await.expect(200).member("status"), "revoked");
    assert_eq!(actions.installed.vault.applied().len(), 1);
    admin(Method::DELETE, &actions.path()).await.expect(200);
    is_refused(actions.of_main().await, 400, "invalid_request");
    assert_eq!(actions.dry_run(&actions.signer.token(&claims())).await["checks"][0]["check"], "trust");
    let change = json!({"name": "late"});
    actions.manager.admin(Method::PATCH, &actions.path(), Some(change)).await.expect(404).refused("trust_not_found");
    for path in [format!("/api/trusts/{}", actions.reader.credential_id), "/api/trusts/x".to_owned()] {
        admin(Method::GET, &path).await.expect(404).refused("trust_not_found");
        admin(Method::DELETE, &path).await.expect(404).refused("trust_not_found");
    }
    actions.manager.stop().await;
}

#[actix_web::test]
async fn trust_that_is_changed_revokes_what_it_gave_and_admits_others() {
    let actions = Actions::new().await;
    actions.of_main().await.expect(200);
    let patch = async |body: Value| actions.manager.admin(Method::PATCH, &actions.path(), Some(body)).await;
    assert_eq!(patch(json!({"name": "CI"})).await.expect(200).member("name"), "CI");
    actions.of_main().await.expect(200);
    assert!(actions.installed.vault.applied().is_empty(), "a name takes nothing away");
    let mut other = trust(&actions.issuer);
    other["claims"] = json!([{"claim": "sub", "exact": "repo:acme/shop:ref:refs/heads/release"}]);
    patch(json!({"trust": other})).await.expect(200);
    crate::support::until("its tokens are revoked", async || actions.installed.vault.applied().len() == 1).await;
    is_refused(actions.of_main().await, 400, "invalid_request");
    let release = actions.signer.token(&with("sub", json!("repo:acme/shop:ref:refs/heads/release")));
    actions.exchange(&release, &[]).await.expect(200);
    other["claims"] = json!([{"claim": "repository_owner", "exact": "acme"}]);
    let refused = patch(json!({"trust": other})).await.expect(400).refused("parameter_invalid");
    assert!(refused.member("detail").contains("too broad"), "{}", refused.text);
    patch(json!({})).await.expect(400).refused("parameter_invalid");
    actions.manager.stop().await;
}

#[actix_web::test]
async fn too_broad_and_dangerous_trusts_are_refused_with_the_reason() {
    let actions = Actions::new().await;
    let changed = |name: &str, value: Value| {
        let mut trust = trust(&actions.issuer);
        trust[name] = value;
        trust
    };
    for (trust, reason) in [
        (changed("claims", json!([])), "1 to 16 claims"),
        (changed("claims", json!([{"claim": "sub", "prefix": "repo:acme/"}])), "too broad"),
        (changed("claims", json!([{"claim": "ref", "exact": "refs/heads/main"}])), "too broad"),
        (changed("claims", json!([{"claim": "sub", "prefix": "repo:acme/shop"}])), "ends with / or :"),
        (changed("kind", json!("generic")), "well-known one of another kind"),
        (changed("audience", json!(GITHUB)), "default of other services"),
        (changed("issuer", json!("http://issuer.example")), "https"),
        (changed("keys", json!({"url": "https://169.254.169.254/keys"})), "metadata service"),
        (changed("keys", json!({"url": "https://10.0.0.1/keys"})), "private network"),
        (changed("keys", json!({"url": "http://issuer.example/keys"})), "https"),
        (changed("keys", json!({"pinned": "{}"})), "pinned key set"),
        (changed("keys", json!({"pinned": "x".repeat(17_000)})), "16384"),
    ] {
        let refused = actions.make(trust).await.expect(400).refused("parameter_invalid");
        assert!(refused.member("detail").contains(reason), "{reason}: {}", refused.text);
    }
    for trust in [changed("more", json!(1)), changed("keys", json!({"url": "a", "pinned": "b"})), json!([])] {
        actions.make(trust).await.expect(400).refused("body_invalid");
    }
    actions.manager.stop().await;
    // Without the setting this machine is not asked either.
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let reader = manager.reader_of("shop", "dev", "shop/**").await;
    let body = json!({"name": "t", "service_id": reader.service, "trust": trust(&actions.issuer)});
    manager.post("/api/trusts", body).await.expect(400).refused("parameter_invalid");
    manager.stop().await;
}

#[actix_web::test]
async fn only_who_may_manage_identities_and_holds_what_the_service_holds_makes_and_changes_a_trust() {
    let actions = Actions::new().await;
    let clerk = actions.manager.service_with("clerk", &[manager_api::policy::Action::ManageIdentities], None).await;
    let body = json!({"name": "t", "service_id": actions.reader.service, "trust": trust(&actions.issuer)});
    let send = async |credential: &str, method: Method, path: &str, body: Option<&Value>| {
        let header = format!("Bearer {credential}");
        actions.manager.send(method, path, &[("authorization", &header)], body.map(ToString::to_string)).await
    };
    let dry = json!({"jwt": actions.signer.token(&claims())});
    let reader = &actions.reader.credential;
    for (method, path, body) in [
        (Method::POST, "/api/trusts".to_owned(), Some(&body)),
        (Method::GET, "/api/trusts".to_owned(), None),
        (Method::GET, actions.path(), None),
        (Method::DELETE, actions.path(), None),
        (Method::POST, format!("{}:dry-run", actions.path()), Some(&dry)),
    ] {
        send(reader, method, &path, body).await.expect(403).refused("not_permitted");
    }
    // Managing identities is not reading.
    let refused = send(&clerk.credential, Method::POST, "/api/trusts", Some(&body)).await;
    assert!(refused.expect(403).refused("not_permitted").member("detail").contains("where you do not hold it"));
    let mut wider = trust(&actions.issuer);
    wider["claims"] = json!([{"claim": "repository", "exact": "clerk/own"}]);
    let change = json!({"trust": wider});
    let refused = send(&clerk.credential, Method::PATCH, &actions.path(), Some(&change)).await;
    assert!(refused.expect(403).refused("not_permitted").member("detail").contains("where you do not hold it"));
    let own = actions.signer.token(&with("repository", json!("clerk/own")));
    actions.exchange(&own, &[]).await.expect(200);
    // Taking away needs no more than managing identities.
    send(&clerk.credential, Method::DELETE, &actions.path(), None).await.expect(200);
    actions.manager.stop().await;
}

#[actix_web::test]
async fn dry_run_says_which_check_fails_and_repeats_nothing() {
    let actions = Actions::new().await;
    let good = actions.dry_run(&actions.signer.token(&claims())).await;
    assert_eq!((&good["admitted"], &good["service_id"]), (&json!(true), &json!(actions.reader.service)));
    let checks = |answer: &Value| -> Vec<String> {
        let all = answer["checks"].as_array().unwrap().iter();
        all.filter(|check| check.get("fault").is_some())
            .map(|check| check["check"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(checks(&good).is_empty());
    let mut several = with("aud", json!("CANARY"));
    several["sub"] = json!("repo:CANARY/shop:pull_request");
    let bad = actions.dry_run(&actions.signer.token(&several)).await;
    assert_eq!(checks(&bad), ["audience", "sub", "pull request"]);
    assert!(!bad.to_string().contains("CANARY"));
    let stranger = actions.dry_run(&Signer::rsa("one").token(&several)).await;
    assert_eq!(checks(&stranger), ["signature"]);
    assert_eq!(stranger["checks"].as_array().unwrap().len(), 3, "what is not signed is not looked at");
    assert_eq!(checks(&actions.dry_run("CANARY").await), ["form"]);
    let Actions { installed, manager, .. } = actions;
    manager.stop().await;
    assert!(!std::fs::read_to_string(installed.config.audit_log()).unwrap().contains("CANARY"));
}

#[actix_web::test]
async fn token_that_fits_trusts_of_several_services_names_the_one_it_means() {
    let actions = Actions::new().await;
    let other = actions.manager.reader_of("other", "dev", "shop/**").await;
    let body = json!({"name": "t", "service_id": other.service, "trust": trust(&actions.issuer)});
    actions.manager.post("/api/trusts", body).await.expect(201);
    is_refused(actions.of_main().await, 400, "invalid_request");
    let token = actions.signer.token(&claims());
    for (id, subject) in [("other", other.subject), (&actions.reader.service.to_string(), actions.reader.subject)] {
        let answer = actions.exchange(&token, &[("client_id", id)]).await.expect(200);
        assert_eq!(actions.installed.vault.check_token(&answer.member("access_token")).terms.subject, subject);
    }
    is_refused(actions.exchange(&token, &[("client_id", "nobody")]).await, 400, "invalid_request");
    actions.manager.stop().await;
}

/// What is not verified yet tells nobody how many trusts there are.
#[actix_web::test]
async fn token_that_fits_too_many_trusts_is_refused_like_any() {
    let actions = Actions::new().await;
    for _ in 0..7 {
        actions.make(trust(&actions.issuer)).await.expect(201);
    }
    actions.of_main().await.expect(200);
    actions.make(trust(&actions.issuer)).await.expect(201);
    let stranger = Signer::rsa("one").token(&claims());
    let (full, wrong) = (actions.exchange(&stranger, &[]).await, actions.exchange("a.b.c", &[]).await);
    assert_eq!((full.status, &full.text), (wrong.status, &wrong.text));
    assert_eq!(actions.of_main().await.text, wrong.text);
    actions.manager.stop().await;
}

#[actix_web::test]
async fn kubernetes_and_spiffe_workloads_are_admitted_with_pinned_keys() {
    let actions = Actions::new().await;
    let signer = Signer::p256("cluster");
    let pinned = json!({"keys": [signer.jwk()]}).to_string();
    let cluster = json!({
        "kind": "kubernetes", "issuer": "https://cluster.example", "audience": AUDIENCE, "keys": {"pinned": pinned},
        "claims": [{"claim": "/kubernetes.io/namespace", "exact": "shop"}, {"claim": "/kubernetes.io/serviceaccount/name", "exact": "web"}]
    });
    actions.make(cluster).await.expect(201);
    let mut claims = json!({
        "iss": "https://cluster.example", "aud": [AUDIENCE], "sub": "system:serviceaccount:shop:web",
        "exp": now() + 3_000, "iat": now(),
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "1"}}
    });
    actions.exchange(&signer.token(&claims), &[]).await.expect(200);
    claims["kubernetes.io"]["namespace"] = json!("bank");
    is_refused(actions.exchange(&signer.token(&claims), &[]).await, 400, "invalid_request");
    let workload = json!({
        "kind": "spiffe", "issuer": "spiffe://acme.example", "audience": AUDIENCE, "keys": {"pinned": pinned},
        "claims": [{"claim": "sub", "prefix": "spiffe://acme.example/shop/"}]
    });
    actions.make(workload).await.expect(201);
    let svid = |sub: &str| signer.token(&json!({"aud": [AUDIENCE], "sub": sub, "exp": now() + 300}));
    actions.exchange(&svid("spiffe://acme.example/shop/web"), &[]).await.expect(200);
    is_refused(actions.exchange(&svid("spiffe://acme.example/shop-admin/web"), &[]).await, 400, "invalid_request");
    actions.manager.stop().await;
}

/// The examples of docs/oauth.md. That of GitHub is also used, with the keys of this issuer.
#[actix_web::test]
async fn every_trust_of_the_guide_can_be_made_and_that_of_github_admits_a_run_of_the_main_branch() {
    let actions = Actions::new().await;
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/oauth.md")).unwrap();
    let examples: Vec<Value> = guide
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    assert_eq!(examples.len(), 4);
    for mut example in examples {
        example["service_id"] = json!(actions.reader.service);
        actions.manager.post("/api/trusts", example.clone()).await.expect(201);
        if example["trust"]["kind"] == "github-actions" {
            let other = actions.manager.reader_of("by-guide", "dev", "shop/**").await;
            example["service_id"] = json!(other.service);
            example["trust"]["keys"]["url"] = json!(format!("{}/jwks", actions.issuer.url));
            actions.manager.post("/api/trusts", example.clone()).await.expect(201);
            let token = actions.signer.token(&with("aud", example["trust"]["audience"].clone()));
            let answer = actions.exchange(&token, &[("client_id", "by-guide")]).await.expect(200);
            assert_eq!(
                actions.installed.vault.check_token(&answer.member("access_token")).terms.subject,
                other.subject
            );
        }
    }
    actions.manager.stop().await;
}
