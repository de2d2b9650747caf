//! Signed texts, and release keys that are bound to every claim.

use proptest::collection::vec;
use proptest::prelude::*;
use shared_proto::chain::ChainHead;
use shared_proto::command::{CommandClaims, Operation};
use shared_proto::encoding::{ByteString, Bytes, b64, from_b64};
use shared_proto::event::{Event, EventClaims, event_hash};
use shared_proto::id::{
    CredentialId, EnvironmentId, ManagerId, PersonId, SecretId, ServiceId, Subject, TokenId, VaultId, Version,
};
use shared_proto::identity::{IdentityKey, Issuer, Mode};
use shared_proto::jwk::Curve;
use shared_proto::jws::{Compact, Kind, ed25519_key, sign};
use shared_proto::release::{self, SealKey};
use shared_proto::secret::ReleaseKey;
use shared_proto::token::{CheckedClaims, Confirmation, Expected, Grant, TokenTerms};

const NOW: u64 = 1_800_000_000;

fn issuer() -> Issuer {
    Issuer { mode: Mode::Production, manager: ManagerId::from_bytes([1; 16]) }
}

fn event() -> impl Strategy<Value = Event> {
    let (secret, version) = (SecretId::from_bytes([2; 16]), Version::FIRST);
    prop_oneof![
        any::<[u8; 16]>().prop_map(|raw| Event::Token(TokenId::from_bytes(raw))),
        any::<[u8; 16]>().prop_map(|raw| Event::Subject(Subject::Person(PersonId::from_bytes(raw)))),
        any::<[u8; 16]>().prop_map(|raw| Event::Subject(Subject::Service(ServiceId::from_bytes(raw)))),
        any::<[u8; 16]>().prop_map(|raw| Event::Credential(CredentialId::from_bytes(raw))),
        any::<[u8; 16]>().prop_map(|raw| Event::Environment(EnvironmentId::from_bytes(raw))),
        any::<[u8; 16]>().prop_map(|raw| Event::Secret(SecretId::from_bytes(raw))),
        (1..1_u64 << 53).prop_map(move |number| Event::Version(secret, Version::new(number).unwrap())),
        any::<[u8; 32]>().prop_map(|raw| Event::SigningKey(Bytes(raw))),
        Just(Event::All),
        any::<[u8; 16]>().prop_map(move |raw| Event::Destroy(EnvironmentId::from_bytes(raw), secret, version)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_event_reads_back_and_a_changed_character_is_refused(
        event in event(), seq in 1..1_u64 << 53, place: prop::sample::Index, other in "[A-Za-z0-9_.=-]"
    ) {
        let (key, _) = IdentityKey::generate().unwrap();
        let vault = VaultId::from_bytes([3; 16]);
        let claims = EventClaims::new(issuer(), vault, event, ChainHead { number: seq - 1, ..ChainHead::START }, NOW);
        let compact = sign(Kind::Event, key.kid(), &claims, |input| Ok(key.sign(input).0.to_vec())).unwrap();
        let verifying = ed25519_key(key.public().okp(Curve::Ed25519).unwrap());
        let read = |text: &str| {
            let payload = Compact::parse(Kind::Event, text)?.verify(&verifying)?;
            EventClaims::check(&payload, issuer(), vault)
        };
        let again = read(&compact).unwrap();
        prop_assert_eq!((again.event, again.seq), (event, seq));
        prop_assert_eq!(EventClaims::reread(&compact).unwrap().event, event);
        let place = place.index(compact.len());
        let changed = format!("{}{other}{}", &compact[..place], &compact[place + 1..]);
        prop_assert_eq!(read(&changed).is_ok(), changed == compact, "one signature, one text");
        prop_assert_eq!(event_hash(&changed) == event_hash(&compact), changed == compact);
        for kind in [Kind::AccessToken, Kind::Command] {
            prop_assert!(Compact::parse(kind, &compact).is_err());
        }
    }

    #[test]
    fn a_command_covers_its_body_and_no_other(body: Vec<u8>, other: Vec<u8>, late in 0..200_u64) {
        let (key, _) = IdentityKey::generate().unwrap();
        let vault = VaultId::from_bytes([3; 16]);
        let claims = CommandClaims::new(issuer(), vault, Operation::Store, &body, NOW);
        let compact = sign(Kind::Command, key.kid(), &claims, |input| Ok(key.sign(input).0.to_vec())).unwrap();
        let verifying = ed25519_key(key.public().okp(Curve::Ed25519).unwrap());
        let payload = Compact::parse(Kind::Command, &compact).unwrap().verify(&verifying).unwrap();
        let checked = |now, audience| CommandClaims::check(&payload, &Expected { issuer: issuer(), audience, now });
        prop_assert_eq!(checked(NOW + late, vault).is_ok(), late < 60);
        prop_assert!(checked(NOW, VaultId::from_bytes([4; 16])).is_err());
        let claims = checked(NOW, vault).unwrap();
        prop_assert!(claims.covers(&body).is_ok());
        prop_assert_eq!(claims.covers(&other).is_ok(), body == other);
    }
}

fn terms() -> impl Strategy<Value = TokenTerms> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<bool>());
    let grants = vec((any::<[u8; 16]>(), 1..1_u64 << 53), 1..5);
    (ids, any::<u32>(), 1..2700_u64, 0..1_u64 << 53, grants).prop_map(
        |((audience, subject, client, environment, person), issued, life, rseq, grants)| TokenTerms {
            issuer: issuer(),
            audience: VaultId::from_bytes(audience),
            subject: if person {
                Subject::Person(PersonId::from_bytes(subject))
            } else {
                Subject::Service(ServiceId::from_bytes(subject))
            },
            client_id: CredentialId::from_bytes(client),
            jti: TokenId::generate(),
            confirmation: None,
            issued_at: u64::from(issued),
            expires_at: u64::from(issued) + life,
            rseq,
            environment: EnvironmentId::from_bytes(environment),
            grants: grants
                .into_iter()
                .map(|(secret, version)| Grant {
                    secret: SecretId::from_bytes(secret),
                    version: Version::new(version).unwrap(),
                })
                .collect(),
        },
    )
}

/// Each claim changed alone.
fn changes(terms: &TokenTerms) -> Vec<TokenTerms> {
    let change = |with: &dyn Fn(&mut TokenTerms)| {
        let mut changed = terms.clone();
        with(&mut changed);
        changed
    };
    let other_subject = match terms.subject {
        Subject::Person(id) => Subject::Service(ServiceId::from_bytes(*id.as_bytes())),
        Subject::Service(id) => Subject::Person(PersonId::from_bytes(*id.as_bytes())),
    };
    let flipped = |raw: &[u8; 16]| raw.map(|byte| !byte);
    let mut all = vec![
        change(&|terms| terms.issuer.mode = Mode::Development),
        change(&|terms| terms.issuer.manager = ManagerId::from_bytes([9; 16])),
        change(&|terms| terms.audience = VaultId::from_bytes(flipped(terms.audience.as_bytes()))),
        change(&|terms| terms.subject = other_subject),
        change(&|terms| terms.client_id = CredentialId::from_bytes(flipped(terms.client_id.as_bytes()))),
        change(&|terms| terms.jti = TokenId::generate()),
        change(&|terms| terms.confirmation = Some(Confirmation::Dpop(Bytes([0; 32])))),
        change(&|terms| terms.issued_at += 1),
        change(&|terms| terms.expires_at += 1),
        change(&|terms| terms.rseq += 1),
        change(&|terms| terms.environment = EnvironmentId::from_bytes(flipped(terms.environment.as_bytes()))),
        change(&|terms| terms.grants[0].secret = SecretId::from_bytes(flipped(terms.grants[0].secret.as_bytes()))),
        change(&|terms| {
            terms.grants[0].version = Version::new(terms.grants[0].version.get() ^ 2).unwrap_or(Version::FIRST);
        }),
    ];
    if terms.grants.len() > 1 {
        all.push(change(&|terms| terms.grants.swap(0, 1)));
    }
    all.retain(|changed| changed != terms);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn release_keys_open_for_exactly_the_claims_that_they_were_sealed_for(terms in terms(), place: prop::sample::Index) {
        let (seal_key, foreign) = (SealKey::generate().unwrap(), SealKey::generate().unwrap());
        let keys: Vec<ReleaseKey> = terms.grants.iter().map(|_| ReleaseKey::generate()).collect();
        let claims = release::seal(terms.clone(), &keys, &[seal_key.public().clone()]).unwrap();
        let written = serde_json::to_value(&claims).unwrap();
        let sealed = written["seals"].as_object().unwrap().values().next().unwrap().as_str().unwrap();
        let sealed: [u8; 80] = from_b64(sealed).unwrap().try_into().unwrap();
        let rk = from_b64(written["rk"].as_str().unwrap()).unwrap();
        let claims = |terms: &TokenTerms, sealed: [u8; 80], rk: &[u8]| CheckedClaims {
            terms: terms.clone(),
            seals: vec![(seal_key.kid(), Bytes(sealed))],
            rk: ByteString(rk.to_vec()),
        };
        let open = |claims: &CheckedClaims| release::open(claims, |kid| (*kid == seal_key.kid()).then_some(&seal_key));

        let opened = open(&claims(&terms, sealed, &rk)).unwrap();
        prop_assert!(opened.len() == keys.len() && opened.iter().zip(&keys).all(|(one, other)| one.expose() == other.expose()));
        for changed in changes(&terms) {
            prop_assert!(open(&claims(&changed, sealed, &rk)).is_err(), "{changed:?}");
        }
        let (mut other_seal, mut other_rk) = (sealed, rk.clone());
        other_seal[place.index(80)] ^= 1;
        other_rk[place.index(rk.len())] ^= 1;
        prop_assert!(open(&claims(&terms, other_seal, &rk)).is_err());
        prop_assert!(open(&claims(&terms, sealed, &other_rk)).is_err());
        prop_assert!(release::open(&claims(&terms, sealed, &rk), |_| Some(&foreign)).is_err());
        prop_assert!(release::open(&claims(&terms, sealed, &rk), |_| None).is_err());
        // What is bound is unambiguous.
        let infos: Vec<String> = changes(&terms).iter().map(|changed| b64(&changed.info())).collect();
        prop_assert!(infos.iter().all(|info| *info != b64(&terms.info())));
    }
}
