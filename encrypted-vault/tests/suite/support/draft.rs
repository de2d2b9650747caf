//! Access tokens written by hand, so that every claim can be wrong and the seal bound to the wrong claim.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as HPKE;
use rustls::crypto::hpke::{Hpke as _, HpkePublicKey};
use serde_json::{Map, Value, json};
use shared_proto::encoding::{b64, lp, random};
use shared_proto::id::{CredentialId, PersonId, TokenId};
use shared_proto::jwk::{Curve, PublicJwk};
use shared_proto::rsa_key::RsaPrivate;

use super::keys::signing_keys;
use super::manager::{Manager, Secret, rs256};

/// A token in its raw parts.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) client_id: String,
    pub(crate) jti: String,
    /// Member and value of `cnf`.
    pub(crate) cnf: Option<(String, String)>,
    pub(crate) iat: u64,
    pub(crate) nbf: u64,
    pub(crate) exp: u64,
    pub(crate) rseq: u64,
    pub(crate) env: [u8; 16],
    pub(crate) grants: Vec<([u8; 16], u64)>,
    release_keys: Vec<[u8; 32]>,
    seal_keys: Vec<PublicJwk>,
}

impl Draft {
    /// A token that is good in everything.
    pub(crate) fn new(manager: &Manager, secrets: &[Secret], seal_keys: Vec<PublicJwk>, now: u64) -> Self {
        Self {
            iss: manager.issuer().to_string(),
            aud: manager.vault.to_string(),
            sub: PersonId::generate().to_string(),
            client_id: CredentialId::generate().to_string(),
            jti: TokenId::generate().to_string(),
            cnf: None,
            iat: now,
            nbf: now,
            exp: now + 900,
            rseq: manager.newest(),
            env: *manager.environment.as_bytes(),
            grants: secrets.iter().map(|secret| (*secret.id.as_bytes(), secret.version.get())).collect(),
            release_keys: secrets.iter().map(|secret| *manager.release_key(secret).expose()).collect(),
            seal_keys,
        }
    }

    /// The bytes that the seal is bound to, as docs/protocol.md says.
    pub(crate) fn info(&self) -> Vec<u8> {
        let grants: Vec<u8> = self.grants.iter().flat_map(|(id, version)| lp(&[id, &version.to_be_bytes()])).collect();
        let confirmation = self.cnf.as_ref().map(|(name, value)| format!("{name}:{value}")).unwrap_or_default();
        lp(&[
            b"splitvault/1/token",
            self.iss.as_bytes(),
            self.aud.as_bytes(),
            self.sub.as_bytes(),
            self.client_id.as_bytes(),
            self.jti.as_bytes(),
            confirmation.as_bytes(),
            &self.iat.to_be_bytes(),
            &self.exp.to_be_bytes(),
            &self.rseq.to_be_bytes(),
            &self.env,
            &grants,
        ])
    }

    /// The claims, sealed to exactly what they say.
    pub(crate) fn claims(&self) -> Map<String, Value> {
        let (seals, rk) = seal_by_hand(&self.info(), &self.release_keys, &self.seal_keys);
        let grants: Vec<Value> = self.grants.iter().map(|(id, version)| json!([b64(id), version])).collect();
        let mut claims = json!({
            "iss": self.iss, "sub": self.sub, "aud": self.aud, "exp": self.exp, "nbf": self.nbf, "iat": self.iat,
            "jti": self.jti, "client_id": self.client_id, "env": b64(&self.env), "grants": grants,
            "rseq": self.rseq, "seals": seals, "rk": rk,
        });
        if let Some((name, value)) = &self.cnf {
            claims["cnf"] = json!({ name: value });
        }
        claims.as_object().unwrap().clone()
    }

    /// The compact form, validly signed.
    pub(crate) fn sign(&self) -> String {
        Self::sign_claims(&Value::Object(self.claims()).to_string())
    }

    /// Validly signed, with these claims.
    pub(crate) fn sign_claims(claims: &str) -> String {
        raw_jws(&Self::header(), claims, &signing_keys()[0])
    }

    /// The header of a good token.
    pub(crate) fn header() -> String {
        let kid = format!("{:?}", signing_keys()[0].public().thumbprint());
        format!(r#"{{"alg":"RS256","typ":"at+jwt","kid":"{kid}"}}"#)
    }
}

/// Any header and claims under a real RS256 signature.
pub(crate) fn raw_jws(header: &str, claims: &str, key: &RsaPrivate) -> String {
    let input = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
    let signature = rs256(key, input.as_bytes());
    format!("{input}.{}", b64(&signature))
}

/// `seals` and `rk` bound to these bytes.
pub(crate) fn seal_by_hand(
    info: &[u8],
    release_keys: &[[u8; 32]],
    seal_keys: &[PublicJwk],
) -> (Map<String, Value>, String) {
    let content_key: [u8; 32] = random();
    let mut seals = Map::new();
    for key in seal_keys {
        let recipient = HpkePublicKey(key.okp(Curve::X25519).unwrap().to_vec());
        let (enc, sealed) = HPKE.seal(info, &[], &content_key, &recipient).unwrap();
        seals.insert(format!("{:?}", key.thumbprint()), json!(b64(&[enc.0, sealed].concat())));
    }
    let mut rk = release_keys.concat();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &content_key).unwrap())
        .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(info), &mut rk)
        .unwrap();
    (seals, b64(&rk))
}
