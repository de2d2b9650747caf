//! The running service: its parts, put together once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use service_runtime::StartError;
use service_runtime::audit::AuditLog;
use service_runtime::clock::Clock;
use service_runtime::http::{Health, TrustedProxies};
use service_runtime::readiness::{self, Readiness, Trouble};
use service_runtime::tasks::Tasks;
use service_runtime::workers::Workers;
use shared_proto::encoding::b64;
use shared_proto::jwk::PublicJwk;

use crate::access::{Authenticator, IdleSessions, Limits, Registry};
use crate::approvals::Approvals;
use crate::bulk::{Bulk, Turns};
use crate::catalogue::{
    Fingerprints, Integrity, Retention, SecretKeeper, SecretRotator, SecretWriter, Settler, TransferKeys, Values,
    VersionKeeper, start_delivery,
};
use crate::config::Config;
use crate::environment_keeper::EnvironmentKeeper;
use crate::environments::Environments;
use crate::http::Gate;
use crate::idempotency::Bodies;
use crate::incidents::Incidents;
use crate::issuer::{Batches, Mint, TokenLifetimes, TokenSealer};
use crate::key_rotation::KeyRotation;
use crate::keys::{KeyRing, LoadedKeys};
use crate::maintenance::Maintenance;
use crate::notifier::Notifier;
use crate::people::People;
use crate::policy::PolicyKeeper;
use crate::revocation::{RevocationSync, Revocations, VaultView, event_signer};
use crate::sealing::Sealer;
use crate::services::Services;
use crate::sign_on::{Parts, SignOn};
use crate::turns::{INCIDENT_REPORTS, LONG_REQUESTS, Turns as LongTurns};
use crate::vault_client::{Signing, VaultClient};
use manager_store::{Environment, Installation, ManagerStore, SignEvent};

/// The parts that handlers work with.
pub struct App {
    /// Authenticates callers and runs their operations.
    pub gate: Arc<Gate>,
    /// The installation that `init` made.
    pub installation: Installation,
    /// The environments at this moment.
    pub environments: Arc<Environments>,
    /// Makes and changes environments.
    pub environment_keeper: Arc<EnvironmentKeeper>,
    /// The database.
    pub store: Arc<dyn ManagerStore>,
    /// Principals, credentials and policy.
    pub registry: Arc<Registry>,
    /// Knowledge of the vault.
    pub vault_view: Arc<VaultView>,
    /// Sends commands to the vault.
    pub client: Arc<VaultClient>,
    /// The keys in use.
    pub keys: Arc<KeyRing>,
    /// Stores values, mints tokens and settles versions.
    pub secret_writer: Arc<SecretWriter>,
    /// Changes secrets without a value.
    pub secret_keeper: Arc<SecretKeeper>,
    /// Shows and compares versions, and changes their notes and stages.
    pub version_keeper: Arc<VersionKeeper>,
    /// Asks the vault whether values are the same.
    pub fingerprints: Arc<Fingerprints>,
    /// Compares the catalogue with the vault.
    pub integrity: Arc<Integrity>,
    /// Carries many operations out.
    pub bulk: Arc<Bulk>,
    /// Acts that await the approval of somebody else.
    pub approvals: Arc<Approvals>,
    /// Rotates secrets.
    pub secret_rotator: Arc<SecretRotator>,
    /// Opens incidents, and keeps their records.
    pub incidents: Arc<Incidents>,
    /// Records revocations.
    pub revocations: Arc<Revocations>,
    /// Makes and shows groups, role assignments and permissions.
    pub policy: Arc<PolicyKeeper>,
    /// Registers services and makes their credentials.
    pub services: Arc<Services>,
    /// Accounts, logins and sessions of people, and enrolment codes.
    pub people: Arc<People>,
    /// Registered keys, trusts, and the tokens that are made by them.
    pub sign_on: Arc<SignOn>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the process may open no further file, by the last check.
    pub no_descriptors: Arc<AtomicBool>,
    /// Settings that weaken the service, for `/health/ready`.
    pub settings: String,
    /// The vault's address for clients.
    pub public_vault_url: String,
    /// The proxies that say where a request comes from.
    pub trusted_proxies: TrustedProxies,
}

impl App {
    /// Puts the parts together. Call it on the runtime that runs the tasks, and start [`crate::revocation::run_sync`]
    /// with the returned sync.
    ///
    /// # Errors
    /// The vault's URL or the machine's TLS setup is not usable.
    pub fn assemble(
        config: &Config,
        (installation, environments): (Installation, Vec<Environment>),
        keys: LoadedKeys,
        (store, registry): (Arc<dyn ManagerStore>, Arc<Registry>),
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Arc<RevocationSync>), StartError> {
        let raw = config.get();
        let environments = Arc::new(Environments::new(environments));
        let keys = Arc::new(KeyRing::new(&raw.key_dir, installation.clone(), Arc::clone(&environments), keys));
        let (signing, limits) = (keys.signing(), Arc::new(Limits::default()));
        let vault_view = Arc::new(VaultView::new(Arc::clone(&clock)));
        let client = vault_client(config, &signing, &clock)?;
        let sign = event_signer(Arc::clone(&signing), Arc::clone(&clock));
        let sync = revocation_sync((&store, &registry), (&client, &vault_view), (&keys, &sign, &clock));
        let (sealer, signers) =
            (Arc::new(Sealer::new(Arc::clone(&keys), signing.vault)), Workers::for_each_core("token-signer")?);
        let token_sealer =
            Arc::new(TokenSealer::new(Arc::clone(&sealer), Arc::clone(&keys), signing.issuer, signing.vault, signers));
        let mint = Arc::new(Mint::new(
            store.clone(),
            Arc::clone(&environments),
            (Arc::clone(&vault_view), token_sealer),
            audit.clone(),
            Arc::clone(&clock),
            TokenLifetimes { default: raw.token_life_seconds, max: raw.max_token_life_seconds },
        ));
        let revocations = revocations((&store, &registry), &vault_view, sign, &clock);
        let policy = policy((&keys, &registry, &revocations), (store.clone(), &environments), &audit);
        let sessions = Arc::new(IdleSessions::new(Arc::clone(&clock)));
        let sign_on = sign_on(config, (&keys, &registry, &revocations), (&mint, &sessions), (&audit, &clock))?;
        let fingerprints = fingerprints((&store, &sealer, &keys), (&vault_view, &client), (&audit, &clock));
        let secret_writer = Arc::new(SecretWriter {
            store: store.clone(),
            vault_view: Arc::clone(&vault_view),
            sealer,
            delivery: start_delivery(Arc::clone(&client), Arc::clone(&keys), Arc::clone(&clock)),
            settler: Arc::new(Settler::new(store.clone(), Arc::clone(&client), Arc::clone(&keys), Arc::default())),
            mint,
            batches: Batches::for_each_core(),
            bodies: Arc::new(Bodies::new(Arc::clone(&clock))),
            audit: audit.clone(),
            values: Values::default(),
            fingerprints: Arc::clone(&fingerprints),
            clock: Arc::clone(&clock),
            environments: Arc::clone(&environments),
            registry: Arc::clone(&registry),
            pace: Arc::default(),
        });
        let secret_rotator = Arc::new(secret_rotator((&store, &secret_writer, &revocations), (&audit, &clock)));
        let secret_keeper = secret_keeper((&store, &secret_writer, &revocations), &audit);
        let integrity = integrity((&store, &client, &keys), (&vault_view, &audit));
        let version_keeper = version_keeper((&store, &fingerprints, &environments), &audit);
        let incidents = incidents((&keys, &registry, &revocations), (store.clone(), &secret_keeper), (&policy, &audit));
        let approvals = approvals((&keys, &registry, &revocations), (store.clone(), &secret_keeper), (&audit, &clock));
        let services = services((&keys, &registry, &revocations), store.clone(), (&audit, &clock));
        let keeper = environment_keeper((&keys, &registry, &revocations), store.clone(), (&audit, &clock));
        let people = people(config, (&keys, &registry, &revocations), &sessions, (&audit, &clock))?;
        let gate = Gate {
            mode: raw.mode,
            anonymous: installation.anonymous_actor(),
            registry: Arc::clone(&registry),
            clock: Arc::clone(&clock),
            authenticator: Authenticator::new(Arc::clone(&keys), sessions),
            limits,
            last_uses: Arc::clone(&services.last_uses),
            audit,
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            long_requests: LongTurns::new(LONG_REQUESTS),
            incident_reports: LongTurns::new(INCIDENT_REPORTS),
        };
        let bulk = bulk(&gate, (&secret_writer, &secret_keeper), (&secret_rotator, &version_keeper), &approvals);
        let app = Self {
            gate: Arc::new(gate),
            bulk: Arc::new(bulk),
            no_descriptors: Arc::default(),
            public_vault_url: config.public_vault_url().to_owned(),
            trusted_proxies: raw.trusted_proxies.clone(),
            settings: readiness::settings(raw.mode, raw.audit.sync, &raw.danger.names()),
            installation,
            environments,
            environment_keeper: Arc::new(keeper),
            fingerprints,
            integrity: Arc::new(integrity),
            revocations,
            policy,
            services: Arc::new(services),
            people: Arc::new(people),
            sign_on: Arc::new(sign_on),
            store,
            registry,
            vault_view,
            client,
            keys,
            secret_writer,
            secret_rotator,
            secret_keeper,
            approvals,
            incidents: Arc::new(incidents),
            version_keeper,
            clock,
        };
        Ok((app, sync))
    }

    /// The parts that a rotation works with.
    pub fn key_rotation(&self, sync: Arc<RevocationSync>) -> KeyRotation {
        KeyRotation {
            keys: Arc::clone(&self.keys),
            vault_view: Arc::clone(&self.vault_view),
            client: Arc::clone(&self.client),
            sync,
            store: self.store.clone(),
            audit: self.gate.audit.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// The rules of retention.
    pub fn retention(&self) -> Retention {
        Retention {
            store: self.store.clone(),
            settler: Arc::clone(&self.secret_writer.settler),
            revocations: Arc::clone(&self.revocations),
            audit: self.gate.audit.clone(),
        }
    }

    /// The work beside requests.
    pub fn maintenance(&self) -> Maintenance {
        Maintenance {
            vault_view: Arc::clone(&self.vault_view),
            settler: Arc::clone(&self.secret_writer.settler),
            events: self.store.clone(),
            store: self.store.clone(),
            registry: Arc::clone(&self.registry),
            credentials: self.store.clone(),
            last_uses: Arc::clone(&self.gate.last_uses),
            people: Arc::clone(&self.people),
            retention: self.retention(),
            secret_keeper: Arc::clone(&self.secret_keeper),
            approvals: Arc::clone(&self.approvals),
            rotator: Arc::clone(&self.secret_rotator),
            notifier: Notifier::new(self.store.clone()),
            clock: Arc::clone(&self.clock),
            no_descriptors: Arc::clone(&self.no_descriptors),
        }
    }

    /// The JWKS document: every key that signs tokens now, with the next one and the previous one.
    pub fn jwks(&self) -> String {
        let keys = self.keys.now();
        let living = keys.tokens.accepted(&self.keys.revoked());
        let now = self.clock.now();
        let living = living.iter().filter(|(_, end)| end.is_none_or(|end| now < end));
        serde_json::json!({ "keys": living.map(|(key, _)| jwk(key)).collect::<Vec<_>>() }).to_string()
    }
}

impl Health for App {
    /// Whether storing, minting and revoking have everything that they need.
    fn readiness(&self) -> Readiness {
        let own = [
            (Trouble::Storage, !self.store.is_healthy()),
            (Trouble::Registry, !self.registry.is_verified()),
            (Trouble::Catalogue, self.store.unfit_row().is_some()),
            (Trouble::Audit, !self.gate.audit.is_healthy()),
            (Trouble::Descriptors, self.no_descriptors.load(Ordering::SeqCst)),
        ];
        Readiness::new(&[&own[..], &self.vault_view.checks()].concat(), &self.settings)
    }
}

fn revocation_sync(
    (store, registry): (&Arc<dyn ManagerStore>, &Arc<Registry>),
    (client, vault_view): (&Arc<VaultClient>, &Arc<VaultView>),
    (keys, sign, clock): (&Arc<KeyRing>, &SignEvent, &Arc<dyn Clock>),
) -> Arc<RevocationSync> {
    Arc::new(RevocationSync::new(
        (store.clone(), Arc::clone(registry)),
        Arc::clone(client),
        Arc::clone(vault_view),
        Arc::clone(keys),
        Arc::clone(sign),
        Arc::clone(clock),
    ))
}

fn jwk(key: &PublicJwk) -> serde_json::Value {
    let mut document = serde_json::to_value(key).unwrap_or_default();
    if let Some(members) = document.as_object_mut() {
        let text = |text: &str| serde_json::Value::String(text.to_owned());
        members.insert("kid".to_owned(), text(&b64(&key.thumbprint().0)));
        members.insert("use".to_owned(), text("sig"));
        members.insert("alg".to_owned(), text("RS256"));
    }
    document
}

type Changing<'a> = (&'a Arc<KeyRing>, &'a Arc<Registry>, &'a Arc<Revocations>);

fn vault_client(
    config: &Config,
    signing: &Arc<Signing>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<VaultClient>, StartError> {
    let raw = config.get();
    let client = VaultClient::new(&raw.vault_url, raw.vault_tls.clone(), Arc::clone(signing), Arc::clone(clock));
    client.map(Arc::new)
}

fn environment_keeper(
    (keys, _, revocations): Changing<'_>,
    store: Arc<dyn ManagerStore>,
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> EnvironmentKeeper {
    let (keys, revocations) = (Arc::clone(keys), Arc::clone(revocations));
    EnvironmentKeeper::new(store, keys, revocations, audit.clone(), Arc::clone(clock))
}

fn integrity(
    (store, client, keys): (&Arc<dyn ManagerStore>, &Arc<VaultClient>, &Arc<KeyRing>),
    (vault_view, audit): (&Arc<VaultView>, &AuditLog),
) -> Integrity {
    Integrity::new(Arc::clone(store), (Arc::clone(client), Arc::clone(keys)), Arc::clone(vault_view), audit.clone())
}

fn secret_rotator(
    (store, writer, revocations): (&Arc<dyn ManagerStore>, &Arc<SecretWriter>, &Arc<Revocations>),
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> SecretRotator {
    let (writer, revocations) = (Arc::clone(writer), Arc::clone(revocations));
    SecretRotator::new(Arc::clone(store), writer, revocations, audit.clone(), Arc::clone(clock))
}

fn version_keeper(
    (store, fingerprints, environments): (&Arc<dyn ManagerStore>, &Arc<Fingerprints>, &Arc<Environments>),
    audit: &AuditLog,
) -> Arc<VersionKeeper> {
    let (fingerprints, environments) = (Arc::clone(fingerprints), Arc::clone(environments));
    Arc::new(VersionKeeper::new(Arc::clone(store), fingerprints, environments, audit.clone()))
}

fn secret_keeper(
    (store, writer, revocations): (&Arc<dyn ManagerStore>, &Arc<SecretWriter>, &Arc<Revocations>),
    audit: &AuditLog,
) -> Arc<SecretKeeper> {
    let (settler, pace) = (Arc::clone(&writer.settler), Arc::clone(&writer.pace));
    Arc::new(SecretKeeper {
        store: Arc::clone(store),
        revocations: Arc::clone(revocations),
        settler,
        audit: audit.clone(),
        pace,
    })
}

fn revocations(
    (store, registry): (&Arc<dyn ManagerStore>, &Arc<Registry>),
    vault_view: &Arc<VaultView>,
    sign: SignEvent,
    clock: &Arc<dyn Clock>,
) -> Arc<Revocations> {
    let (registry, vault_view) = (Arc::clone(registry), Arc::clone(vault_view));
    Arc::new(Revocations::new(store.clone(), registry, vault_view, sign, Arc::clone(clock)))
}

fn incidents(
    (_, registry, revocations): Changing<'_>,
    (store, keeper): (Arc<dyn ManagerStore>, &Arc<SecretKeeper>),
    (policy, audit): (&Arc<PolicyKeeper>, &AuditLog),
) -> Incidents {
    let (registry, revocations, policy) = (Arc::clone(registry), Arc::clone(revocations), Arc::clone(policy));
    Incidents { store, registry, revocations, keeper: Arc::clone(keeper), policy, audit: audit.clone() }
}

fn approvals(
    (_, registry, revocations): Changing<'_>,
    (store, keeper): (Arc<dyn ManagerStore>, &Arc<SecretKeeper>),
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> Arc<Approvals> {
    Arc::new(Approvals {
        store,
        registry: Arc::clone(registry),
        revocations: Arc::clone(revocations),
        keeper: Arc::clone(keeper),
        audit: audit.clone(),
        clock: Arc::clone(clock),
    })
}

fn policy(
    (keys, registry, revocations): Changing<'_>,
    (store, environments): (Arc<dyn ManagerStore>, &Arc<Environments>),
    audit: &AuditLog,
) -> Arc<PolicyKeeper> {
    let registry = (store, Arc::clone(registry));
    Arc::new(PolicyKeeper::new(
        registry,
        Arc::clone(environments),
        Arc::clone(revocations),
        Arc::clone(keys),
        audit.clone(),
    ))
}

fn services(
    (keys, registry, revocations): Changing<'_>,
    store: Arc<dyn ManagerStore>,
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> Services {
    Services {
        registry: Arc::clone(registry),
        revocations: Arc::clone(revocations),
        store,
        keys: Arc::clone(keys),
        last_uses: Arc::default(),
        audit: audit.clone(),
        clock: Arc::clone(clock),
    }
}

fn bulk(
    gate: &Gate,
    (secret_writer, secret_keeper): (&Arc<SecretWriter>, &Arc<SecretKeeper>),
    (secret_rotator, version_keeper): (&Arc<SecretRotator>, &Arc<VersionKeeper>),
    approvals: &Arc<Approvals>,
) -> Bulk {
    Bulk {
        store: Arc::clone(&approvals.store),
        registry: Arc::clone(&gate.registry),
        limits: Arc::clone(&gate.limits),
        secret_writer: Arc::clone(secret_writer),
        secret_keeper: Arc::clone(secret_keeper),
        secret_rotator: Arc::clone(secret_rotator),
        version_keeper: Arc::clone(version_keeper),
        approvals: Arc::clone(approvals),
        revocations: Arc::clone(&approvals.revocations),
        audit: gate.audit.clone(),
        clock: Arc::clone(&gate.clock),
        turns: Turns::default(),
    }
}

fn fingerprints(
    (store, sealer, keys): (&Arc<dyn ManagerStore>, &Arc<Sealer>, &Arc<KeyRing>),
    (vault_view, client): (&Arc<VaultView>, &Arc<VaultClient>),
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> Arc<Fingerprints> {
    Arc::new(Fingerprints::new(
        store.clone(),
        (Arc::clone(sealer), Arc::clone(keys)),
        (Arc::clone(vault_view), Arc::clone(client)),
        TransferKeys::new(Arc::clone(clock)),
        audit.clone(),
    ))
}

fn people(
    config: &Config,
    (keys, registry, revocations): Changing<'_>,
    sessions: &Arc<IdleSessions>,
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> Result<People, StartError> {
    let registry = (Arc::clone(registry), Arc::clone(revocations));
    let (audit, clock) = (audit.clone(), Arc::clone(clock));
    People::new(Arc::clone(keys), registry, Arc::clone(sessions), audit, clock, config.place())
}

fn sign_on(
    config: &Config,
    (keys, registry, revocations): Changing<'_>,
    (mint, sessions): (&Arc<Mint>, &Arc<IdleSessions>),
    (audit, clock): (&AuditLog, &Arc<dyn Clock>),
) -> Result<SignOn, StartError> {
    let parts = Parts {
        registry: Arc::clone(registry),
        revocations: Arc::clone(revocations),
        mint: Arc::clone(mint),
        keys: Arc::clone(keys),
        sessions: Arc::clone(sessions),
        audit: audit.clone(),
        clock: Arc::clone(clock),
    };
    SignOn::new(parts, &config.get().sign_on)
}
