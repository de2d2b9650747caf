use manager_api::trusts::RequiredClaim;
use serde_json::{Value, json};
use shared_proto::id::Subject;

use super::*;
use crate::jwk::Jwk;
use crate::testing::Signer;

const NOW: u64 = 1_800_000_000;
const AUDIENCE: &str = "https://manager.example";
const GITHUB: &str = "https://token.actions.githubusercontent.com";

fn service() -> ServiceId {
    ServiceId::from_bytes([1; 16])
}

fn definition(kind: IssuerKind, issuer: &str, claims: &[RequiredClaim]) -> TrustDefinition {
    TrustDefinition {
        kind,
        issuer: issuer.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys: KeySource::Url("https://issuer.example/keys".to_owned()),
        claims: claims.to_vec(),
    }
}

fn define(kind: IssuerKind, issuer: &str, claims: &[RequiredClaim]) -> Result<Trust, DefinitionError> {
    Trust::define(&definition(kind, issuer, claims), service(), &AddressRules::STRICT)
}

fn is_too_broad(kind: IssuerKind, issuer: &str, claims: &[RequiredClaim]) -> bool {
    match define(kind, issuer, claims) {
        Err(DefinitionError::TooBroad(_)) => true,
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    }
}

fn github(claims: &[RequiredClaim]) -> Trust {
    define(IssuerKind::GithubActions, GITHUB, claims).unwrap()
}

/// The claims of a run on the main branch.
fn github_claims() -> Value {
    json!({
        "iss": GITHUB, "aud": AUDIENCE, "sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop", "repository_id": "74",
        "repository_owner": "acme", "event_name": "push", "exp": NOW + 300, "iat": NOW, "nbf": NOW - 600, "jti": "x", "run_attempt": 1
    })
}

fn with(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(*name);
        } else {
            claims[*name] = value.clone();
        }
    }
    claims
}

fn verify(trust: &Trust, signer: &Signer, claims: &Value) -> Result<ProvenByTrust, TrustFault> {
    let text = signer.token(claims);
    let key = Jwk::parse(signer.jwk().to_string().as_bytes()).unwrap();
    trust.verify(&parse_token(&text)?, Some(&key), NOW)
}

fn admits(trust: &Trust, claims: &Value) -> Result<(), TrustFault> {
    verify(trust, &Signer::ed25519("a"), claims).map(|_| ())
}

#[test]
fn token_of_the_named_repository_stands_for_the_service() {
    let trust = github(&[RequiredClaim::prefix("sub", "repo:acme/shop:")]);
    let proven = verify(&trust, &Signer::rsa("a"), &github_claims()).unwrap();
    assert_eq!(proven.proof.subject, Subject::Service(service()));
    assert_eq!((proven.external_subject.as_str(), proven.expires), ("repo:acme/shop:ref:refs/heads/main", NOW + 300));
}

#[test]
fn token_that_differs_in_one_thing_is_refused() {
    let trust = github(&[RequiredClaim::prefix("sub", "repo:acme/shop:"), RequiredClaim::exact("run_attempt", "1")]);
    assert_eq!(admits(&trust, &github_claims()), Ok(()));
    let sub = || TrustFault::Claim("sub".to_owned());
    let cases = [
        ("iss", json!("https://token.actions.githubusercontent.com/"), JwtFault::Issuer.into()),
        ("iss", Value::Null, JwtFault::Issuer.into()),
        ("aud", json!("https://github.com/acme"), JwtFault::Audience.into()),
        ("aud", json!([AUDIENCE, "other"]), JwtFault::Audience.into()),
        ("aud", Value::Null, JwtFault::Audience.into()),
        ("exp", json!(NOW), JwtFault::Expired.into()),
        ("exp", json!(NOW + 86_500), JwtFault::TooLongLived.into()),
        ("nbf", json!(NOW + 61), JwtFault::NotYet.into()),
        ("iat", json!(NOW + 61), JwtFault::NotYet.into()),
        ("sub", json!("repo:acme/shop-admin:ref:refs/heads/main"), sub()),
        ("sub", json!("repo:acme/shop"), sub()),
        ("sub", json!("repo:acme/shop:"), sub()),
        ("sub", json!("repo:Acme/shop:ref:refs/heads/main"), sub()),
        ("sub", json!(["repo:acme/shop:ref:refs/heads/main"]), sub()),
        ("sub", Value::Null, sub()),
        ("run_attempt", json!(2), TrustFault::Claim("run_attempt".to_owned())),
    ];
    for (name, value, fault) in cases {
        assert_eq!(admits(&trust, &with(github_claims(), &[(name, value.clone())])), Err(fault), "{name} {value}");
    }
    for (name, value) in [("nbf", json!(NOW + 60)), ("iat", json!(NOW + 60)), ("aud", json!([AUDIENCE]))] {
        assert_eq!(admits(&trust, &with(github_claims(), &[(name, value)])), Ok(()));
    }
}

#[test]
fn token_of_a_fork_or_pull_request_counts_only_if_the_trust_names_it() {
    let pull = ("sub", json!("repo:acme/shop:pull_request"));
    let event = |name: &str| ("event_name", json!(name));
    let prefix = RequiredClaim::prefix("sub", "repo:acme/shop:");
    let named = RequiredClaim::exact("sub", "repo:acme/shop:pull_request");
    let environment = ("sub", json!("repo:acme/shop:environment:production"));
    let by_repository = RequiredClaim::exact("repository", "acme/shop");
    let check = |conditions: Vec<RequiredClaim>, changes: Vec<(&str, Value)>, admitted: bool| {
        let result = admits(&github(&conditions), &with(github_claims(), &changes));
        assert_eq!(result.is_ok(), admitted, "{conditions:?} {changes:?} {result:?}");
    };
    check(vec![prefix.clone()], vec![], true);
    check(vec![prefix.clone()], vec![pull.clone(), event("pull_request")], false);
    check(vec![prefix.clone()], vec![pull.clone(), event("push")], false);
    check(vec![prefix.clone()], vec![pull.clone(), ("event_name", Value::Null)], false);
    check(vec![prefix.clone()], vec![environment.clone(), event("pull_request")], false);
    check(vec![prefix.clone()], vec![environment.clone(), event("push")], true);
    check(vec![by_repository.clone()], vec![pull.clone(), event("pull_request")], false);
    check(vec![by_repository.clone()], vec![event("pull_request_target")], false);
    check(vec![by_repository.clone()], vec![event("push")], true);
    check(vec![named.clone()], vec![pull.clone(), event("pull_request")], true);
    check(vec![named.clone()], vec![pull.clone(), ("event_name", Value::Null)], true);
    check(vec![named.clone()], vec![pull.clone(), event("pull_request_target")], false);
    check(vec![named.clone()], vec![], false);
    let by_event = |name: &str| vec![prefix.clone(), RequiredClaim::exact("event_name", name)];
    check(by_event("pull_request"), vec![pull.clone(), event("pull_request")], true);
    check(by_event("pull_request"), vec![pull.clone(), event("pull_request_target")], false);
    check(by_event("pull_request_target"), vec![event("pull_request_target")], true);
    // A fork's own run names the fork.
    let trust = github(&[RequiredClaim::prefix("sub", "repo:acme/shop:")]);
    let fork = with(github_claims(), &[("sub", json!("repo:stranger/shop:ref:refs/heads/main"))]);
    assert_eq!(admits(&trust, &fork), Err(TrustFault::Claim("sub".to_owned())));
}

#[test]
fn merge_request_of_gitlab_counts_only_if_the_trust_names_it() {
    let project = RequiredClaim::exact("project_path", "acme/web/shop");
    let claims = json!({"iss": "https://gitlab.example", "aud": AUDIENCE, "sub": "project_path:acme/web/shop:ref_type:branch:ref:x",
        "project_path": "acme/web/shop", "exp": NOW + 300});
    let of = |source: &str| with(claims.clone(), &[("pipeline_source", json!(source))]);
    let trust = define(IssuerKind::Gitlab, "https://gitlab.example", std::slice::from_ref(&project)).unwrap();
    assert_eq!(admits(&trust, &of("push")), Ok(()));
    // Nothing says that these are none.
    for unclear in [claims.clone(), of(""), with(claims.clone(), &[("pipeline_source", json!(1))])] {
        assert_eq!(admits(&trust, &unclear), Err(TrustFault::PullRequest), "{unclear}");
    }
    for source in ["merge_request_event", "external_pull_request_event", "parent_pipeline"] {
        assert_eq!(admits(&trust, &of(source)), Err(TrustFault::PullRequest), "{source}");
        let named = [project.clone(), RequiredClaim::exact("pipeline_source", source)];
        let trust = define(IssuerKind::Gitlab, "https://gitlab.example", &named).unwrap();
        assert_eq!(admits(&trust, &of(source)), Ok(()), "{source}");
        assert!(admits(&trust, &claims).is_err());
    }
}

#[test]
fn service_account_of_kubernetes_is_matched_by_nested_claims() {
    let issuer = "https://kubernetes.default.svc.cluster.local";
    let conditions = [
        RequiredClaim::exact("/kubernetes.io/namespace", "shop"),
        RequiredClaim::exact("/kubernetes.io/serviceaccount/name", "web"),
    ];
    let trust = define(IssuerKind::Kubernetes, issuer, &conditions).unwrap();
    let claims = json!({"iss": issuer, "aud": [AUDIENCE], "sub": "system:serviceaccount:shop:web", "exp": NOW + 3600,
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "1"}}});
    assert_eq!(admits(&trust, &claims), Ok(()));
    let nested = |value: Value| with(claims.clone(), &[("kubernetes.io", value)]);
    let fault = |claim: &str| Err(TrustFault::Claim(claim.to_owned()));
    assert_eq!(admits(&trust, &nested(json!({"namespace": "shop"}))), fault("/kubernetes.io/serviceaccount/name"));
    assert_eq!(admits(&trust, &nested(json!("shop"))), fault("/kubernetes.io/namespace"));
    let flat = with(claims.clone(), &[("kubernetes.io", Value::Null), ("/kubernetes.io/namespace", json!("shop"))]);
    assert_eq!(admits(&trust, &flat), fault("/kubernetes.io/namespace"));
}

#[test]
fn workload_of_spiffe_needs_no_issuer_and_lies_in_the_trust_domain() {
    let trust = define(
        IssuerKind::Spiffe,
        "spiffe://acme.example",
        &[RequiredClaim::prefix("sub", "spiffe://acme.example/shop/")],
    )
    .unwrap();
    let claims = |sub: &str| json!({"aud": [AUDIENCE], "sub": sub, "exp": NOW + 300});
    assert_eq!(admits(&trust, &claims("spiffe://acme.example/shop/web")), Ok(()));
    assert_eq!(
        admits(&trust, &claims("spiffe://acme.example/shop-admin/web")),
        Err(TrustFault::Claim("sub".to_owned()))
    );
    assert_eq!(admits(&trust, &claims("spiffe://acme.example.evil/shop/web")), Err(JwtFault::Issuer.into()));
    let prefix = RequiredClaim::prefix("sub", "spiffe://acme.example/shop/");
    let stored = definition(IssuerKind::Spiffe, "spiffe://acme.example", &[prefix]);
    let chosen = |subject: &str| {
        let text = Signer::ed25519("a").token(&claims(subject));
        let claims = UnverifiedClaims::of(&parse_token(&text).unwrap()).unwrap();
        (claims.name_issuer_of(&stored), claims.may_meet(&stored))
    };
    assert_eq!(chosen("spiffe://acme.example/shop/web"), (true, true));
    assert_eq!(chosen("spiffe://acme.example/other"), (true, false));
    assert_eq!(chosen("spiffe://acme.example.evil/shop/web"), (false, false));
}

#[test]
fn trust_that_would_admit_strangers_cannot_be_defined() {
    use IssuerKind::{Generic, GithubActions, Gitlab, Kubernetes, Spiffe};
    let exact = RequiredClaim::exact;
    let prefix = RequiredClaim::prefix;
    let (gitlab, cluster, domain, other) =
        ("https://gitlab.com", "https://cluster.example", "spiffe://acme.example", "https://id.example");
    let broad = [
        (GithubActions, GITHUB, prefix("sub", "repo:")),
        (GithubActions, GITHUB, prefix("sub", "repo:acme/")),
        (GithubActions, GITHUB, prefix("sub", "repo:acme/shop/")),
        (GithubActions, GITHUB, prefix("sub", "repo:acme:")),
        (GithubActions, GITHUB, prefix("sub", "repo:/shop:")),
        (GithubActions, GITHUB, exact("sub", "repo:acme/shop")),
        (GithubActions, GITHUB, exact("sub", "repo:acme/shop:")),
        (GithubActions, GITHUB, exact("sub", "ref:refs/heads/main")),
        (GithubActions, GITHUB, exact("repository_owner", "acme")),
        (GithubActions, GITHUB, exact("repository", "acme")),
        (GithubActions, GITHUB, prefix("repository", "acme/")),
        (GithubActions, GITHUB, exact("ref", "refs/heads/main")),
        (GithubActions, GITHUB, exact("environment", "production")),
        (GithubActions, GITHUB, prefix("job_workflow_ref", "acme/shop/")),
        (GithubActions, GITHUB, exact("repository_id", "acme")),
        (Gitlab, gitlab, prefix("sub", "project_path:acme/")),
        (Gitlab, gitlab, exact("namespace_path", "acme")),
        (Gitlab, gitlab, exact("project_path", "acme")),
        (Gitlab, gitlab, exact("ref_protected", "true")),
        (Kubernetes, cluster, prefix("sub", "system:")),
        (Kubernetes, cluster, prefix("sub", "system:serviceaccount:")),
        (Kubernetes, cluster, exact("sub", "system:serviceaccount:shop")),
        (Kubernetes, cluster, exact("/kubernetes.io/serviceaccount/name", "default")),
        (Spiffe, domain, prefix("sub", "spiffe://acme.example/")),
        (Spiffe, domain, prefix("sub", "spiffe://other.example/shop/")),
        (Spiffe, domain, prefix("sub", "spiffe://acme.example//")),
        (Spiffe, domain, exact("sub", "spiffe://acme.example")),
        (Generic, other, prefix("sub", "user:")),
        (Generic, other, prefix("sub", "/:")),
        (Generic, other, prefix("sub", "system:serviceaccount:")),
        (Generic, other, prefix("sub", "System:serviceaccount:shop:")),
        (Generic, other, prefix("sub", "system:serviceaccount::")),
        (Generic, other, prefix("sub", "spiffe://acme.example/")),
        (Generic, other, prefix("sub", "spiffe://acme.example//")),
        (Generic, other, prefix("sub", "spiffe:/acme.example/shop/")),
        (Generic, other, prefix("sub", "spiffe://cluster.local/ns/")),
        (Generic, other, prefix("sub", "project_path:acme/")),
        (Generic, other, prefix("sub", "repo:acme/")),
        (Generic, other, prefix("sub", "repo:acme/shop/")),
        (Generic, other, prefix("sub", "urn:uuid:")),
        (Generic, other, prefix("sub", "https://id.example/")),
        (Generic, other, prefix("sub", "https://id.example:8443/")),
        (Generic, other, prefix("sub", "https://id.example//")),
        (Generic, other, prefix("sub", "https://id.example/:")),
        (Generic, other, prefix("sub", "https:///shop/")),
        (Generic, other, prefix("sub", "https://")),
        (Spiffe, "spiffe://cluster.local", prefix("sub", "spiffe://cluster.local/ns/")),
        (Generic, other, exact("email_verified", "true")),
        (Generic, other, prefix("email", "a:b:")),
    ];
    for (kind, issuer, claim) in broad {
        assert!(is_too_broad(kind, issuer, std::slice::from_ref(&claim)), "{claim:?}");
    }
    let narrow = [
        (GithubActions, GITHUB, prefix("sub", "repo:acme/shop:")),
        (GithubActions, GITHUB, exact("sub", "repo:acme/shop:pull_request")),
        (GithubActions, "https://github.acme.example/_services/token", exact("repository", "acme/shop")),
        (GithubActions, GITHUB, exact("repository_id", "74")),
        (Gitlab, gitlab, prefix("sub", "project_path:acme/web/shop:")),
        (Gitlab, gitlab, exact("project_path", "acme/web/shop")),
        (Gitlab, gitlab, exact("project_id", "22")),
        (Kubernetes, cluster, exact("sub", "system:serviceaccount:shop:web")),
        (Kubernetes, cluster, prefix("sub", "system:serviceaccount:shop:")),
        (Kubernetes, cluster, exact("/kubernetes.io/namespace", "shop")),
        (Spiffe, domain, exact("sub", "spiffe://acme.example/shop")),
        (Spiffe, domain, prefix("sub", "spiffe://acme.example/shop/")),
        (Generic, other, exact("sub", "42")),
        (Generic, other, prefix("sub", "team:shop:")),
        (Generic, other, prefix("sub", "project:acme/shop:")),
        (Generic, other, prefix("sub", "system:serviceaccount:shop:")),
        (Generic, other, prefix("sub", "spiffe://cluster.local/ns/shop/")),
        (Generic, other, prefix("sub", "project_path:acme/shop:")),
        (Generic, other, prefix("sub", "repo:acme/shop:")),
        (Generic, other, prefix("sub", "urn:acme:shop:")),
        (Generic, other, prefix("sub", "https://id.example/shop/")),
        (Spiffe, "spiffe://cluster.local", prefix("sub", "spiffe://cluster.local/ns/shop/")),
        (Generic, other, exact("client_id", "shop")),
    ];
    for (kind, issuer, claim) in narrow {
        assert!(!is_too_broad(kind, issuer, std::slice::from_ref(&claim)), "{claim:?}");
    }
}

#[test]
fn malformed_definition_is_refused_with_its_part() {
    let good = definition(IssuerKind::Generic, "https://id.example", &[RequiredClaim::exact("sub", "42")]);
    let changed = |change: &dyn Fn(&mut TrustDefinition)| {
        let mut definition = good.clone();
        change(&mut definition);
        Trust::define(&definition, service(), &AddressRules::STRICT).err()
    };
    assert_eq!(changed(&|_| ()), None);
    for issuer in [
        "",
        "http://id.example",
        "id.example",
        "https://id.example/?a",
        "https://id.example/#a",
        "https://u@id.example",
        GITHUB,
        "https://gitlab.com",
        "https://gitlab.com/",
        "spiffe://id.example",
        "https://id.example/ ",
    ] {
        let refused = changed(&|definition| issuer.clone_into(&mut definition.issuer));
        assert!(matches!(refused, Some(DefinitionError::Issuer(_))), "{issuer} {refused:?}");
    }
    for audience in [
        "",
        "sts.amazonaws.com",
        "https://id.example",
        "https://kubernetes.default.svc",
        "https://github.com/acme",
        &"x".repeat(257),
    ] {
        let refused = changed(&|definition| audience.clone_into(&mut definition.audience));
        assert!(matches!(refused, Some(DefinitionError::Audience(_))), "{audience}");
    }
    for claims in [vec![], vec![RequiredClaim::exact("sub", "42"); 2], vec![RequiredClaim::exact("sub", "42"); 17]] {
        assert_eq!(changed(&|definition| definition.claims.clone_from(&claims)), Some(DefinitionError::Claims));
    }
    let both = RequiredClaim { claim: "sub".to_owned(), exact: Some("a".to_owned()), prefix: Some("a:b:".to_owned()) };
    let neither = RequiredClaim { exact: None, prefix: None, ..both.clone() };
    for claim in [
        both,
        neither,
        RequiredClaim::exact("sub", ""),
        RequiredClaim::exact("sub", "repo:*"),
        RequiredClaim::prefix("sub", "a:b"),
        RequiredClaim::prefix("sub", "a:b:x"),
        RequiredClaim::exact("", "x"),
        RequiredClaim::exact("aud", "x"),
        RequiredClaim::exact("/iss", "x"),
        RequiredClaim::exact("sub", "a\nb"),
        RequiredClaim::exact("sub", &"x".repeat(513)),
        RequiredClaim::exact(&"x".repeat(129), "x"),
    ] {
        let refused = changed(&|definition| definition.claims = vec![claim.clone()]);
        assert!(matches!(refused, Some(DefinitionError::Claim { .. })), "{claim:?} {refused:?}");
    }
    let keys = |keys: KeySource| changed(&|definition| definition.keys = keys.clone());
    assert!(matches!(keys(KeySource::Url("http://a.example/".to_owned())), Some(DefinitionError::Url(_))));
    assert_eq!(keys(KeySource::Pinned("{}".to_owned())), Some(DefinitionError::Pinned(JwkError::Set)));
    let pinned = json!({"keys": [Signer::ed25519("a").jwk()]}).to_string();
    assert_eq!(keys(KeySource::Pinned(pinned)), None);
}

#[test]
fn definition_is_stored_and_read_back() {
    let stored = definition(IssuerKind::GithubActions, GITHUB, &[RequiredClaim::prefix("sub", "repo:acme/shop:")]);
    let text = serde_json::to_string(&stored).unwrap();
    assert!(
        text.contains(r#""kind":"github-actions""#) && text.contains(r#"{"claim":"sub","prefix":"repo:acme/shop:"}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<TrustDefinition>(&text).unwrap(), stored);
    assert!(serde_json::from_str::<TrustDefinition>(&text.replace("\"claims\"", "\"x\":1,\"claims\"")).is_err());
}

#[test]
fn dry_run_says_which_checks_fail_and_repeats_no_value() {
    let trust =
        github(&[RequiredClaim::prefix("sub", "repo:acme/shop:"), RequiredClaim::exact("environment", "production")]);
    let signer = Signer::ed25519("a");
    let key = Jwk::parse(signer.jwk().to_string().as_bytes()).unwrap();
    let claims =
        with(github_claims(), &[("aud", json!("CANARY")), ("environment", json!("CANARY")), ("exp", json!(NOW - 1))]);
    let text = signer.token(&claims);
    let findings = trust.dry_run(&parse_token(&text).unwrap(), Some(&key), NOW);
    let failed: Vec<_> = findings.iter().filter(|it| it.fault.is_some()).map(|it| it.check.as_str()).collect();
    assert_eq!(failed, ["audience", "time", "environment"]);
    let all: Vec<_> = findings.iter().map(|it| it.check.as_str()).collect();
    assert_eq!(all, ["signature", "issuer", "audience", "time", "sub", "environment", "pull request"]);
    let said: String = findings.iter().filter_map(|it| it.fault.as_ref()).map(ToString::to_string).collect();
    let said = format!("{said} {findings:?}");
    assert!(!said.contains("CANARY") && !said.contains("production"), "{said}");
    let stranger = Signer::ed25519("a").token(&claims);
    for (text, key) in [(&stranger, Some(&key)), (&text, None)] {
        let findings = trust.dry_run(&parse_token(text).unwrap(), key, NOW);
        assert!(findings.len() == 1 && findings[0].fault.is_some(), "an unsigned claim is not looked at");
    }
    let good = signer.token(&with(github_claims(), &[("environment", json!("production"))]));
    assert!(trust.dry_run(&parse_token(&good).unwrap(), Some(&key), NOW).iter().all(|it| it.fault.is_none()));
}

#[test]
fn our_own_tokens_are_none_of_a_trust() {
    let text = Signer::ed25519("a").token_with(r#"{"alg":"EdDSA","kid":"a","typ":"at+jwt"}"#, "{}");
    assert_eq!(parse_token(&text).err(), Some(JwtFault::Type));
    let text = Signer::ed25519("a").token_with(r#"{"alg":"EdDSA","kid":"a","typ":"JOSE"}"#, "{}");
    assert!(parse_token(&text).is_ok());
}
