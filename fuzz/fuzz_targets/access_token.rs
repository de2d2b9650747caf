//! Access tokens: the bytes as a token, and as the claims of a token whose signature holds.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::Value;
use shared_proto::jws::{Compact, Kind};
use shared_proto::release;
use shared_proto::token::{AccessClaims, MAX_GRANTS, MAX_LIFE_SECONDS};
use splitvault_fuzz::installation::{INSTALLATION, NOW};
use splitvault_fuzz::meaning::is_no_signature;

fuzz_target!(|data: &[u8]| -> Corpus {
    is_no_signature(data);
    // A signature costs most of the time; what is no object is refused before the claims are looked at.
    if data.first() != Some(&b'{') || data.len() > Kind::AccessToken.limit() {
        return Corpus::Keep;
    }
    let token = INSTALLATION.signed(Kind::AccessToken, data);
    let Ok(compact) = Compact::parse(Kind::AccessToken, &token) else { return Corpus::Keep };
    let payload = compact.verify(&INSTALLATION.verifying(Kind::AccessToken)).expect("our own signature");
    let Ok(claims) = AccessClaims::check(&payload, &INSTALLATION.expected) else { return Corpus::Keep };
    let terms = claims.terms.clone();
    assert_eq!((terms.issuer, terms.audience), (INSTALLATION.expected.issuer, INSTALLATION.expected.audience));
    assert!(terms.expires_at > NOW && terms.expires_at - terms.issued_at <= MAX_LIFE_SECONDS);
    assert!((1..=MAX_GRANTS).contains(&terms.grants.len()));
    assert!(terms.grants.iter().enumerate().all(|(at, one)| terms.grant_of(one.secret) == Some((at, *one))));
    assert!(terms.confirmation.is_none(), "proof of possession is not implemented");
    // Nobody sealed release keys to our seal key for this token.
    assert!(release::open(&claims, |_| Some(&INSTALLATION.seal_key)).is_err());
    let mut careless: Value = serde_json::from_slice(data).expect("what is accepted is JSON");
    // `nbf` may be another time than `iat`; we always write the same.
    careless["nbf"] = careless["iat"].clone();
    let ours = serde_json::to_value(AccessClaims::new(terms, claims.seals, claims.rk)).unwrap();
    assert_eq!(careless, ours, "two readers understand the token differently");
    Corpus::Keep
});
