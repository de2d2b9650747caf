//! The credentials of services: made, listed, renewed and disabled.

use manager_api::address::AddressRange;
use manager_api::lifetime::{Lifetime, MAX_LIFETIME_SECONDS};
use manager_api::name::{AccountName, DisplayName, IdempotencyKey};
use manager_policy::Basis;
use manager_registry::{Change, Credential, CredentialLimit, Kind, Proof, Record, RecordName, Service};
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::Malformed;
use shared_proto::credential::PlainCredential;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, EnvironmentId, ServiceId};

use super::{Services, managed, manages, not_permitted, seen};
use crate::access::{Caller, View};
use crate::audit_event::RegistryAct;
use crate::revocation::Sequences;

/// The most ranges of addresses of a credential.
const MAX_ADDRESSES: usize = 32;
/// The most limits of a credential.
const MAX_LIMITS: usize = 16;
/// The most uses of a credential whose uses are counted. Each is an entry of the registry's log.
const MAX_USES: u64 = 1_000;
/// Opaque credentials of a service that may be used at the same time: one, and the next while they are exchanged.
const MOST_ENABLED: usize = 2;
/// Credentials of a service that may not be used any more, and whose records are kept.
const KEPT: usize = 8;

/// Credentials of a service that it makes itself within an hour: each is an entry of the registry's log, which keeps all.
const MOST_IN_AN_HOUR: usize = 6;
const HOUR: u64 = 3_600;

/// The terms of a new credential.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its name.
    pub name: Option<DisplayName>,
    /// How long it lives.
    pub life: Lifetime,
    /// The addresses that it may be used from; `None` for all.
    pub allowed_addresses: Option<Vec<AddressRange>>,
    /// How many requests it may be used for; `None` if they are not counted.
    pub max_uses: Option<u64>,
    /// The parts of its service's rights that it keeps; `None` for all.
    pub limits: Option<Vec<CredentialLimit>>,
    /// The environment of requests that name none.
    pub default_environment: Option<EnvironmentId>,
}

/// A credential that was made, with its secret. It has no `Debug` form.
pub struct MadeCredential {
    /// The text that its service presents.
    pub plain: PlainCredential,
    /// Its record.
    pub credential: Credential,
    /// Its service.
    pub service: Service,
}

/// A credential, with what is known of its use.
#[derive(Clone, Debug)]
pub struct KnownCredential {
    /// Its record.
    pub credential: Credential,
    /// How many requests it was used for, if they are counted.
    pub uses: Option<u64>,
    /// The hour in which it was used last.
    pub last_used_at: Option<u64>,
}

/// The service of a new credential.
#[derive(Clone, Debug)]
pub enum Of {
    /// That with an id.
    Id(ServiceId),
    /// That with a name.
    Name(AccountName),
}

impl Services {
    /// Makes a credential of a service.
    ///
    /// # Errors
    /// The caller does not manage the service or does not hold all that it is allowed, a term is out of range, or it has two
    /// credentials.
    pub async fn make_credential(
        &self,
        of: Of,
        terms: Terms,
        (act, key): (RegistryAct, Option<&IdempotencyKey>),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<MadeCredential, Refusal> {
        check_terms(&terms)?;
        let (id, plain, hash, now) = self.new_secret(caller, act.action(), key);
        let Terms { name, life, allowed_addresses, max_uses, limits, default_environment } = terms;
        let made = self.make((caller, origin), (act, id.to_string()), None, |caller, view| {
            let service = managed(caller, view, id_of(view, &of)?)?;
            let credential = Credential {
                name: name.clone(),
                expires_at: Some(now.saturating_add(life.seconds())),
                limits: limits.clone(),
                allowed_addresses: allowed_addresses.clone(),
                max_uses,
                default_environment,
                ..Credential::new(id, service.subject(), Proof::opaque(hash), now)
            };
            Ok((changes(view, &credential, now)?, (credential, service.clone())))
        });
        let (credential, service) = made.await?;
        Ok(MadeCredential { plain, credential, service })
    }

    /// Makes the next credential with the terms of one, for the one who shows it, or for who manages its service. The one of
    /// before stays. One whose uses are counted is not renewed by the one who shows it: the count would mean nothing.
    ///
    /// # Errors
    /// The caller may not, or has just renewed several times; there is no such credential, it is disabled, or its service has
    /// two.
    pub async fn renew_credential(
        &self,
        (service, known): (ServiceId, CredentialId),
        key: Option<&IdempotencyKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<MadeCredential, Refusal> {
        let act = RegistryAct::CredentialRenew;
        let (id, plain, hash, now) = self.new_secret(caller, act.action(), key);
        let made = self.make((caller, origin), (act, id.to_string()), None, |caller, view| {
            let (service, _) = seen(caller, view, service)?;
            let before = credential_of(view, service, known)?;
            let shows_it = caller.credential() == known && before.max_uses.is_none();
            let manages_it = manages(caller, &service.required).is_some();
            if !shows_it && !manages_it {
                return Err(not_permitted());
            }
            if !manages_it && made_since(view, service, now.saturating_sub(HOUR)) >= MOST_IN_AN_HOUR {
                return Err(Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(HOUR)));
            }
            if before.disabled_at.is_some() || before.proof.hmac().is_none() {
                return Err(Refusal::new(ErrorCode::CredentialNotFound).detail("It is disabled."));
            }
            let life = before.expires_at.map_or(MAX_LIFETIME_SECONDS, |end| end.saturating_sub(before.created_at));
            let credential = Credential {
                credential_id: id,
                proof: Proof::opaque(hash),
                created_at: now,
                expires_at: Some(now.saturating_add(life.min(MAX_LIFETIME_SECONDS))),
                ..before.clone()
            };
            Ok((changes(view, &credential, now)?, (credential, service.clone())))
        });
        let (credential, service) = made.await?;
        Ok(MadeCredential { plain, credential, service })
    }

    /// A page of the credentials of a service that the caller sees, ordered by id.
    ///
    /// # Errors
    /// There is no such service, or the database cannot be read.
    pub async fn credentials(
        &self,
        service: ServiceId,
        (after, limit): (Option<CredentialId>, usize),
        caller: &Caller,
    ) -> Result<Vec<KnownCredential>, Refusal> {
        let view = self.registry.now().await?;
        let caller = caller.again(&view)?;
        let (service, basis): (&Service, Basis) = seen(&caller, &view, service)?;
        let of_service = view.state.all_credentials_of(service.subject());
        let later = of_service
            .filter(|known| known.proof != Proof::Stranger && after.is_none_or(|after| known.credential_id > after));
        let page: Vec<&Credential> = later.take(limit).collect();
        let written = self.store.last_uses(page.iter().map(|known| known.credential_id).collect()).await?;
        self.store.look_again_at(basis).await?;
        let known = |credential: &Credential| {
            let written = written.iter().find(|(id, _)| *id == credential.credential_id).map(|(_, hour)| *hour);
            KnownCredential {
                uses: credential.max_uses.map(|_| view.state.uses(credential.uses_id()).map_or(0, |uses| uses.count)),
                last_used_at: self.last_uses.of(credential.credential_id).max(written),
                credential: credential.clone(),
            }
        };
        Ok(page.into_iter().map(known).collect())
    }

    /// Disables a credential of a service, and revokes the tokens that were made with it. Who manages the service may, and
    /// the service itself, with a credential that is limited to the same.
    ///
    /// # Errors
    /// The caller may not, there is no such credential, or it is the last one of an administrator: nothing is disabled.
    pub async fn disable_credential(
        &self,
        (service, id): (ServiceId, CredentialId),
        caller: &Caller,
    ) -> Result<Sequences, Refusal> {
        let may = move |caller: &Caller, view: &View| {
            let (service, _) = seen(caller, view, service)?;
            let known = credential_of(view, service, id)?;
            let is_own = caller.owns(view, known);
            if is_own || manages(caller, &service.required).is_some() { Ok(()) } else { Err(not_permitted()) }
        };
        self.revocations.disable_credential(caller, id, may).await
    }

    /// Id, secret and keyed hash of a new credential, and the time at which it is made.
    fn new_secret(
        &self,
        caller: &Caller,
        route: &str,
        key: Option<&IdempotencyKey>,
    ) -> (CredentialId, PlainCredential, [u8; 32], u64) {
        let (keys, plain) = (self.keys.now(), PlainCredential::generate());
        let id = CredentialId::from_bytes(keys.credentials.new_id(caller, route, key));
        let hash = keys.credentials.hash(&plain);
        (id, plain, hash, self.clock.now())
    }
}

fn id_of(view: &View, of: &Of) -> Result<ServiceId, Refusal> {
    let name = match of {
        Of::Id(id) => return Ok(*id),
        Of::Name(name) => name,
    };
    let Some(Record::Service(service)) = view.state.named(Kind::Service, name) else {
        return Err(Refusal::new(ErrorCode::ServiceNotFound));
    };
    Ok(service.service_id)
}

/// The number of credentials of a service that were made since a time.
fn made_since(view: &View, service: &Service, since: u64) -> usize {
    let own = view.state.all_credentials_of(service.subject());
    own.filter(|known| known.created_at > since).count()
}

/// The credential of a service with an id.
fn credential_of<'a>(view: &'a View, service: &Service, id: CredentialId) -> Result<&'a Credential, Refusal> {
    let known = view.state.credential(id).filter(|known| known.subject == service.subject());
    known.ok_or_else(|| Refusal::new(ErrorCode::CredentialNotFound))
}

/// The changes that make a credential. The oldest ones that may not be used any more go with it, so that the records of a
/// service do not grow.
pub(crate) fn changes(view: &View, new: &Credential, now: u64) -> Result<Vec<Change>, Refusal> {
    if view.state.credential(new.credential_id).is_some() {
        // A secret is shown once.
        let fact = Fact::Id(new.credential_id.to_string());
        return Err(Refusal::new(ErrorCode::AlreadyExists).detail("A first request made it.").fact(fact));
    }
    let own = view.state.all_credentials_of(new.subject).filter(|known| known.proof.hmac().is_some());
    let (enabled, mut ended): (Vec<&Credential>, Vec<&Credential>) = own.partition(|known| known.is_enabled_at(now));
    if enabled.len() >= MOST_ENABLED {
        return Err(Refusal::new(ErrorCode::TooManyCredentials));
    }
    ended.sort_unstable_by_key(|known| std::cmp::Reverse((known.created_at, known.credential_id)));
    let gone = ended.into_iter().skip(KEPT).flat_map(|known| {
        let uses = view.state.uses(known.uses_id()).map(|uses| RecordName::from(uses.uses_id));
        uses.into_iter().chain([RecordName::from(known.credential_id)])
    });
    Ok(std::iter::once(Change::from(new.clone())).chain(gone.map(Change::from)).collect())
}

fn check_terms(terms: &Terms) -> Result<(), Refusal> {
    let is_few = |count: usize, most: usize| (1..=most).contains(&count);
    if terms.allowed_addresses.as_ref().is_some_and(|ranges| !is_few(ranges.len(), MAX_ADDRESSES)) {
        return Err(Refusal::parameter("allowed_addresses has 1 to 32 ranges."));
    }
    if terms.max_uses.is_some_and(|most| !(1..=MAX_USES).contains(&most)) {
        return Err(Refusal::parameter("max_uses is 1 to 1000."));
    }
    let limits = terms.limits.as_deref().unwrap_or_default();
    if terms.limits.is_some() && !is_few(limits.len(), MAX_LIMITS) {
        return Err(Refusal::parameter("limits has 1 to 16 parts."));
    }
    for limit in limits {
        if limit.actions.is_empty() {
            return Err(Refusal::parameter("A limit names one action or more."));
        }
        limit.limit().map_err(|Malformed(rule)| Refusal::new(ErrorCode::NameInvalid).detail(rule))?;
    }
    Ok(())
}
