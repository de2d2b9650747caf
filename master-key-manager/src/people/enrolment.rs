//! Enrolment codes: made by who may, redeemed once.

use std::net::IpAddr;

use manager_api::id::EnrolmentId;
use manager_api::lifetime::MAX_LIFETIME_SECONDS;
use manager_api::name::IdempotencyKey;
use manager_api::people::{CreateEnrolment, EnrolmentDetails, NewEnrolment, RedeemEnrolment, RedeemedEnrolment};
use manager_policy::{ManageIdentities, Scope, may_act_for};
use manager_registry::{Author, Change, Credential, CredentialTerms, Enrolment, Kind, Proof, RecordName, SignOn};
use manager_sign_on::code::EnrolmentCode;
use service_runtime::audit::{DecidingRules, Origin};
use service_runtime::{Fact, Refusal};
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::{Bytes, random};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, Subject};
use zeroize::Zeroizing;

use super::{People, each_once, end_sessions, known_person, redemption_from, sign_on_of};
use crate::access::{Caller, View, actor_of, manages_identities};
use crate::audit_event::{Act, RegistryAct, action};
use crate::keys::SignOnKeys;
use crate::revocation::Sequences;
use crate::services::credential_changes;

/// The most codes that wait to be redeemed.
const MOST_CODES: usize = 1_000;
/// For how many minutes a code counts by default, and at most.
const MINUTES: u64 = 15;
/// The longest time for which a code counts, in minutes.
pub(super) const MOST_MINUTES: u64 = 60;
/// The longest life of a service's credential.
const YEAR_SECONDS: u64 = MAX_LIFETIME_SECONDS;

/// The order for a new code.
pub(super) struct NewCode {
    pub(super) subject: Subject,
    pub(super) credential: Option<CredentialTerms>,
    pub(super) address: Option<IpAddr>,
    pub(super) author: Option<(Subject, CredentialId)>,
    pub(super) minutes: u64,
}

/// Makes a code. Its text is shown once.
pub(super) fn new_code(
    keys: &SignOnKeys,
    enrolment_id: EnrolmentId,
    now: u64,
    order: NewCode,
) -> (Enrolment, Zeroizing<String>) {
    let code = EnrolmentCode::new(Zeroizing::new(random()));
    let NewCode { subject, credential, address, author, minutes } = order;
    let hmac = Bytes(keys.codes.enrolment(&code));
    let expires_at = now.saturating_add(minutes * 60);
    let address = address.map(|address| address.to_canonical());
    let (author, author_credential) = author.unzip();
    let created_at = now;
    let made = Enrolment {
        enrolment_id,
        hmac,
        subject,
        credential,
        address,
        author,
        author_credential,
        created_at,
        expires_at,
    };
    (made, code.expose_text())
}

impl People {
    /// Makes a code for a person who cannot sign on yet, or for a service.
    ///
    /// # Errors
    /// The caller may not, or lacks something that the principal may do; there is no such principal, or it needs none.
    pub async fn enrol(
        &self,
        asked: CreateEnrolment,
        key: Option<&IdempotencyKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<NewEnrolment, Refusal> {
        let (now, minutes) = (self.clock.now(), asked.minutes.unwrap_or(MINUTES));
        if !(1..=MOST_MINUTES).contains(&minutes) {
            return Err(Refusal::parameter("minutes is 1 to 60."));
        }
        if asked.address.is_some_and(|address| address.is_unspecified()) {
            return Err(Refusal::parameter("address is that of one host."));
        }
        let (subject, credential) = parties(&asked, now)?;
        let order = NewCode { subject, credential, address: asked.address, author: author_of(caller), minutes };
        let id = EnrolmentId::from_bytes(self.keys.now().credentials.new_id(caller, action::ENROLMENT_CREATE, key));
        let (made, code) = new_code(&self.sign_on_keys(), id, now, order);
        let ca_sha256 = self.place.ca_sha256().await?;
        let (act, expires_at) = (Act::Registry(RegistryAct::EnrolmentCreate, Some(id.to_string())), made.expires_at);
        self.change((caller, origin), act, |caller, view| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            if let Subject::Person(person) = subject
                && view.state.sign_on_of(person).is_some_and(|own| own.password.is_some())
            {
                return Err(Refusal::new(ErrorCode::AlreadyExists)
                    .detail("The person can log in; a reset of the account begins again."));
            }
            add_code(view, caller, made.clone(), now)
        })
        .await?;
        Ok(NewEnrolment { enrolment_id: id, enrolment_code: code, expires_at, url: self.place.url.clone(), ca_sha256 })
    }

    /// Describes the codes that were not redeemed, from after an id on.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn list_codes(
        &self,
        (after, limit): (Option<EnrolmentId>, usize),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Vec<EnrolmentDetails>, Refusal> {
        let view = self.registry.fresh().await?;
        caller.again(&view)?.permit::<ManageIdentities>(&Scope::Installation)?;
        let now = self.clock.now();
        let mut open: Vec<&Enrolment> = view.state.enrolments().filter(|code| code.is_open_at(now)).collect();
        open.sort_by_key(|code| code.enrolment_id);
        let later = open.into_iter().filter(|code| after.is_none_or(|after| code.enrolment_id > after));
        let listed = later.take(limit).map(describe).collect();
        self.audit.record(Act::Registry(RegistryAct::EnrolmentList, None), origin).await?;
        Ok(listed)
    }

    /// Takes a code back.
    ///
    /// # Errors
    /// There is no such code, or the caller may not.
    pub async fn remove_code(&self, id: EnrolmentId, caller: &Caller) -> Result<Sequences, Refusal> {
        let remove = move |caller: &Caller, view: &View| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            view.state.enrolment(id).ok_or_else(|| Refusal::new(ErrorCode::EnrolmentNotFound))?;
            Ok(vec![RecordName::from(id).into()])
        };
        self.revocations.change(caller, None, remove).await
    }

    /// Redeems a code: a person gets a password, a service a credential.
    ///
    /// # Errors
    /// `enrolment_invalid` for every code that does not count, `rate_limited`; or the password is weak.
    pub async fn redeem(
        &self,
        asked: RedeemEnrolment,
        address: IpAddr,
        origin: &Origin,
    ) -> Result<RedeemedEnrolment, Refusal> {
        let code =
            EnrolmentCode::parse(&asked.code).map_err(|error| Refusal::parameter(format!("The code: {error}.")))?;
        let keys = self.sign_on_keys();
        let hmac = keys.codes.enrolment(&code);
        let view = self.registry.now().await?;
        // Only what is wrong counts: whoever guesses behind an address keeps out nobody there who has a code.
        let wrong = |refusal| self.begin(&self.redemptions, &redemption_from(address)).err().unwrap_or(refusal);
        let found = open_code(&view, &hmac, address, self.clock.now()).map_err(wrong)?;
        match found.subject {
            Subject::Person(_) => self.first_login(&view, found, asked.password, address, origin).await,
            Subject::Service(_) => self.first_credential(found, asked.password.is_some(), address, origin).await,
        }
    }

    async fn first_login(
        &self,
        view: &View,
        code: Enrolment,
        password: Option<Zeroizing<String>>,
        address: IpAddr,
        origin: &Origin,
    ) -> Result<RedeemedEnrolment, Refusal> {
        let Subject::Person(person) = code.subject else { return Err(invalid()) };
        let password = password.ok_or_else(|| Refusal::parameter("A person chooses a password with the code."))?;
        let name = known_person(view, person).map_err(|_unknown| invalid())?.name.clone();
        let password = self.hash_chosen(view, person, password).await?;
        let origin = origin.clone().by(Some(code.subject), None::<CredentialId>);
        self.record_redemption(&code, &origin).await?;
        let now = self.clock.now();
        let by = (Author::Caller { principal: code.subject, credential: nobody() }, "enrolled", now);
        self.revocations
            .change_as(by, |view| {
                let mut changes = use_up(view, &code, address, now)?;
                changes.extend(end_sessions(view, person, None));
                let own = sign_on_of(view, person);
                changes.push(SignOn { password: Some(password), password_changed_at: Some(now), ..own }.into());
                Ok(each_once(changes))
            })
            .await?;
        Ok(RedeemedEnrolment { subject: code.subject, name, client_id: None, credential: None, expires_at: None })
    }

    async fn first_credential(
        &self,
        code: Enrolment,
        has_password: bool,
        address: IpAddr,
        origin: &Origin,
    ) -> Result<RedeemedEnrolment, Refusal> {
        let (Subject::Service(service), Some(terms)) = (code.subject, code.credential.clone()) else {
            return Err(invalid());
        };
        if has_password {
            return Err(Refusal::parameter("This code is for a service, which has no password."));
        }
        let plain = PlainCredential::generate();
        let proof = Proof::opaque(self.keys.now().credentials.hash(&plain));
        let now = self.clock.now();
        let CredentialTerms { credential_id, name, expires_at } = terms;
        let made = Credential {
            name,
            expires_at: Some(expires_at),
            ..Credential::new(credential_id, code.subject, proof, now)
        };
        let origin = origin.clone().by(Some(code.subject), Some(credential_id));
        self.record_redemption(&code, &origin).await?;
        let by = (Author::Caller { principal: code.subject, credential: credential_id }, "enrolled", now);
        let mut name = None;
        self.revocations
            .change_as(by, |view| {
                let mut changes = use_up(view, &code, address, now)?;
                name = view.state.service(service).map(|service| service.name.clone());
                changes.extend(credential_changes(view, &made, now)?);
                Ok(changes)
            })
            .await?;
        Ok(RedeemedEnrolment {
            subject: code.subject,
            name: name.ok_or_else(invalid)?,
            client_id: Some(credential_id),
            // EXPOSE: the only time that it is shown.
            credential: Some(plain.expose_text()),
            expires_at: Some(expires_at),
        })
    }

    async fn record_redemption(&self, code: &Enrolment, origin: &Origin) -> Result<(), Refusal> {
        let act = Act::Registry(RegistryAct::EnrolmentRedeem, Some(code.enrolment_id.to_string()));
        let origin = origin.clone().authenticated("enrolment", DecidingRules::default());
        Ok(self.audit.record(act, &origin).await?)
    }
}

/// The author of a code, and the credential that he showed.
pub(super) fn author_of(caller: &Caller) -> Option<(Subject, CredentialId)> {
    caller.subject().map(|subject| (subject, caller.credential()))
}

/// Adds a code on a caller's behalf, in place of one that the same principal has.
///
/// # Errors
/// There is no such principal, the caller lacks something that it may do, or there are too many codes.
pub(super) fn add_code(view: &View, caller: &Caller, made: Enrolment, now: u64) -> Result<Vec<Change>, Refusal> {
    if view.state.enrolment(made.enrolment_id).is_some() {
        return Err(Refusal::new(ErrorCode::AlreadyExists).fact(Fact::Id(made.enrolment_id.to_string())));
    }
    if !view.state.is_enabled(made.subject) {
        let code = match made.subject {
            Subject::Person(_) => ErrorCode::PersonNotFound,
            Subject::Service(_) => ErrorCode::ParameterInvalid,
        };
        return Err(Refusal::new(code).detail("There is no such principal, or it is disabled."));
    }
    if view.state.enrolments().count() >= MOST_CODES {
        return Err(Refusal::parameter("1,000 codes wait to be redeemed, and no more are made."));
    }
    may_act_for(&view.facts, caller.actor(), made.subject, now).map_err(|excess| {
        Refusal::new(ErrorCode::NotPermitted).detail(format!("It hands out more than you hold: {excess}."))
    })?;
    let is_narrow =
        |shown: &Credential| shown.limits.is_some() || shown.allowed_addresses.is_some() || shown.max_uses.is_some();
    if caller.subject() == Some(made.subject) && view.state.credential(caller.credential()).is_none_or(is_narrow) {
        let detail = "A credential of your own is as narrow as the one that you show.";
        return Err(Refusal::new(ErrorCode::NotPermitted).detail(detail));
    }
    let earlier = view.state.enrolments().filter(|code| code.subject == made.subject);
    let mut changes: Vec<Change> = earlier.map(|code| RecordName::from(code.enrolment_id).into()).collect();
    changes.push(made.into());
    Ok(changes)
}

/// The principal, and the terms of a service's credential.
fn parties(asked: &CreateEnrolment, now: u64) -> Result<(Subject, Option<CredentialTerms>), Refusal> {
    match (asked.person_id, asked.service_id) {
        (Some(_), None) if asked.credential_name.is_some() || asked.credential_expires_at.is_some() => {
            Err(Refusal::parameter("credential_name and credential_expires_at are for services."))
        }
        (Some(person), None) => Ok((Subject::Person(person), None)),
        (None, Some(service)) => {
            let latest = now.saturating_add(YEAR_SECONDS);
            let end = asked.credential_expires_at.filter(|end| (now + 1..=latest).contains(end));
            let wrong = || Refusal::parameter("credential_expires_at is required, and at most a year from now.");
            let terms = CredentialTerms {
                credential_id: CredentialId::generate(),
                name: asked.credential_name.clone(),
                expires_at: end.ok_or_else(wrong)?,
            };
            Ok((Subject::Service(service), Some(terms)))
        }
        (Some(_), Some(_)) | (None, None) => Err(Refusal::parameter("Name a person_id or a service_id.")),
    }
}

/// The code with this keyed hash, if it counts here and now. All are looked at.
fn open_code(view: &View, hmac: &[u8; 32], address: IpAddr, now: u64) -> Result<Enrolment, Refusal> {
    let mut found = None;
    for code in view.state.enrolments() {
        if manager_sign_on::key::same(&code.hmac.0, hmac) {
            found = Some(code);
        }
    }
    let counts =
        |code: &&Enrolment| code.is_open_at(now) && code.address.is_none_or(|bound| bound == address.to_canonical());
    found.filter(counts).cloned().ok_or_else(invalid)
}

/// Uses a code up, on the state of the moment. Whoever made it must still be one who may.
fn use_up(view: &View, code: &Enrolment, address: IpAddr, now: u64) -> Result<Vec<Change>, Refusal> {
    let same = open_code(view, &code.hmac.0, address, now)?;
    if same != *code || !view.state.is_enabled(code.subject) {
        return Err(invalid());
    }
    if let Some(author) = code.author {
        // The session in which a person made it may have ended since; the credential of a service must still be good.
        let actor = match (author, code.author_credential) {
            (Subject::Service(_), Some(shown)) => view.actor(shown, now).ok_or_else(invalid)?,
            (Subject::Service(_), None) | (Subject::Person(_), _) => actor_of(author),
        };
        let may = view.state.is_enabled(author)
            && manages_identities(&view.facts, &actor, now)
            && may_act_for(&view.facts, &actor, code.subject, now).is_ok();
        if !may {
            return Err(invalid());
        }
    }
    let name = RecordName { kind: Kind::Enrolment, id: code.enrolment_id.to_string() };
    Ok(vec![name.into()])
}

/// The code for what names no credential: a first login has none yet.
fn nobody() -> CredentialId {
    CredentialId::from_bytes([0; 16])
}

fn describe(code: &Enrolment) -> EnrolmentDetails {
    EnrolmentDetails {
        enrolment_id: code.enrolment_id,
        subject: code.subject,
        author: code.author,
        address: code.address,
        created_at: code.created_at,
        expires_at: code.expires_at,
    }
}

fn invalid() -> Refusal {
    Refusal::new(ErrorCode::EnrolmentInvalid)
}
