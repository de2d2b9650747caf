//! Tokens that must not open anything. Every claim that is wrong is wrong inside the seal as well: a seal that does not
//! fit would hide that a check is missing.

use actix_web::test::TestRequest;
use serde_json::{Map, Value, json};
use shared_proto::command::Operation;
use shared_proto::encoding::b64;
use shared_proto::id::{ManagerId, SecretId, TokenId, VaultId};
use shared_proto::identity::{Issuer, Mode};

use crate::support::{Draft, NOW, Reply, Secret, World, raw_jws, send, signing_keys};

/// A vault with one secret, and the one answer to every bad token.
struct Target {
    world: World,
    secret: Secret,
    refusal: String,
}

impl Target {
    async fn new() -> Self {
        let world = World::new().await;
        let secret = world.secret("never").await;
        let refusal = world.read("nonsense", &secret).await.body_without_id();
        Self { world, secret, refusal }
    }

    fn draft(&self) -> Draft {
        self.world.draft(&[self.secret])
    }

    /// The token is refused as every bad token is, byte for byte.
    async fn refused(&self, token: &str, attack: &str) {
        let reply = self.world.read(token, &self.secret).await;
        self.is_the_refusal(&reply, attack);
    }

    fn is_the_refusal(&self, reply: &Reply, attack: &str) {
        assert_eq!(reply.problem(), (401, "token_invalid".to_owned()), "{attack}");
        assert_eq!(reply.body_without_id(), self.refusal, "{attack}");
    }

    /// Validly signed and well sealed, with the claims changed after.
    async fn refused_claims(&self, attack: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let draft = self.draft();
        let mut claims = draft.claims();
        change(&mut claims);
        self.refused(&draft.sign_claims(&Value::Object(claims).to_string()), attack).await;
    }

    async fn refused_draft(&self, attack: &str, change: impl FnOnce(&mut Draft)) {
        let mut draft = self.draft();
        change(&mut draft);
        self.refused(&draft.sign(), attack).await;
    }

    async fn opens(&self, draft: &Draft) {
        assert_eq!(self.world.value(&draft.sign(), &self.secret).await.unwrap(), "never");
    }
}

#[actix_web::test]
async fn a_header_that_is_not_exactly_ours_is_refused() {
    let target = Target::new().await;
    target.opens(&target.draft()).await;
    let draft = target.draft();
    let claims = Value::Object(draft.claims()).to_string();
    let kid = format!("{:?}", signing_keys()[0].public().thumbprint());
    let headers = [
        r#"{"alg":"none","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"HS256","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"rs256","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"RS512","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"PS256","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"EdDSA","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"JWT","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"AT+JWT","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"application/at+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"command+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"secevent+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","kid":"K"}"#,
        r#"{"typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"at+jwt"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":null}"#,
        r#"{"alg":["RS256"],"typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","kid":"K"}"#,
        r#"{"alg":"RS256","alg":"RS256","typ":"at+jwt","kid":"K"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","crit":[]}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","crit":["exp"]}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","b64":true}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","jku":"https://evil.example/k"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","x5u":"https://evil.example/k"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","x5c":[]}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"K","cty":"JWT"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"../../keys/transport.pem"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":"' OR 1=1 --"}"#,
        r#"{"alg":"RS256","typ":"at+jwt","kid":""}"#,
        r#"["RS256","at+jwt","K"]"#,
        r#""RS256""#,
        "",
    ];
    for header in headers {
        let header = header.replace('K', &kid).replace(&format!("{kid}ey"), "Key");
        target.refused(&raw_jws(&header, &claims, &signing_keys()[0]), &header).await;
    }
}

#[actix_web::test]
async fn another_key_is_refused_whatever_the_header_says_of_it() {
    let target = Target::new().await;
    let claims = Value::Object(target.draft().claims()).to_string();
    let [ours, other] = signing_keys();
    target.refused(&raw_jws(&Draft::header(), &claims, other), "another key's signature").await;
    let jwk = serde_json::to_string(other.public()).unwrap();
    let kid = other.public().thumbprint();
    let unknown = format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"{kid:?}"}}"#);
    target.refused(&raw_jws(&unknown, &claims, other), "a key that nobody stated").await;
    let embedded = format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"{kid:?}","jwk":{jwk}}}"#);
    target.refused(&raw_jws(&embedded, &claims, other), "an embedded key").await;
    // HMAC with the public key as the secret, the oldest trick.
    let input = Draft::header().replace("RS256", "HS256");
    let input = format!("{}.{}", b64(input.as_bytes()), b64(claims.as_bytes()));
    for secret in [serde_json::to_vec(ours.public()).unwrap(), jwk.into_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        target.refused(&format!("{input}.{}", b64(tag.as_ref())), "HS256 with the public key").await;
    }
    let unsigned = format!("{}.{}.", b64(br#"{"alg":"none","typ":"at+jwt"}"#), b64(claims.as_bytes()));
    target.refused(&unsigned, "no signature").await;
}

#[actix_web::test]
async fn a_token_of_another_kind_is_refused_in_the_place_of_an_access_token_and_the_reverse() {
    let mut target = Target::new().await;
    let draft = target.draft();
    let manager = &target.world.manager;
    let command = manager.command(Operation::Poll, b"{}", NOW);
    target.refused(&command, "a command").await;
    let event = target.world.manager.event(shared_proto::event::Event::All);
    target.refused(&event, "an event").await;
    let id_token = r#"{"iss":"https://issuer.example","sub":"a","aud":"b","exp":1800000900,"iat":1800000000}"#;
    target.refused(&raw_jws(&Draft::header(), id_token, &signing_keys()[0]), "an ID token").await;
    let manager = &target.world.manager;
    let claims = draft.claims();
    for kind in [shared_proto::jws::Kind::Command, shared_proto::jws::Kind::Event] {
        target.refused(&manager.sign(kind, &claims), "claims of an access token under the identity key").await;
    }
    let body = serde_json::to_vec(&manager.poll_body(None)).unwrap();
    for credential in [draft.sign(), event, manager.sign(shared_proto::jws::Kind::Command, &claims)] {
        let reply = crate::support::command(&target.world.vault, "/api/commands", &credential, body.clone()).await;
        assert_eq!(reply.problem(), (401, "command_invalid".to_owned()));
    }
}

#[actix_web::test]
async fn claims_that_are_missing_or_of_another_type_are_refused() {
    let target = Target::new().await;
    let names: Vec<String> = target.draft().claims().keys().cloned().collect();
    assert_eq!(names.len(), 13);
    for name in &names {
        target.refused_claims(&format!("no {name}"), |claims| drop(claims.remove(name))).await;
        let kept = target.draft().claims()[name].clone();
        let wrong = [
            Value::Null,
            json!(true),
            json!({}),
            json!([]),
            json!([kept]),
            json!(-1),
            json!(1.5),
            json!(kept.to_string()),
            json!(""),
        ];
        for value in wrong {
            let attack = format!("{name} is {value}");
            target.refused_claims(&attack, |claims| drop(claims.insert(name.clone(), value))).await;
        }
    }
    target.refused_claims("an unknown claim", |claims| drop(claims.insert("scope".into(), json!("read")))).await;
    target.refused_claims("an audience list", |claims| claims["aud"] = json!([claims["aud"], "x"])).await;
    // 1.8e9 and 1800000900.0 are not integers of this protocol.
    let draft = target.draft();
    let text = Value::Object(draft.claims()).to_string();
    for form in ["1800000900.0", "1.8000009e9"] {
        let changed = text.replace(r#""exp":1800000900"#, &format!(r#""exp":{form}"#));
        assert_ne!(changed, text);
        target.refused(&draft.sign_claims(&changed), form).await;
    }
    target.refused(&draft.sign_claims(&format!("[{text}]")), "an array").await;
    target.refused(&draft.sign_claims(&format!("{text} x")), "trailing text").await;
    target.refused(&draft.sign_claims(&format!("\u{feff}{text}")), "a byte order mark").await;
}

#[actix_web::test]
async fn members_that_come_twice_are_refused() {
    let target = Target::new().await;
    let draft = target.draft();
    let claims = draft.claims();
    let text = Value::Object(claims.clone()).to_string();
    for (name, value) in &claims {
        let twice = format!(r#"{{"{name}":{value},{}"#, &text[1..]);
        target.refused(&draft.sign_claims(&twice), &format!("{name} twice")).await;
    }
    let seals = claims["seals"].to_string();
    let twice = format!("{},{}", &seals[..seals.len() - 1], &seals[1..]);
    target.refused(&draft.sign_claims(&text.replace(&seals, &twice)), "a seal twice").await;
    let thumbprint = format!("{:?}", signing_keys()[0].public().thumbprint());
    let two = json!({ "jkt": thumbprint, "x5t#S256": thumbprint });
    target.refused_claims("two confirmations", |claims| drop(claims.insert("cnf".into(), two))).await;
}

#[actix_web::test]
async fn a_token_for_another_vault_or_from_another_manager_is_refused() {
    let target = Target::new().await;
    let manager = &target.world.manager;
    let issuers = [
        Issuer { mode: Mode::Production, manager: manager.id }.to_string(),
        Issuer { mode: Mode::Development, manager: ManagerId::generate() }.to_string(),
        format!("{} ", manager.issuer()),
        manager.issuer().to_string().to_uppercase(),
        manager.id.to_string(),
    ];
    for iss in issuers {
        target.refused_draft(&iss.clone(), |draft| draft.iss = iss).await;
    }
    for aud in [VaultId::generate().to_string(), manager.vault.bare(), format!("{},x", manager.vault)] {
        target.refused_draft(&aud.clone(), |draft| draft.aud = aud).await;
    }
    for sub in ["usr_short", "sec_AAAAAAAAAAAAAAAAAAAAAA", "alice"] {
        target.refused_draft(sub, |draft| sub.clone_into(&mut draft.sub)).await;
    }
    target.refused_draft("client_id", |draft| draft.client_id = draft.sub.clone()).await;
    target.refused_draft("jti", |draft| draft.jti = format!("{}A", TokenId::generate())).await;
}

#[actix_web::test]
async fn times_are_checked_to_the_second() {
    let target = Target::new().await;
    target.opens(&target.draft()).await;
    let times = |iat, nbf, exp| {
        let mut draft = target.draft();
        (draft.iat, draft.nbf, draft.exp) = (iat, nbf, exp);
        draft
    };
    for (good, why) in [
        (times(NOW, NOW, NOW + 1), "the last second"),
        (times(NOW + 30, NOW + 30, NOW + 900), "a clock 30 s ahead"),
        (times(NOW - 2699, NOW - 2699, NOW + 1), "the longest life"),
    ] {
        assert!(target.world.value(&good.sign(), &target.secret).await.is_ok(), "{why}");
    }
    for (bad, why) in [
        (times(NOW - 900, NOW - 900, NOW), "exactly at exp"),
        (times(NOW - 901, NOW - 901, NOW - 1), "a second after exp"),
        (times(NOW + 31, NOW, NOW + 900), "iat 31 s ahead"),
        (times(NOW, NOW + 31, NOW + 900), "nbf 31 s ahead"),
        (times(NOW - 2700, NOW - 2700, NOW + 1), "a life of 2,701 s"),
        (times(NOW + 20, NOW, NOW + 20), "no life at all"),
        (times(NOW + 20, NOW, NOW + 10), "exp before iat"),
        (times(NOW, NOW + 20, NOW + 20), "nbf at exp"),
        (times(NOW, NOW, u64::MAX), "for ever"),
        (times(0, 0, NOW + 1), "from the beginning of time"),
    ] {
        target.refused(&bad.sign(), why).await;
    }
    // A token in the cache ends like any other.
    let cached = times(NOW, NOW, NOW + 10).sign();
    assert!(target.world.value(&cached, &target.secret).await.is_ok());
    target.world.clock.advance(9);
    assert!(target.world.value(&cached, &target.secret).await.is_ok());
    target.world.clock.advance(1);
    target.refused(&cached, "a cached token at exp").await;
}

#[actix_web::test]
async fn a_confirmation_is_refused_because_nobody_checks_it() {
    let target = Target::new().await;
    let thumbprint = format!("{:?}", signing_keys()[0].public().thumbprint());
    for name in ["jkt", "x5t#S256", "jwk", "kid", "osc"] {
        let confirmation = Some((name.to_owned(), thumbprint.clone()));
        target.refused_draft(name, |draft| draft.cnf = confirmation).await;
    }
    for cnf in [Value::Null, json!({}), json!([]), json!(""), json!({ "jkt": "" }), json!({ "jkt": null })] {
        target.refused_claims(&format!("cnf {cnf}"), |claims| drop(claims.insert("cnf".into(), cnf.clone()))).await;
    }
}

#[actix_web::test]
async fn grants_are_1_to_64_of_different_secrets_with_real_versions() {
    let target = Target::new().await;
    let secret = target.secret;
    let many = |count: usize| {
        let filler = (1..count).map(|_| Secret { id: SecretId::generate(), ..secret });
        target.world.draft(&std::iter::once(secret).chain(filler).collect::<Vec<_>>())
    };
    target.opens(&many(64)).await;
    assert!(many(64).sign().len() < 7_400, "the size that the design counts on");
    target.refused(&many(65).sign(), "65 grants").await;
    target.refused(&target.world.draft(&[]).sign(), "no grant").await;
    target.refused(&target.world.draft(&[secret, secret]).sign(), "a secret twice").await;
    for version in [0, 1 << 53, u64::MAX] {
        target.refused_draft(&format!("version {version}"), |draft| draft.grants[0].1 = version).await;
    }
    let grant = target.draft().claims()["grants"][0].clone();
    for form in [json!([grant[0]]), json!([grant[0], 1, 1]), json!([1, grant[0]]), json!({ "a": 1 }), json!(grant[0])] {
        target.refused_claims(&form.to_string(), |claims| claims["grants"] = json!([form])).await;
    }
    target.refused_claims("a prefixed id", |claims| claims["grants"] = json!([[secret.id.to_string(), 1]])).await;
}

#[actix_web::test]
async fn tokens_beyond_8000_bytes_and_heads_beyond_16_kib_are_refused() {
    let target = Target::new().await;
    let token = target.draft().sign();
    let claims = Value::Object(target.draft().claims()).to_string();
    // White space keeps the token genuine while it grows.
    let grown = |bytes: usize| {
        let blank = |blanks: usize| target.draft().sign_claims(&format!("{claims}{}", " ".repeat(blanks)));
        let mut blanks = (bytes - token.len()) / 4 * 3;
        while blank(blanks).len() < bytes {
            blanks += 1;
        }
        blank(blanks)
    };
    let fits = grown(7_990);
    assert!((7_990..=8_000).contains(&fits.len()), "{}", fits.len());
    assert_eq!(target.world.value(&fits, &target.secret).await.unwrap(), "never");
    for bytes in [8_001, 8_002, 10_000, 15_900] {
        target.refused(&grown(bytes), &format!("{bytes} bytes")).await;
    }
    let reply = target.world.read(&"A".repeat(16_400), &target.secret).await;
    assert_eq!(reply.problem(), (431, "header_too_large".to_owned()));
}

#[actix_web::test]
async fn only_one_authorization_header_with_one_bearer_word_counts() {
    let target = Target::new().await;
    let token = target.draft().sign();
    let path = format!("/api/keys/{}", target.secret.id);
    let request = || TestRequest::get().uri(&path);
    let bearer = format!("Bearer {token}");
    let two = request().append_header(("authorization", &*bearer)).append_header(("authorization", &*bearer));
    target.is_the_refusal(&send(&target.world.vault, two).await, "two headers");
    target.is_the_refusal(&send(&target.world.vault, request()).await, "no header");
    let forms = [
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer  {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},{token}"),
        format!("Bearer\t{token}"),
        format!("DPoP {token}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
    ];
    for form in forms {
        let reply = send(&target.world.vault, request().insert_header(("authorization", &*form))).await;
        target.is_the_refusal(&reply, form.get(..7).unwrap_or("no word"));
    }
    let query = TestRequest::get().uri(&format!("{path}?access_token={token}"));
    target.is_the_refusal(&send(&target.world.vault, query).await, "a token in the address");
}
