//! A manager: seals, signs tokens, commands and events.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use shared_proto::chain::{ChainHead, Step};
use shared_proto::command::{CommandClaims, Operation};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::seal::{new_transfer_key, release_key, seal};
use shared_proto::envelope::{
    BoundFingerprint, EnvelopeDigest, Header, Inner, MovedKey, ValueFingerprint, WrappedTransferKey, binding_key,
};
use shared_proto::event::{Event, EventClaims, EventHash, NO_EVENT, event_hash};
use shared_proto::id::{EnvironmentId, ManagerId, SecretId, VaultId, Version};
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner};
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{self, Kind};
use shared_proto::rsa_key::{RsaPrivate, encrypting_key};
use shared_proto::secret::{FingerprintKey, ReleaseKey, RootKey, SecretValue, TransferKey, ValueEncoding};
use shared_proto::statement::{KeyStatement, Purpose};
use shared_proto::wire::fingerprint::{Compare, Find, ValueToCompare, VersionToCompare};
use shared_proto::wire::vault::{
    EnvelopeToStore, Handout, InstanceId, Poll, Push, Rewrap, RowToRewrap, Store, VersionName,
};
use zeroize::Zeroizing;

use super::keys::{signing_keys, transport_pem};

/// What the manager remembers of a stored version.
#[derive(Clone, Copy)]
pub(crate) struct Secret {
    pub(crate) id: SecretId,
    pub(crate) version: Version,
    pub(crate) digest: EnvelopeDigest,
}

pub(crate) struct Manager {
    pub(crate) id: ManagerId,
    pub(crate) mode: Mode,
    pub(crate) identity: IdentityKey,
    pub(crate) vault: VaultId,
    pub(crate) environment: EnvironmentId,
    /// The newest root key and its epoch.
    pub(crate) root: RootKey,
    pub(crate) epoch: u32,
    pub(crate) fingerprints: FingerprintKey,
    pub(crate) transfer: (TransferKey, WrappedTransferKey),
    pub(crate) transport_kid: Thumbprint,
    /// The identities of the vault that it accepts.
    pub(crate) pins: Vec<Thumbprint>,
    /// Its process.
    pub(crate) instance: InstanceId,
    /// The chain of events.
    pub(crate) events: Vec<String>,
}

impl Manager {
    pub(crate) fn new(vault: VaultId, mode: Mode) -> Self {
        let transport = RsaPrivate::from_pem(transport_pem()).unwrap();
        Self {
            id: ManagerId::generate(),
            mode,
            identity: IdentityKey::generate().unwrap().0,
            vault,
            environment: EnvironmentId::generate(),
            root: RootKey::generate(),
            epoch: 1,
            fingerprints: FingerprintKey::generate(),
            transfer: new_transfer_key(&encrypting_key(transport.public()).unwrap()).unwrap(),
            transport_kid: transport.public().thumbprint(),
            pins: Vec::new(),
            instance: Bytes(shared_proto::encoding::random()),
            events: Vec::new(),
        }
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer { mode: self.mode, manager: self.id }
    }

    pub(crate) fn document(&self) -> IdentityDocument {
        IdentityDocument { id: Owner::Manager(self.id), mode: self.mode, key: self.identity.public().clone() }
    }

    /// The statement of the token signing key.
    pub(crate) fn statement(&self, validity: (u64, u64)) -> KeyStatement {
        let key = signing_keys()[0].public().clone();
        KeyStatement::sign(&self.identity, Owner::Manager(self.id), Purpose::TokenSigning, key, validity)
    }

    pub(crate) fn header(&self, id: SecretId, version: Version) -> Header {
        Header { vault: self.vault, environment: self.environment, secret: id, version }
    }

    /// An envelope with a text value, and what is remembered of it.
    pub(crate) fn seal(&self, id: SecretId, version: u64, value: &str) -> (Secret, EnvelopeToStore) {
        self.seal_as(id, version, ValueEncoding::Text, value)
    }

    pub(crate) fn seal_as(
        &self,
        id: SecretId,
        version: u64,
        encoding: ValueEncoding,
        value: &str,
    ) -> (Secret, EnvelopeToStore) {
        let version = Version::new(version).unwrap();
        let fingerprint = self.fingerprint(id, version, (encoding, value));
        let value = SecretValue::from_json(encoding, Zeroizing::new(value.to_owned())).unwrap();
        let sealed = seal(self.header(id, version), &value, &self.root).unwrap();
        let envelope = EnvelopeToStore {
            environment: self.environment,
            secret_id: id,
            version,
            epoch: self.epoch,
            digest: sealed.digest,
            moved: sealed.inner.move_with(&self.transfer.0).unwrap(),
            commit: sealed.ciphertext.commitment,
            nonce: sealed.ciphertext.nonce,
            ciphertext: shared_proto::encoding::ByteString(sealed.ciphertext.bytes),
            fingerprint: Some(fingerprint.move_with(&self.transfer.0).unwrap()),
        };
        (Secret { id, version, digest: sealed.digest }, envelope)
    }

    /// The fingerprint of a value, bound to a version.
    pub(crate) fn fingerprint(
        &self,
        id: SecretId,
        version: Version,
        (encoding, value): (ValueEncoding, &str),
    ) -> BoundFingerprint {
        let value = SecretValue::from_json(encoding, Zeroizing::new(value.to_owned())).unwrap();
        let key = binding_key(&self.fingerprints, &self.header(id, version)).unwrap();
        ValueFingerprint::of(&self.fingerprints, self.environment, &value).unwrap().bind_with(&key).unwrap()
    }

    /// The question whether each version has the text.
    pub(crate) fn compare_body(&self, guesses: &[(Secret, &str)]) -> Compare {
        let values = guesses.iter().map(|(secret, guess)| {
            let bound = self.fingerprint(secret.id, secret.version, (ValueEncoding::Text, guess));
            let fingerprint = bound.move_with(&self.transfer.0).unwrap();
            let VersionName { environment, secret_id, version } = self.name(secret);
            ValueToCompare { environment, secret_id, version, fingerprint }
        });
        Compare {
            transfer_key: self.transfer.1.clone(),
            transport_kid: self.transport_kid,
            nonce: Bytes(shared_proto::encoding::random()),
            values: values.collect(),
        }
    }

    /// The question which versions have the value of one.
    pub(crate) fn find_body(&self, one: &Secret, others: &[Secret]) -> Find {
        let named = |secret: &Secret| {
            let key = binding_key(&self.fingerprints, &self.header(secret.id, secret.version)).unwrap();
            let VersionName { environment, secret_id, version } = self.name(secret);
            let binding_key = key.move_with(&self.transfer.0).unwrap();
            VersionToCompare { environment, secret_id, version, binding_key }
        };
        Find {
            transfer_key: self.transfer.1.clone(),
            transport_kid: self.transport_kid,
            nonce: Bytes(shared_proto::encoding::random()),
            one: named(one),
            others: others.iter().map(named).collect(),
        }
    }

    pub(crate) fn store_body(&self, envelopes: Vec<EnvelopeToStore>) -> Store {
        Store { transfer_key: self.transfer.1.clone(), transport_kid: self.transport_kid, envelopes }
    }

    /// A new root key; the one before is given back.
    pub(crate) fn new_root_key(&mut self) -> RootKey {
        self.epoch += 1;
        std::mem::replace(&mut self.root, RootKey::generate())
    }

    pub(crate) fn name(&self, secret: &Secret) -> VersionName {
        VersionName { environment: self.environment, secret_id: secret.id, version: secret.version }
    }

    pub(crate) fn handout_body(&self, epoch: u32, secrets: &[Secret]) -> Handout {
        let versions = secrets.iter().map(|secret| self.name(secret)).collect();
        Handout { transfer_key: self.transfer.1.clone(), transport_kid: self.transport_kid, epoch, versions }
    }

    /// What is handed out of a version, wrapped for the newest root key instead of `old`.
    pub(crate) fn rewrapped(&self, old: &RootKey, secret: &Secret, moved: &MovedKey) -> RowToRewrap {
        let inner = Inner::from_moved(&self.transfer.0, moved).unwrap();
        let data_key = inner.unwrap_with(&release_key(old, &secret.digest).unwrap()).unwrap();
        let inner = Inner::wrap(&self.release_key(secret), &data_key).unwrap();
        let VersionName { environment, secret_id, version } = self.name(secret);
        let moved = inner.move_with(&self.transfer.0).unwrap();
        RowToRewrap { environment, secret_id, version, digest: secret.digest, moved }
    }

    pub(crate) fn rewrap_body(&self, epoch: u32, rows: Vec<RowToRewrap>) -> Rewrap {
        Rewrap { transfer_key: self.transfer.1.clone(), transport_kid: self.transport_kid, epoch, rows }
    }

    pub(crate) fn release_key(&self, secret: &Secret) -> ReleaseKey {
        release_key(&self.root, &secret.digest).unwrap()
    }

    /// The header value of a command with this body.
    pub(crate) fn command(&self, op: Operation, body: &[u8], now: u64) -> String {
        let claims = CommandClaims::new(self.issuer(), self.vault, op, body, now);
        self.sign(Kind::Command, &claims)
    }

    /// Numbers an event and appends it to the chain.
    pub(crate) fn event(&mut self, event: Event) -> String {
        let compact = self.sign_event(event, self.head());
        self.events.push(compact.clone());
        compact
    }

    /// An event with any place in any chain.
    pub(crate) fn event_at(&self, event: Event, seq: u64, prev: EventHash) -> String {
        let before = self.events.get(..usize::try_from(seq - 1).unwrap()).unwrap_or(&self.events);
        self.sign_event(event, ChainHead { number: seq - 1, hash: prev, ..head_of(before) })
    }

    /// An event after any place of any chain.
    pub(crate) fn sign_event(&self, event: Event, after: ChainHead) -> String {
        self.sign(Kind::Event, &EventClaims::new(self.issuer(), self.vault, event, after, super::NOW))
    }

    /// The end of the chain.
    pub(crate) fn head(&self) -> ChainHead {
        head_of(&self.events)
    }

    /// What is left of the chain above a number when what ends was dropped below another one.
    pub(crate) fn shortened(&self, after: u64, dropped_below: u64) -> Push {
        let left = self.events.iter().filter(|compact| {
            let claims = EventClaims::reread(compact).unwrap();
            claims.seq > after && (claims.seq >= dropped_below || claims.event.lasts())
        });
        Push { events: left.cloned().collect(), dropped_below, ..self.push_body(0) }
    }

    pub(crate) fn newest(&self) -> u64 {
        u64::try_from(self.events.len()).unwrap()
    }

    pub(crate) fn newest_hash(&self) -> EventHash {
        self.events.last().map_or(NO_EVENT, |event| event_hash(event))
    }

    pub(crate) fn push_body(&self, from: usize) -> Push {
        Push { nonce: Bytes(shared_proto::encoding::random()), events: self.events[from..].to_vec(), dropped_below: 0 }
    }

    pub(crate) fn poll_body(&self, seal_key: Option<Thumbprint>) -> Poll {
        Poll {
            nonce: Bytes(shared_proto::encoding::random()),
            newest: self.newest(),
            newest_hash: self.newest_hash(),
            seal_key,
            statements: vec![self.statement((super::NOW - 86_400, super::NOW + 86_400))],
            instance: self.instance,
            pins: self.pins.clone(),
        }
    }

    pub(crate) fn sign<T: serde::Serialize>(&self, kind: Kind, claims: &T) -> String {
        jws::sign(kind, self.identity.kid(), claims, |input| Ok(self.identity.sign(input).0.to_vec())).unwrap()
    }
}

/// Where a chain without gaps ends.
fn head_of(events: &[String]) -> ChainHead {
    events.iter().fold(ChainHead::START, |head, compact| {
        let Step::Next(next) = head.step(&EventClaims::reread(compact).unwrap(), compact, 0) else {
            panic!("a chain without gaps")
        };
        next
    })
}

/// An RS256 signature.
pub(crate) fn rs256(key: &RsaPrivate, input: &[u8]) -> Vec<u8> {
    let pair = key.signing_pair().unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
    signature
}
