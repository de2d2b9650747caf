//! Tokens whose form, header, signature or kind is wrong.

use actix_web::test::TestRequest;
use serde_json::Value;
use shared_proto::command::Operation;
use shared_proto::encoding::b64;

use crate::support::{Draft, NOW, Target, raw_jws, send, signing_keys};

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
async fn tokens_beyond_8000_bytes_and_heads_beyond_16_kib_are_refused() {
    let target = Target::new().await;
    let token = target.draft().sign();
    let claims = Value::Object(target.draft().claims()).to_string();
    // White space keeps the token genuine while it grows.
    let grown = |bytes: usize| {
        let blank = |blanks: usize| Draft::sign_claims(&format!("{claims}{}", " ".repeat(blanks)));
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
        format!("Bearer  {token}  {token}"),
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
    for form in [format!("Bearer   {token}"), format!("bearer {token}")] {
        let reply = send(&target.world.vault, request().insert_header(("authorization", &*form))).await;
        assert_eq!(reply.status, 200);
    }
    let query = TestRequest::get().uri(&format!("{path}?access_token={token}"));
    target.is_the_refusal(&send(&target.world.vault, query).await, "a token in the address");
}
