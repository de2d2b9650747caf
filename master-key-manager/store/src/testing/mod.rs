//! The rules that every engine keeps, one file for each area. The kit runs on each engine.

mod catalogue;
mod comparison;
mod displaced;
mod environments;
mod erasure;
mod events;
mod history;
mod incidents;
mod integrity;
mod lists;
mod notices;
mod places;
mod policy;
mod pruning;
mod read_limits;
mod reconcile;
mod references;
mod registry;
mod rollback;
mod rotation;
mod searches;
mod secret_rotation;
mod tokens;

use std::sync::{Arc, Mutex, PoisonError};

use manager_api::name::{AccountName, EnvironmentName, SecretPath, UserLabel};
use manager_api::tokens::{Stage, WantedVersion};
use manager_api::wire::CatalogueState;
use manager_policy::{ActionType, Actor, AnyAction, Facts, KnownEnvironments, List, Permit, Scope, Visible};
use manager_registry::{
    Author, Change, Credential, Proof, Record, RegistryKey, RoleAssignment, SecretRules, Service, Snapshot,
};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, EnvironmentId, ManagerId, SecretId, ServiceId, Subject, TokenId, Version};
use shared_proto::identity::Mode;
use shared_proto::token::Grant;

use crate::{
    AboutVersion, ActError, Acted, Decision, Details, Environment, Installation, ManagerStore, NewInstallation,
    NewToken, NewVersion, Position, ReadPermits, ReadTurns, SecretPage, SecretQuery, SignEvent, TokenDecision,
    TokenRequest, TokenSubject, VersionRow, Wanted,
};

/// Runs the kit on an empty store.
///
/// # Errors
/// The sentence of the first rule that it breaks.
pub async fn check_conformance(store: &dyn ManagerStore) -> Result<(), String> {
    let kit = Kit::install(store).await?;
    kit.registry().await?;
    kit.versions().await?;
    kit.idempotency().await?;
    kit.policy_versions().await?;
    kit.tokens().await?;
    kit.rollbacks().await?;
    kit.events().await?;
    kit.rotation().await?;
    kit.comparisons().await?;
    kit.reconcile().await?;
    kit.destruction().await?;
    kit.environments().await?;
    kit.pages().await?;
    kit.many_environments().await?;
    kit.permits().await?;
    kit.facts_of_places().await?;
    kit.other_readings().await?;
    kit.stages().await?;
    kit.places().await?;
    kit.descriptions().await?;
    kit.histories().await?;
    kit.changed_versions().await?;
    kit.retention().await?;
    kit.erasure().await?;
    kit.pruning().await?;
    kit.decided_version().await?;
    kit.integrity().await?;
    kit.frozen().await?;
    kit.approvals().await?;
    kit.read_limits().await?;
    kit.incident_notices().await?;
    kit.expiry().await?;
    kit.notices().await?;
    kit.secret_rotations().await?;
    kit.displaced_rotations().await?;
    kit.references().await?;
    kit.first_ones().await?;
    kit.ended_lines().await?;
    kit.disabled().await
}

/// Runs the rules of lists on an empty store, whose bounds may be others.
///
/// # Errors
/// The sentence of the first rule that it breaks.
pub async fn check_lists(store: &dyn ManagerStore) -> Result<(), String> {
    let kit = Kit::install(store).await?;
    kit.pages().await?;
    kit.searches().await?;
    kit.folders().await?;
    kit.index().await
}

struct Kit<'a> {
    store: &'a dyn ManagerStore,
    environment: EnvironmentId,
    credential: CredentialId,
    actor: Actor,
    anonymous: Actor,
    state: Mutex<Snapshot>,
    key: RegistryKey,
    label: UserLabel,
}

const NOW: u64 = 1_000;

/// The version with a number, or the current one.
fn wanted(version: Option<Version>) -> WantedVersion {
    version.map_or(WantedVersion::Stage(Stage::Current), WantedVersion::Number)
}

impl<'a> Kit<'a> {
    async fn install(store: &'a dyn ManagerStore) -> Result<Self, String> {
        rule(store.installation().await.map_err(text)?.is_none(), "an empty store has no installation")?;
        let (environment, credential) = (EnvironmentId::generate(), CredentialId::generate());
        let name = EnvironmentName::parse("dev").map_err(text)?;
        let installation = Installation {
            mode: Mode::Development,
            manager: ManagerId::generate(),
            anonymous: CredentialId::generate(),
        };
        let administrator = ServiceId::generate();
        let subject = Subject::Service(administrator);
        let records = [
            Record::from(Service::new(administrator, AccountName::parse("administrator").map_err(text)?, NOW)),
            RoleAssignment::administrator(administrator, NOW).map_err(text)?.into(),
            Credential::new(credential, subject, Proof::opaque([1; 32]), NOW).into(),
            Credential::new(installation.anonymous, subject, Proof::Stranger, NOW).into(),
        ];
        let key = RegistryKey::new(&[3; 32]);
        let by = (Author::Operator, "", NOW);
        let first = Snapshot::empty().propose(records.map(Change::from).to_vec(), by, 0, &key);
        let first = first.map_err(|_| "records are written")?;
        let actor = first.after.actor(credential, NOW).ok_or("a new credential is enabled")?;
        let state = Mutex::new(first.after);
        let new = NewInstallation {
            installation: installation.clone(),
            environments: vec![Environment::new(environment, name, 1, NOW)],
            registry: first.rows,
        };
        store.install(new.clone()).await.map_err(text)?;
        rule(store.install(new).await.is_err(), "an installation is made once")?;
        rule(store.installation().await == Ok(Some(installation.clone())), "an installation reads back")?;
        let anonymous = installation.anonymous_actor();
        let label = UserLabel::parse("user123").map_err(text)?;
        Ok(Self { store, environment, credential, actor, anonymous, state, key, label })
    }

    fn known(&self) -> Snapshot {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn facts(&self) -> Facts {
        self.known().facts(true)
    }

    /// The administrator's permit for everything.
    fn may<A: ActionType>(&self) -> Result<Permit<A>, String> {
        Permit::decide(&self.facts(), &self.actor, &Scope::Installation, NOW).map_err(text)
    }

    fn look(&self) -> Result<Permit<AnyAction>, String> {
        self.may::<List>().map(|permit| permit.to_look())
    }

    fn sees(&self) -> Visible {
        Visible::decide(&self.facts(), &self.actor, NOW)
    }

    fn knows(&self) -> KnownEnvironments {
        KnownEnvironments::decide(&self.facts(), &self.actor, NOW)
    }

    async fn list(
        &self,
        visible: &Visible,
        environment: Option<EnvironmentId>,
        after: Option<Position>,
        limit: usize,
    ) -> Result<SecretPage, String> {
        let query = SecretQuery { environment, ..SecretQuery::default() };
        self.store.secrets(visible, query, after, limit).await.map_err(text)
    }

    fn revocation(&self, event: Event) -> Result<Decision, String> {
        Decision::revoke_tokens(&self.may()?, event).map_err(text)
    }

    async fn order(&self, grants: Vec<(SecretId, Option<Version>)>) -> Result<TokenDecision, String> {
        self.store.decide_token(self.new_order(grants)).await.map_err(text)
    }

    fn new_order(&self, grants: Vec<(SecretId, Option<Version>)>) -> TokenRequest {
        let (facts, actor) = (self.facts(), self.actor.clone());
        TokenRequest {
            jti: TokenId::generate(),
            subject: TokenSubject::Label(self.label.clone()),
            signing_key: Bytes([5; 32]),
            grants: grants.into_iter().map(|(secret, version)| (Wanted::Id(secret), wanted(version))).collect(),
            permits: ReadPermits::new(move |_| Permit::decide(&facts, &actor, &Scope::Installation, NOW).ok()),
            turns: ReadTurns::new(|_| Ok(())),
            approved: Vec::new(),
            issued_at: NOW,
            expires_at: NOW + 900,
        }
    }

    fn new_version(&self, secret: SecretId, number: u64, path: &SecretPath) -> Result<NewVersion, String> {
        let digest: [u8; 32] = shared_proto::encoding::random();
        let row = VersionRow {
            secret,
            environment: self.environment,
            version: Version::new(number).map_err(text)?,
            state: CatalogueState::Pending,
            envelope: Version::new(number).map_err(text)?,
            epoch: 1,
            digest: Bytes(digest),
        };
        let subject = TokenSubject::Label(self.label.clone());
        Ok(NewVersion {
            row,
            path: path.clone(),
            rules: SecretRules::default(),
            details: Details::default(),
            about: AboutVersion::default(),
            if_version: None,
            subject,
            idempotency: None,
            signing_key: None,
            rotation: None,
            now: NOW,
        })
    }

    fn new_token(&self, row: &VersionRow) -> NewToken {
        NewToken {
            jti: TokenId::generate(),
            subject: Subject::Service(ServiceId::generate()),
            credential: self.credential,
            environment: self.environment,
            grants: vec![Grant { secret: row.secret, version: row.envelope }],
            versions: vec![row.version],
            issued_at: NOW,
            expires_at: NOW + 900,
        }
    }
}

/// Not a signature, but it shows number and hash.
fn signer() -> SignEvent {
    Arc::new(|_, after| Ok(format!("{} after {:?}", after.number + 1, after.hash)))
}

fn refused<T>(acted: Acted<T>, why: ActError, method: &str) -> Result<(), String> {
    rule(acted.err() == Some(why), &format!("{method} refuses: {why}"))
}

fn rule(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
