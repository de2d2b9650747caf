//! The revocations in force, in memory. They are checked on every request, even when the token is cached.
//!
//! A revocation with number n hits tokens whose `rseq` is below n. It leaves the set when every seal key that existed
//! when it was applied is destroyed, because then no token that it hits can be opened any more. Revoked signing keys
//! and destroyed versions stay permanently.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use shared_proto::event::Event;
use shared_proto::id::{CredentialId, EnvironmentId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;
use shared_proto::token::Grant;

/// The parts of a token that a revocation can hit.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts {
    /// Its id.
    pub jti: TokenId,
    /// Its subject.
    pub subject: Subject,
    /// The credential that it was made with.
    pub client_id: CredentialId,
    /// The environment of its grants.
    pub environment: EnvironmentId,
    /// The key that signed it.
    pub kid: Thumbprint,
    /// Number of the newest event when the token was decided.
    pub rseq: u64,
}

/// The verdict of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not revoked.
    Allowed,
    /// It is revoked.
    Revoked,
    /// Not every event that the token knows of is applied, or the feed must catch up first.
    Behind,
}

/// When an entry was applied: its event's number and the seconds of the boot clock.
#[derive(Clone, Copy)]
struct Applied {
    seq: u64,
    boot: u64,
}

/// The revocations in force.
#[derive(Default)]
pub(super) struct WorkingSet {
    tokens: HashMap<TokenId, Applied>,
    subjects: HashMap<Subject, Applied>,
    credentials: HashMap<CredentialId, Applied>,
    environments: HashMap<EnvironmentId, Applied>,
    secrets: HashMap<SecretId, Applied>,
    versions: HashMap<(SecretId, Version), Applied>,
    all: Option<Applied>,
    signing_keys: HashSet<Thumbprint>,
    destroyed: HashSet<(SecretId, Version)>,
}

impl WorkingSet {
    /// Applies an event at `boot` seconds of the boot clock.
    pub(super) fn apply(&mut self, seq: u64, event: &Event, boot: u64) {
        let at = Applied { seq, boot };
        match *event {
            Event::Token(jti) => drop(self.tokens.insert(jti, at)),
            Event::Subject(subject) => drop(self.subjects.insert(subject, at)),
            Event::Credential(client_id) => drop(self.credentials.insert(client_id, at)),
            Event::Environment(environment) => drop(self.environments.insert(environment, at)),
            Event::Secret(secret) => drop(self.secrets.insert(secret, at)),
            Event::Version(secret, version) => drop(self.versions.insert((secret, version), at)),
            Event::SigningKey(kid) => drop(self.signing_keys.insert(kid)),
            Event::All => self.all = Some(at),
            Event::Destroy(_, secret, version) => self.bury(secret, version),
        }
    }

    /// Revokes every token that missing events up to this number could hit.
    pub(super) fn pass_over(&mut self, last_missing: u64, boot: u64) {
        self.apply(last_missing, &Event::All, boot);
    }

    /// Notes a version that is destroyed, permanently.
    pub(super) fn bury(&mut self, secret: SecretId, version: Version) {
        self.destroyed.insert((secret, version));
    }

    /// How many versions are destroyed.
    pub(super) fn destroyed(&self) -> usize {
        self.destroyed.len()
    }

    /// Whether a version is destroyed.
    pub(super) fn is_destroyed(&self, secret: SecretId, version: Version) -> bool {
        self.destroyed.contains(&(secret, version))
    }

    /// Whether the whole token is revoked.
    pub(super) fn hits_token(&self, token: &TokenFacts) -> bool {
        let newer = |entry: Option<&Applied>| entry.is_some_and(|applied| token.rseq < applied.seq);
        self.signing_keys.contains(&token.kid)
            || newer(self.all.as_ref())
            || newer(self.tokens.get(&token.jti))
            || newer(self.subjects.get(&token.subject))
            || newer(self.credentials.get(&token.client_id))
            || newer(self.environments.get(&token.environment))
    }

    /// Whether one grant of the token is revoked.
    pub(super) fn hits_grant(&self, rseq: u64, grant: &Grant) -> bool {
        let newer = |entry: Option<&Applied>| entry.is_some_and(|applied| rseq < applied.seq);
        self.is_destroyed(grant.secret, grant.version)
            || newer(self.secrets.get(&grant.secret))
            || newer(self.versions.get(&(grant.secret, grant.version)))
    }

    /// Drops revocations that were applied before `boot`: no seal key of that time is alive.
    pub(super) fn forget_before(&mut self, boot: u64) {
        fn keep<K: Eq + Hash>(map: &mut HashMap<K, Applied>, boot: u64) {
            map.retain(|_, applied| applied.boot >= boot);
        }
        keep(&mut self.tokens, boot);
        keep(&mut self.subjects, boot);
        keep(&mut self.credentials, boot);
        keep(&mut self.environments, boot);
        keep(&mut self.secrets, boot);
        keep(&mut self.versions, boot);
        self.all = self.all.filter(|applied| applied.boot >= boot);
    }

    /// The number of revocations that can still leave the set.
    #[cfg(test)]
    pub(super) fn passing(&self) -> usize {
        self.tokens.len()
            + self.subjects.len()
            + self.credentials.len()
            + self.environments.len()
            + self.secrets.len()
            + self.versions.len()
            + usize::from(self.all.is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_proto::encoding::Bytes;
    use shared_proto::id::PersonId;

    use super::*;
    use crate::keys::seal::LIFE_SECONDS;

    fn token(rseq: u64) -> TokenFacts {
        TokenFacts {
            jti: TokenId::from_bytes([1; 16]),
            subject: Subject::Person(PersonId::from_bytes([2; 16])),
            client_id: CredentialId::from_bytes([3; 16]),
            environment: EnvironmentId::from_bytes([6; 16]),
            kid: Bytes([4; 32]),
            rseq,
        }
    }

    #[test]
    fn a_revocation_hits_tokens_minted_before_it_and_none_after() {
        let whole = token(0);
        let events = [
            Event::Token(whole.jti),
            Event::Subject(whole.subject),
            Event::Credential(whole.client_id),
            Event::Environment(whole.environment),
            Event::All,
        ];
        for event in events {
            let mut set = WorkingSet::default();
            set.apply(5, &event, 0);
            assert!(set.hits_token(&token(4)), "{event:?}");
            assert!(!set.hits_token(&token(5)), "{event:?}");
            set.forget_before(1);
            assert!(!set.hits_token(&token(4)), "{event:?} left the set");
        }
    }

    #[test]
    fn removed_signing_keys_and_destroyed_versions_stay_whatever_the_rseq() {
        let grant = Grant { secret: SecretId::from_bytes([7; 16]), version: Version::FIRST };
        let mut set = WorkingSet::default();
        set.apply(1, &Event::SigningKey(token(0).kid), 0);
        set.apply(2, &Event::Destroy(EnvironmentId::from_bytes([0; 16]), grant.secret, grant.version), 0);
        set.forget_before(u64::MAX);
        assert!(set.hits_token(&token(9)));
        assert!(set.hits_grant(9, &grant));
    }

    #[test]
    fn a_secret_or_version_hits_its_grant_and_not_the_token() {
        let grant = Grant { secret: SecretId::from_bytes([7; 16]), version: Version::FIRST };
        for event in [Event::Secret(grant.secret), Event::Version(grant.secret, grant.version)] {
            let mut set = WorkingSet::default();
            set.apply(3, &event, 0);
            assert!(!set.hits_token(&token(2)));
            assert!(set.hits_grant(2, &grant) && !set.hits_grant(3, &grant));
            assert_eq!(set.passing(), 1);
        }
    }

    /// One moment in the life of a vault.
    #[derive(Clone, Debug)]
    enum Moment {
        Apply(Event),
        /// A token is minted: it knows of a share (in quarters) of the events since its seal key was made.
        Mint {
            facts: TokenFacts,
            grant: Grant,
            knows: u64,
        },
        TurnSealKey,
        /// Quarters of an hour pass, and the vault forgets.
        Pass(u64),
        /// Ended events are dropped from the database, and the vault starts again.
        DropAndRestart,
    }

    fn moments() -> impl Strategy<Value = Vec<Moment>> {
        // Few names, so that events and tokens meet.
        let name = || (0..3_u8).prop_map(|n| [n; 16]);
        let grant = || {
            (name(), 1..3_u64).prop_map(|(secret, version)| Grant {
                secret: SecretId::from_bytes(secret),
                version: Version::new(version).unwrap(),
            })
        };
        let event = prop_oneof![
            name().prop_map(|raw| Event::Token(TokenId::from_bytes(raw))),
            name().prop_map(|raw| Event::Subject(Subject::Person(PersonId::from_bytes(raw)))),
            name().prop_map(|raw| Event::Credential(CredentialId::from_bytes(raw))),
            name().prop_map(|raw| Event::Environment(EnvironmentId::from_bytes(raw))),
            name().prop_map(|raw| Event::Secret(SecretId::from_bytes(raw))),
            grant().prop_map(|grant| Event::Version(grant.secret, grant.version)),
            (0..9_u8).prop_map(|n| Event::SigningKey(Bytes([n; 32]))),
            Just(Event::All),
            grant().prop_map(|grant| Event::Destroy(EnvironmentId::from_bytes([0; 16]), grant.secret, grant.version)),
        ];
        let facts = (name(), name(), name(), name(), 0..3_u8).prop_map(|(jti, subject, client, env, kid)| TokenFacts {
            jti: TokenId::from_bytes(jti),
            subject: Subject::Person(PersonId::from_bytes(subject)),
            client_id: CredentialId::from_bytes(client),
            environment: EnvironmentId::from_bytes(env),
            kid: Bytes([kid; 32]),
            rseq: 0,
        });
        let moment = prop_oneof![
            3 => event.prop_map(Moment::Apply),
            3 => (facts, grant(), 0..=4_u64).prop_map(|(facts, grant, knows)| Moment::Mint { facts, grant, knows }),
            1 => Just(Moment::TurnSealKey),
            2 => (1..4_u64).prop_map(Moment::Pass),
            1 => Just(Moment::DropAndRestart),
        ];
        proptest::collection::vec(moment, 1..60)
    }

    fn names_token(event: &Event, token: &TokenFacts) -> bool {
        match *event {
            Event::Token(jti) => jti == token.jti,
            Event::Subject(subject) => subject == token.subject,
            Event::Credential(client_id) => client_id == token.client_id,
            Event::Environment(environment) => environment == token.environment,
            Event::All => true,
            Event::SigningKey(kid) => kid == token.kid,
            Event::Secret(_) | Event::Version(..) | Event::Destroy(..) => false,
        }
    }

    fn names_grant(event: &Event, grant: &Grant) -> bool {
        match *event {
            Event::Secret(secret) => secret == grant.secret,
            Event::Version(secret, version) | Event::Destroy(_, secret, version) => {
                (secret, version) == (grant.secret, grant.version)
            }
            Event::Token(_)
            | Event::Subject(_)
            | Event::Credential(_)
            | Event::Environment(_)
            | Event::All
            | Event::SigningKey(_) => false,
        }
    }

    /// The reference: the whole history, with nothing forgotten. Permanent revocations, and those of earlier tokens.
    fn hits(history: &[Event], rseq: u64, names: impl Fn(&Event) -> bool) -> bool {
        (1..).zip(history).any(|(seq, event)| {
            let for_ever = matches!(event, Event::SigningKey(_) | Event::Destroy(..));
            (for_ever || rseq < seq) && names(event)
        })
    }

    proptest! {
        #[test]
        fn no_token_whose_seal_key_is_alive_is_forgotten_to_be_revoked(moments in moments()) {
            let (mut set, mut history, mut tokens) = (WorkingSet::default(), Vec::new(), Vec::new());
            let mut database: Vec<(u64, Event, u64)> = Vec::new();
            let mut before;
            let mut boot = LIFE_SECONDS;
            let (mut sealed_at, mut known_then) = (boot, 0);
            for moment in moments {
                match moment {
                    Moment::Apply(event) => {
                        history.push(event);
                        set.apply(history.len() as u64, &event, boot);
                        database.push((history.len() as u64, event, boot));
                    }
                    Moment::Mint { mut facts, grant, knows } => {
                        // The manager decided on it after it had seen the seal key, so it knows all events until then.
                        facts.rseq = known_then + (history.len() as u64 - known_then) * knows / 4;
                        tokens.push((facts, grant, sealed_at));
                    }
                    Moment::TurnSealKey => (sealed_at, known_then) = (boot, history.len() as u64),
                    Moment::Pass(quarters) => {
                        boot += quarters * LIFE_SECONDS / 4;
                        set.forget_before(boot - LIFE_SECONDS);
                    }
                    Moment::DropAndRestart => {
                        let newest = history.len() as u64;
                        database.retain(|(seq, event, applied)| {
                            event.lasts() || *seq == newest || applied + LIFE_SECONDS > boot
                        });
                        (set, before) = (WorkingSet::default(), 0);
                        for (seq, event, applied) in &mut database {
                            if *seq != before + 1 {
                                set.pass_over(*seq - 1, boot);
                            }
                            set.apply(*seq, event, boot);
                            (before, *applied) = (*seq, boot);
                        }
                    }
                }
                let alive = tokens.iter().filter(|(_, _, sealed_at)| boot < sealed_at + LIFE_SECONDS);
                for (facts, grant, _) in alive {
                    let whole = hits(&history, facts.rseq, |event| names_token(event, facts));
                    prop_assert_eq!(set.hits_token(facts), whole, "{:?}", facts);
                    let one = hits(&history, facts.rseq, |event| names_grant(event, grant));
                    prop_assert_eq!(set.hits_grant(facts.rseq, grant), one, "{:?} {:?}", facts.rseq, grant);
                }
            }
        }
    }
}
