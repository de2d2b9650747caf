//! The accounts of people, as those who manage identities see and change them.

use manager_api::id::EnrolmentId;
use manager_api::name::{DisplayName, IdempotencyKey};
use manager_api::people::{ChangePerson, CreatePerson, NewEnrolment, PersonDetails};
use manager_policy::{ManageIdentities, Scope};
use manager_registry::{Change, Enrolment, Person, RecordName};
use service_runtime::audit::Origin;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::{PersonId, Subject};

use super::enrolment::{MOST_MINUTES, NewCode, add_code, author_of, new_code};
use super::{MOST_PEOPLE, People, each_once, end_codes, end_sessions, known_person, person_named, sign_on_of};
use crate::access::{Caller, View};
use crate::audit_event::{Act, RegistryAct, action};
use crate::revocation::Sequences;

/// For how many minutes the code of a reset counts.
const RESET_MINUTES: u64 = 15;

impl People {
    /// Makes an account. A repeat with the same key finds it.
    ///
    /// # Errors
    /// The caller may not, the name is taken, or there are too many.
    pub async fn create(
        &self,
        asked: CreatePerson,
        key: Option<&IdempotencyKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<PersonDetails, Refusal> {
        let id = PersonId::from_bytes(self.keys.now().credentials.new_id(caller, action::PERSON_CREATE, key));
        let person = Person {
            person_id: id,
            display_name: asked.display_name.unwrap_or_else(|| DisplayName::of_account(&asked.name)),
            name: asked.name,
            email: asked.email,
            created_at: self.clock.now(),
            disabled_at: None,
        };
        let act = Act::Registry(RegistryAct::PersonCreate, Some(id.to_string()));
        self.change((caller, origin), act, |caller, view| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            match person_named(view, &person.name) {
                // The first request has made it.
                Some(known) if known.person_id == id => return Ok(Vec::new()),
                Some(known) => {
                    let fact = Fact::Id(known.person_id.to_string());
                    return Err(Refusal::new(ErrorCode::AlreadyExists).fact(fact));
                }
                None => {}
            }
            if view.state.person(id).is_some() {
                return Err(Refusal::new(ErrorCode::IdempotencyMismatch));
            }
            if view.state.people().count() >= MOST_PEOPLE {
                return Err(Refusal::parameter("There are 10,000 people, and no more are made."));
            }
            Ok(vec![person.clone().into()])
        })
        .await?;
        self.described(id, caller).await
    }

    /// Describes the accounts, from after an id on.
    ///
    /// # Errors
    /// The caller may not see them.
    pub async fn list(
        &self,
        (after, limit): (Option<PersonId>, usize),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Vec<PersonDetails>, Refusal> {
        let view = self.registry.fresh().await?;
        caller.again(&view)?.permit::<ManageIdentities>(&Scope::Installation)?;
        let mut people: Vec<&Person> = view.state.people().collect();
        people.sort_by_key(|person| person.person_id);
        let later = people.into_iter().filter(|person| after.is_none_or(|after| person.person_id > after));
        let listed = later.take(limit).map(|person| describe(&view, person)).collect();
        self.audit.record(Act::Registry(RegistryAct::PersonList, None), origin).await?;
        Ok(listed)
    }

    /// Describes an account.
    ///
    /// # Errors
    /// The caller may not see it, or there is none.
    pub async fn show(&self, id: PersonId, caller: &Caller, origin: &Origin) -> Result<PersonDetails, Refusal> {
        let found = self.described(id, caller).await?;
        self.audit.record(Act::Registry(RegistryAct::PersonShow, Some(id.to_string())), origin).await?;
        Ok(found)
    }

    /// Changes the names of an account.
    ///
    /// # Errors
    /// The caller may not, or there is none.
    pub async fn update(
        &self,
        id: PersonId,
        asked: ChangePerson,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<PersonDetails, Refusal> {
        if asked.display_name.is_none() && asked.email.is_none() {
            return Err(Refusal::parameter("A change names a member."));
        }
        let change = move |known: &Person| Person {
            display_name: asked.display_name.clone().unwrap_or_else(|| known.display_name.clone()),
            email: asked.email.clone().or_else(|| known.email.clone()),
            ..known.clone()
        };
        self.alter(id, (RegistryAct::PersonUpdate, change), caller, origin).await
    }

    /// Lets a person sign on again who was disabled.
    ///
    /// # Errors
    /// The caller may not, lacks something that the person may do, or there is none.
    pub async fn enable(&self, id: PersonId, caller: &Caller, origin: &Origin) -> Result<PersonDetails, Refusal> {
        let change = |known: &Person| Person { disabled_at: None, ..known.clone() };
        self.alter(id, (RegistryAct::PersonEnable, change), caller, origin).await
    }

    async fn alter(
        &self,
        id: PersonId,
        (act, change): (RegistryAct, impl Fn(&Person) -> Person + Send + Sync),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<PersonDetails, Refusal> {
        let line = Act::Registry(act, Some(id.to_string()));
        self.change((caller, origin), line, |caller, view| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            let known = known_person(view, id)?;
            let changed = change(known);
            Ok(if changed == *known { Vec::new() } else { vec![changed.into()] })
        })
        .await?;
        self.described(id, caller).await
    }

    /// The person for a caller who may see it. A change of nothing was compared with no database: this is.
    async fn described(&self, id: PersonId, caller: &Caller) -> Result<PersonDetails, Refusal> {
        let view = self.registry.fresh().await?;
        caller.again(&view)?.permit::<ManageIdentities>(&Scope::Installation)?;
        Ok(describe(&view, known_person(&view, id)?))
    }

    /// Ends an account, its sessions, its tokens, and the codes that it has made.
    ///
    /// # Errors
    /// The caller may not, there is none, or nobody could make policy and principals any more.
    pub async fn disable(&self, id: PersonId, caller: &Caller) -> Result<Sequences, Refusal> {
        let now = self.clock.now();
        self.revocations
            .change(caller, None, move |caller, view| {
                caller.permit::<ManageIdentities>(&Scope::Installation)?;
                let known = known_person(view, id)?;
                let mut changes = end_sessions(view, id, None);
                changes.extend(end_codes(view, Subject::Person(id)));
                if known.disabled_at.is_none() {
                    changes.push(Person { disabled_at: Some(now), ..known.clone() }.into());
                }
                Ok(each_once(changes))
            })
            .await
    }

    /// Takes password, authenticator and sessions from a person, and makes a code for a new first login.
    ///
    /// # Errors
    /// The caller may not, is the person himself, or lacks something that the person may do.
    pub async fn reset(
        &self,
        id: PersonId,
        key: Option<&IdempotencyKey>,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<NewEnrolment, Refusal> {
        const { assert!(RESET_MINUTES <= MOST_MINUTES) };
        let (now, subject) = (self.clock.now(), Subject::Person(id));
        if caller.subject() == Some(subject) {
            return Err(Refusal::new(ErrorCode::NotPermitted).detail("Nobody resets himself."));
        }
        let order =
            NewCode { subject, credential: None, address: None, author: author_of(caller), minutes: RESET_MINUTES };
        let code_id = EnrolmentId::from_bytes(self.keys.now().credentials.new_id(caller, action::PERSON_RESET, key));
        let (made, code) = new_code(&self.sign_on_keys(), code_id, now, order);
        let (ca_sha256, expires_at) = (self.place.ca_sha256().await?, made.expires_at);
        let act = Act::Registry(RegistryAct::PersonReset, Some(id.to_string()));
        self.change((caller, origin), act, |caller, view| {
            caller.permit::<ManageIdentities>(&Scope::Installation)?;
            known_person(view, id)?;
            let mut changes = end_sessions(view, id, None);
            let by_him = |code: &&Enrolment| code.author == Some(subject) && code.subject != subject;
            let by_him = view.state.enrolments().filter(by_him);
            changes.extend(by_him.map(|code| Change::from(RecordName::from(code.enrolment_id))));
            changes.extend(add_code(view, caller, made.clone(), now)?);
            changes.push(sign_on_of(view, id).reset().into());
            Ok(each_once(changes))
        })
        .await?;
        Ok(NewEnrolment {
            enrolment_id: code_id,
            enrolment_code: code,
            expires_at,
            url: self.place.url.clone(),
            ca_sha256,
        })
    }
}

fn describe(view: &View, person: &Person) -> PersonDetails {
    let own = view.state.sign_on_of(person.person_id);
    PersonDetails {
        person_id: person.person_id,
        name: person.name.clone(),
        display_name: person.display_name.clone(),
        email: person.email.clone(),
        created_at: person.created_at,
        disabled_at: person.disabled_at,
        password_changed_at: own.and_then(|own| own.password_changed_at),
        totp: own.is_some_and(|own| own.seed.is_some()),
    }
}
